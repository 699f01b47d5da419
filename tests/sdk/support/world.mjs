// One simulator, one gateway and the SDK under test, shared by the tests of a file, which run one after the other.
import assert from 'node:assert/strict';
import { client_key, start_gateway, start_sim, time_scale, upstream_key } from './processes.mjs';

const settle_seconds_max = 5 * time_scale;

// The SDKs read their environment; whose test this is must not matter.
for (const name of Object.keys(process.env)) {
  if (name.startsWith('ANTHROPIC_')) delete process.env[name];
}

// Polls until `look` returns something true. Only for facts of another process that nobody announces.
export async function eventually(what, look) {
  const give_up = Date.now() + settle_seconds_max * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > give_up) assert.fail(`still not after ${settle_seconds_max} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export async function open_world(sdk) {
  const sim = await start_sim();
  const gateway = await start_gateway(sim.url).catch(async (error) => {
    await sim.stop();
    throw error;
  });
  return new world(sdk, sim, gateway);
}

class world {
  constructor(sdk, sim, gateway) {
    this.sdk = sdk;
    this.major = Number(version_of(sdk).split('.')[0]);
    this.sim = sim;
    this.gateway = gateway;
    this.extra = [];
    this.secrets = [client_key, upstream_key];
    this.requested = []; // URL of every request that an SDK client of ours made
    this.seen = 0; // ledger rows up to this number belong to earlier tests
  }

  client(options = {}) {
    const fetch_and_note = (url, init) => {
      this.requested.push({ url: String(url), body: init?.body });
      return fetch(url, init);
    };
    return new this.sdk.default({
      apiKey: client_key,
      baseURL: this.gateway.url,
      maxRetries: 0,
      fetch: fetch_and_note,
      logLevel: 'off',
      ...options,
    });
  }

  // Another gateway in front of the same simulator (or another upstream), ended with the world.
  async another_gateway(settings, upstream_url = this.sim.url) {
    const running = await start_gateway(upstream_url, settings);
    this.extra.push(running);
    return running;
  }

  async control(method, path, body) {
    const answer = await fetch(this.sim.url + path, { method, body: body && JSON.stringify(body) });
    assert.equal(answer.status, 200, `${method} ${path}`);
    return answer.json();
  }

  // To be called before a test: rows behind now are the test's own.
  async begin() {
    this.requested.length = 0;
    await this.control('DELETE', '/sim/faults');
    const rows = (await this.control('GET', '/sim/ledger')).requests;
    this.seen = rows.at(-1)?.seq ?? this.seen;
  }

  // What the simulator was asked since `begin`, oldest first, without the items of batches.
  async asked() {
    const { requests } = await this.control('GET', `/sim/ledger?since=${this.seen}`);
    return requests.filter((row) => row.method !== 'BATCH');
  }

  // The one request of this test, once the simulator has finished with it.
  async only_request() {
    const rows = await this.asked();
    assert.equal(rows.length, 1, `one upstream request, not ${JSON.stringify(rows)}`);
    return rows[0];
  }

  async arm(fault, count = 1, match = {}) {
    await this.control('POST', '/sim/faults', { fault, count, match });
  }

  async close() {
    const problems = [];
    const stats = await this.control('GET', '/sim/stats');
    if (stats.strict_violations !== 0) problems.push(`the simulator saw ${stats.strict_violations} strict violations`);
    for (const one of [...this.extra, this.gateway, this.sim])
      await one.stop().catch((error) => problems.push(error.message));
    for (const one of [...this.extra, this.gateway]) {
      for (const line of one.lines) {
        if (!is_json_object(line)) problems.push(`a log line is no JSON object: ${line}`);
        if (this.secrets.some((secret) => line.includes(secret))) problems.push(`a log line shows a secret: ${line}`);
      }
    }
    assert.deepEqual(problems, []);
  }
}

function version_of(sdk) {
  return new sdk.default({ apiKey: 'x' }).getUserAgent().split(' ').at(-1);
}

function is_json_object(line) {
  try {
    return JSON.parse(line)?.constructor === Object;
  } catch {
    return false;
  }
}

// The four counters as the SDK shows them and as the simulator billed them.
export function assert_usage(usage, row) {
  const billed = row.usage;
  assert.equal(usage.input_tokens, billed.input_tokens, 'input_tokens');
  assert.equal(usage.output_tokens, billed.output_tokens, 'output_tokens');
  assert.equal(usage.cache_read_input_tokens ?? 0, billed.cache_read_input_tokens, 'cache_read_input_tokens');
  assert.equal(
    usage.cache_creation_input_tokens ?? 0,
    billed.cache_creation_input_tokens,
    'cache_creation_input_tokens',
  );
}

export function text_of(message) {
  return message.content
    .filter((block) => block.type === 'text')
    .map((block) => block.text)
    .join('');
}
