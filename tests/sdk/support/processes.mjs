// Starts the simulator and the gateway on free ports and ends them by pid. A process that ends by itself, or badly, is
// a failure of the run, whatever the tests saw.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import readline from 'node:readline';

const repository = path.resolve(fileURLToPath(import.meta.url), '../../../..');
export const time_scale = Number(process.env.TEST_TIME_SCALE ?? '1');
const stop_seconds_max = 20 * time_scale;
const start_seconds_max = 20 * time_scale;

export const upstream_key = 'sk-ant-sim-upstream-0001';
export const client_key = 'sk-cp-sdk-test-0123456789';

function binary(variable, fallback) {
  return path.resolve(repository, process.env[variable] ?? fallback);
}

// Whoever builds with sanitizers steers them through these.
function inherited() {
  const names = ['PATH', 'ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS', 'LSAN_OPTIONS', 'LLVM_PROFILE_FILE'];
  return Object.fromEntries(names.filter((name) => process.env[name]).map((name) => [name, process.env[name]]));
}

// Nothing outlives the test run, however it ends.
const children = new Set();
process.once('exit', () => children.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

// A running program whose lines are kept. `find` waits for the first line that it maps to something.
class program {
  constructor(name, file, args, env, stream) {
    this.name = name;
    this.lines = [];
    this.child = spawn(file, args, { env, cwd: repository, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(this.child);
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => resolve(error.message));
      this.child.once('close', (code, signal) => {
        children.delete(this.child);
        resolve(signal ?? code);
      });
    });
    const waiting = (this.waiting = new Set());
    const listen = (source, watched) => {
      readline.createInterface({ input: source }).on('line', (line) => {
        this.lines.push(line);
        if (watched) for (const look of waiting) look(line);
      });
    };
    listen(this.child.stdout, stream === 'stdout');
    listen(this.child.stderr, stream === 'stderr');
  }

  async find(match) {
    let look;
    const found = new Promise((resolve) => {
      look = (line) => {
        const value = match(line);
        if (value !== undefined) resolve(value);
      };
      this.waiting.add(look);
      this.lines.forEach(look);
    });
    const limit = AbortSignal.timeout(start_seconds_max * 1000);
    const late = once(limit, 'abort').then(() => 'no answer in time');
    const failed = Promise.race([this.ended, late]).then((how) => {
      throw new Error(`${this.name} did not start (${how}):\n${this.lines.join('\n')}`);
    });
    failed.catch(() => {});
    try {
      return await Promise.race([found, failed]);
    } finally {
      this.waiting.delete(look);
    }
  }

  // Ends the program as an operator would. Anything but exit code 0 is an error.
  async stop() {
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), stop_seconds_max * 1000);
    const how = await this.ended;
    clearTimeout(timer);
    if (how !== 0) throw new Error(`${this.name} ended with ${how}:\n${this.lines.slice(-50).join('\n')}`);
  }
}

export async function start_sim() {
  const file = binary('CLAUDE_SIM_BIN', 'build/release/claude-sim');
  // Strict: what a well-behaved gateway never sends is answered with 400, and only the upstream credential is welcome.
  const args = ['--listen', '127.0.0.1:0', '--strict', '--api-key', upstream_key, '--batch-delay-ms', '100'];
  const running = new program('claude-sim', file, args, inherited(), 'stdout');
  running.url = await running.find((line) => line.match(/listening on (http:\S+)/)?.[1]);
  return running;
}

export async function start_gateway(upstream_url, settings = {}) {
  const file = binary('CLAUDE_PROXY_BIN', 'build/release/claude-proxy');
  const env = {
    ...inherited(),
    CLAUDE_PROXY_LISTEN: '127.0.0.1:0',
    CLAUDE_PROXY_ADMIN_LISTEN: '127.0.0.1:0',
    CLAUDE_PROXY_UPSTREAM_URL: upstream_url,
    ANTHROPIC_API_KEY: upstream_key,
    CLAUDE_PROXY_API_KEYS: client_key,
    LOG_FORMAT: 'json',
    CLAUDE_PROXY_DRAIN_DELAY: '0ms',
    // The gateway's own looks at batches would be among the calls that tests count.
    CLAUDE_PROXY_BATCH_LOOK_FIRST: '1h',
    CLAUDE_PROXY_BATCH_LOOK_MAX: '1h',
    ...settings,
  };
  const running = new program('claude-proxy', file, ['serve'], env, 'stderr');
  running.url = await running.find((line) => {
    if (!line.includes('"listening"')) return undefined;
    const said = JSON.parse(line);
    return said.event === 'listening' ? `http://${said.listen}` : undefined;
  });
  return running;
}
