// messages.create and its relatives, answered whole.
import assert from 'node:assert/strict';
import { client_key } from '../support/processes.mjs';
import { assert_usage, eventually, text_of } from '../support/world.mjs';

export const model = 'claude-opus-5';
export const ask = (content, more = {}) => ({
  model,
  max_tokens: 1000,
  messages: [{ role: 'user', content }],
  ...more,
});

export const weather_tool = {
  name: 'get_weather',
  description: 'The weather in a town.',
  input_schema: {
    type: 'object',
    properties: { town: { type: 'string' }, days: { type: 'integer' } },
    required: ['town'],
  },
};

async function create(world) {
  const message = await world.client().messages.create(ask('Say something.\nx-sim-text: Exactly this.'));
  assert.equal(message.type, 'message');
  assert.equal(message.role, 'assistant');
  assert.equal(message.model, model);
  assert.equal(message.stop_reason, 'end_turn');
  assert.equal(text_of(message), 'Exactly this.');
  const row = await world.only_request();
  assert.equal(row.message_id, message.id);
  assert.equal(message._request_id, row.request_id);
  assert.equal(row.key_suffix, 'm-0001', "the upstream credential, not the caller's key");
  assert_usage(message.usage, row);
}

async function headers(world) {
  const { data, response, request_id } = await world.client().messages.create(ask('Hello.')).withResponse();
  const row = await world.only_request();
  assert.equal(request_id, row.request_id);
  assert.equal(response.headers.get('request-id'), row.request_id);
  assert.match(response.headers.get('x-claude-proxy-request-id') ?? '', /^\S+$/);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.ok(data.id.startsWith('msg_'));
}

async function api_version(world) {
  // Major 1 speaks 2026-10-21 with a bearer token, major 0 speaks 2023-06-01 with x-api-key; both must arrive.
  await world.client().messages.create(ask('Hello.'));
  const row = await world.only_request();
  assert.equal(row.headers['anthropic-version'], world.major >= 1 ? '2026-10-21' : '2023-06-01');
}

async function bearer(world) {
  const message = await world.client({ apiKey: null, authToken: client_key }).messages.create(ask('Hello.'));
  assert.equal((await world.only_request()).message_id, message.id);
}

async function tool_round_trip(world) {
  const client = world.client();
  const question = { role: 'user', content: 'What is the weather in Zürich?' };
  const options = { model, max_tokens: 1000, tools: [weather_tool] };
  const first = await client.messages.create({ ...options, messages: [question] });
  assert.equal(first.stop_reason, 'tool_use');
  const call = first.content.find((block) => block.type === 'tool_use');
  assert.equal(call.name, 'get_weather');
  assert.equal(typeof call.input.town, 'string');
  assert.equal(typeof call.input.days, 'number');
  const result = { type: 'tool_result', tool_use_id: call.id, content: '21 °C, föhn' };
  const second = await client.messages.create({
    ...options,
    messages: [question, { role: 'assistant', content: first.content }, { role: 'user', content: [result] }],
  });
  assert.equal(second.stop_reason, 'end_turn');
  const rows = await world.asked();
  assert.equal(rows.length, 2);
  assert_usage(first.usage, rows[0]);
  assert_usage(second.usage, rows[1]);
  assert.ok(second.usage.input_tokens > first.usage.input_tokens);
}

async function thinking(world) {
  const client = world.client();
  const body = ask('Think hard.', { max_tokens: 3000, thinking: { type: 'enabled', budget_tokens: 1500 } });
  const message = await client.messages.create(body);
  const thought = message.content[0];
  assert.equal(thought.type, 'thinking');
  assert.ok(thought.thinking.length > 0);
  assert.ok(thought.signature.length > 100);
  const row = await world.only_request();
  assert.ok(row.usage.output_tokens_details.thinking_tokens > 0);
  assert_usage(message.usage, row);
  // The signature goes back as it came: the body on the wire, which the gateway passed on whole, contains it.
  const follow_up = {
    ...body,
    messages: [...body.messages, { role: 'assistant', content: message.content }, { role: 'user', content: 'And?' }],
  };
  await client.messages.create(follow_up);
  const sent = world.requested.at(-1).body;
  assert.ok(sent.includes(JSON.stringify(thought.signature)));
  const second = await eventually('the second row knows its size', async () =>
    (await world.asked()).find((one) => one.seq > row.seq && one.request_bytes > 0),
  );
  assert.equal(second.request_bytes, Buffer.byteLength(sent));
}

