#!/usr/bin/env node
// Makes the cases of this folder: NAME.sse is a stream, NAME.json the message that the official SDKs make of it (`null`
// when they reject it). Needs tests/sdk/node_modules and a built claude-sim; the cases are checked in, the tests need
// neither.
//
//     tests/golden/assembly/generate.mjs [folder of node_modules [claude-sim]]
//
// `sim_*` are answers of claude-sim: its JSON answer must be what the SDKs make of its stream of the same request.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { streams } from './streams.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const repository = path.resolve(here, '../../..');
const modules = path.resolve(process.argv[2] ?? path.join(repository, 'tests/sdk/node_modules'));
const simulator = path.resolve(process.argv[3] ?? path.join(repository, 'build/release/claude-sim'));
const load = createRequire(path.join(modules, 'package.json'));
const newest = load(path.join(modules, '@anthropic-ai/sdk')).default;
const of_major_0 = load(path.join(modules, 'anthropic-sdk-0')).default;

// The message by the helper of one SDK, as JSON; null when it rejects.
async function assembled(sdk, stream, is_beta) {
  const fetch = async () => new Response(stream, { headers: { 'content-type': 'text/event-stream' } });
  const client = new sdk({ apiKey: 'none', fetch, maxRetries: 0, logLevel: 'off' });
  const body = { model: 'claude-opus-4-8', max_tokens: 1, messages: [{ role: 'user', content: 'x' }] };
  try {
    const message = await (is_beta ? client.beta : client).messages.stream(body).finalMessage();
    const { parsed_output, ...rest } = message; // the helper's own, not of the API
    return JSON.parse(JSON.stringify(rest));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return null;
  }
}

async function by_all(name, stream, sdks) {
  const expected = await assembled(newest, stream, true);
  const agrees = async (sdk, is_beta) => assert.deepEqual(await assembled(sdk, stream, is_beta), expected, name);
  if (sdks !== 'newest') await agrees(of_major_0, true);
  if (sdks !== 'beta') await agrees(newest, false);
  if (sdks === 'all') await agrees(of_major_0, false);
  return expected;
}

// Every answer has ids of its own: here they are numbered, so that both answers and every run have the same.
function with_numbered_ids(text) {
  const seen = [];
  return text.replace(/\b(msg|toolu)_[0-9A-Za-z]+/g, (id, kind) => {
    if (!seen.includes(id)) seen.push(id);
    return `${kind}_${seen.indexOf(id)}`;
  });
}

function write(name, stream, expected) {
  fs.writeFileSync(path.join(here, `${name}.sse`), stream);
  fs.writeFileSync(path.join(here, `${name}.json`), `${JSON.stringify(expected, null, 1)}\n`);
}

const simulated = {
  text: [{ 'x-sim-pings': '3' }, {}],
  long_text: [{ 'x-sim-output-tokens': '600', 'x-sim-event-tokens': '7' }, { max_tokens: 1000 }],
  thinking: [{}, { max_tokens: 4000, thinking: { type: 'enabled', budget_tokens: 1024 } }],
  tools: [{ 'x-sim-tools': '3' }, {
    tool_choice: { type: 'any' },
    tools: [{ name: 'get_weather', description: 'Weather.', input_schema: {
      type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } }, required: ['city'] } }],
  }],
  characters: [{}, { messages: [{ role: 'user', content: 'x-sim-text: "é" \\ 🙂 \u2028 \u0001 </script>' }] }],
  max_tokens: [{ 'x-sim-output-tokens': '50' }, { max_tokens: 10 }],
};

async function from_simulator() {
  const child = spawn(simulator, ['--listen', '127.0.0.1:0', '--seed', '7'], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = await once(child.stdout, 'data');
    const url = /http:\/\/[0-9.]+:[0-9]+/.exec(String(line))[0];
    for (const [name, [headers, more]] of Object.entries(simulated)) {
      const ask = async (stream) => {
        const body = { model: 'claude-sim-1', max_tokens: 300, stream,
          messages: [{ role: 'user', content: `Tell me of ${name}.` }], ...more };
        const answer = await fetch(`${url}/v1/messages`, { method: 'POST', body: JSON.stringify(body),
          headers: { 'x-api-key': 'k', 'anthropic-version': '2023-06-01', ...headers } });
        assert.equal(answer.status, 200, name);
        return with_numbered_ids(await answer.text());
      };
      const stream = await ask(true);
      const expected = await by_all(name, stream, 'all');
      const whole = JSON.parse(await ask(false));
      assert.deepEqual(whole, expected, `${name}: the JSON answer is the stream's message`);
      write(`sim_${name}`, stream, expected);
    }
  } finally {
    child.kill('SIGTERM');
  }
}

for (const file of fs.readdirSync(here)) {
  if (/\.(sse|json)$/.test(file)) fs.rmSync(path.join(here, file));
}
for (const [name, { stream, sdks = 'all', fails = false }] of Object.entries(streams)) {
  const expected = await by_all(name, stream, sdks);
  assert.equal(expected === null, fails, `${name}: rejected or not`);
  write(name, stream, expected);
}
await from_simulator();