async function prompt_cache(world) {
  const client = world.client();
  const system = [
    {
      type: 'text',
      text: `One of a kind ${world.major} ${'lorem ipsum '.repeat(2000)}`,
      cache_control: { type: 'ephemeral' },
    },
  ];
  const written = await client.messages.create(ask('One.', { system }));
  const read = await client.messages.create(ask('Two.', { system }));
  assert.ok(written.usage.cache_creation_input_tokens > 1024);
  assert.equal(read.usage.cache_read_input_tokens, written.usage.cache_creation_input_tokens);
  const rows = await world.asked();
  assert_usage(written.usage, rows[0]);
  assert_usage(read.usage, rows[1]);
}

async function count_tokens(world) {
  const client = world.client();
  const { max_tokens: _, ...body } = ask('How long is this prompt, in tokens?');
  const counted = await client.messages.countTokens(body);
  const message = await client.messages.create({ ...body, max_tokens: 100 });
  assert.equal(counted.input_tokens, message.usage.input_tokens);
  const rows = await world.asked();
  assert.deepEqual(
    rows.map((row) => row.path),
    ['/v1/messages/count_tokens', '/v1/messages'],
  );
  assert.equal(rows[0].usage.input_tokens, 0, 'counting is free');
}

async function unicode(world) {
  const text = 'Grüezi 🙂 日本語 — “quotes” "plain" \\back\\ \u00a0\u2028 عربى 👩‍👩‍👧‍👦 end';
  const message = await world.client().messages.create(ask(`Räksmörgås 🦐\nx-sim-text: ${text}`));
  assert.equal(text_of(message), text);
  const row = await eventually('the row knows its size', async () =>
    (await world.asked()).find((one) => one.request_bytes > 0),
  );
  assert.equal(row.request_bytes, Buffer.byteLength(world.requested.at(-1).body));
}

async function large_prompt(world) {
  const block = 'The quick brown fox – schnell und braun – jumps over the lazy dog. ';
  const content = block.repeat(Math.ceil((5 << 20) / Buffer.byteLength(block)));
  const message = await world.client().messages.create(ask(content));
  const row = await eventually('the row knows its size', async () =>
    (await world.asked()).find((one) => one.request_bytes > 0),
  );
  assert.equal(row.request_bytes, Buffer.byteLength(world.requested.at(-1).body));
  assert.ok(row.request_bytes > 5 << 20);
  assert.ok(message.usage.input_tokens > 500_000);
  assert_usage(message.usage, row);
}

async function large_answer(world) {
  const message = await world
    .client()
    .messages.create(ask('Much.\nx-sim-output-tokens: 100000', { max_tokens: 100_000 }), { timeout: 30_000 });
  const row = await world.only_request();
  assert.equal(row.usage.output_tokens, 100_000);
  assert_usage(message.usage, row);
}

async function stop_reasons(world) {
  const client = world.client();
  const cut = await client.messages.create(ask('Long.\nx-sim-output-tokens: 500', { max_tokens: 20 }));
  assert.equal(cut.stop_reason, 'max_tokens');
  assert.equal(cut.usage.output_tokens, 20);
  const stopped = await client.messages.create(ask('x-sim-text: one two STOP three', { stop_sequences: ['STOP'] }));
  assert.equal(stopped.stop_reason, 'stop_sequence');
  assert.equal(stopped.stop_sequence, 'STOP');
  assert.equal(text_of(stopped), 'one two ');
}

export const messages = [
  ['create answers, with the usage that was billed', create],
  ['request ids and our headers', headers],
  ['the API version of the SDK arrives', api_version],
  ['a bearer token is as good as an API key', bearer],
  ['a tool call and its result', tool_round_trip],
  ['thinking, with its signature byte for byte', thinking],
  ['prompt cache counters', prompt_cache],
  ['count_tokens', count_tokens],
  ['unicode both ways', unicode],
  ['a prompt of 5 MB', large_prompt],
  ['an answer of 100,000 tokens', large_answer],
  ['stop reasons', stop_reasons],
];
