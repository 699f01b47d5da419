// Streams that go well: the raw iteration, the accumulating helper, many at once.
import assert from 'node:assert/strict';
import { assert_usage, text_of } from '../support/world.mjs';
import { ask, weather_tool } from './messages.mjs';

async function helper(world) {
  const stream = world.client().messages.stream(ask('Stream.\nx-sim-output-tokens: 200'));
  const order = [];
  let text = '';
  for (const name of ['connect', 'streamEvent', 'text', 'contentBlock', 'message', 'finalMessage', 'end']) {
    stream.on(name, () => {
      if (order.at(-1) !== name) order.push(name);
    });
  }
  stream.on('text', (delta) => {
    text += delta;
  });
  const message = await stream.finalMessage();
  await stream.done();
  assert.equal(order[0], 'connect');
  assert.ok(order.indexOf('text') < order.indexOf('contentBlock'));
  assert.ok(order.indexOf('contentBlock') < order.indexOf('message'));
  assert.deepEqual(order.slice(-3), ['message', 'finalMessage', 'end']);
  assert.equal(text_of(message), text);
  assert.equal(await stream.finalText(), text);
  assert.equal(message.stop_reason, 'end_turn');
  const row = await world.only_request();
  assert.equal(stream.request_id, row.request_id);
  assert.equal(row.message_id, message.id);
  assert.equal(row.usage.output_tokens, 200);
  assert.ok(row.complete && row.stream);
  assert_usage(message.usage, row);
}

// Every event the API promises, in its order, from the wire to the consumer.
function check_grammar(types) {
  assert.equal(types[0], 'message_start');
  assert.equal(types.at(-1), 'message_stop');
  assert.equal(types.at(-2), 'message_delta');
  const inner = types.slice(1, -2).join(' ');
  assert.match(inner, /^(content_block_start( content_block_delta)* content_block_stop ?)+$/);
}

async function raw(world) {
  const stream = await world.client().messages.create(ask('Raw.\nx-sim-output-tokens: 120', { stream: true }));
  const types = [];
  let text = '';
  let usage;
  for await (const event of stream) {
    types.push(event.type);
    if (event.type === 'message_start') usage = event.message.usage;
    if (event.type === 'content_block_delta') text += event.delta.text;
    if (event.type === 'message_delta') usage = { ...usage, ...event.usage };
  }
  check_grammar(types);
  const row = await world.only_request();
  assert.equal(Math.ceil([...text].length / 4), 120, 'the text is as long as what was billed');
  assert_usage(usage, row);
}

async function same_as_whole(world) {
  const client = world.client();
  const whole = await client.messages.create(ask('The same question gives the same answer.'));
  const streamed = await client.messages.stream(ask('The same question gives the same answer.')).finalMessage();
  assert.deepEqual(
    streamed.content.map((block) => block.text),
    whole.content.map((block) => block.text),
  );
  assert.equal(streamed.stop_reason, whole.stop_reason);
}

async function tools(world) {
  const stream = world.client().messages.stream(ask('The weather, twice.\nx-sim-tools: 2', { tools: [weather_tool] }));
  let pieces = '';
  stream.on('inputJson', (piece) => {
    pieces += piece;
  });
  const message = await stream.finalMessage();
  const calls = message.content.filter((block) => block.type === 'tool_use');
  assert.equal(calls.length, 2);
  assert.equal(message.stop_reason, 'tool_use');
  assert.notEqual(calls[0].id, calls[1].id);
  for (const call of calls) assert.deepEqual(Object.keys(call.input), ['town', 'days']);
  const [first, second] = pieces.split('}{');
  assert.deepEqual(JSON.parse(`${first}}`), calls[0].input);
  assert.deepEqual(JSON.parse(`{${second}`), calls[1].input);
  assert_usage(message.usage, await world.only_request());
}

async function thinking(world) {
  const body = ask('Think, streamed.', { max_tokens: 3000, thinking: { type: 'enabled', budget_tokens: 1500 } });
  const whole = await world.client().messages.create(body);
  const stream = world.client().messages.stream(body);
  let thought = '';
  let signature = '';
  stream.on('thinking', (delta) => {
    thought += delta;
  });
  stream.on('signature', (value) => {
    signature = value;
  });
  const message = await stream.finalMessage();
  // The simulator signs the same thoughts with the same signature: streamed or whole, no byte may differ.
  assert.equal(signature, whole.content[0].signature);
  assert.equal(message.content[0].signature, signature);
  assert.equal(message.content[0].thinking, thought);
  assert.equal(thought, whole.content[0].thinking);
  const rows = await world.asked();
  assert.ok(rows[1].usage.output_tokens_details.thinking_tokens > 0);
  assert_usage(message.usage, rows[1]);
}

async function split_bytes(world) {
  const text = 'ü€🙂日本語 '.repeat(20).trim();
  const client = world.client({ defaultHeaders: { 'x-sim-fault': 'split=1', 'x-sim-event-tokens': '1' } });
  const message = await client.messages.stream(ask(`Split every byte.\nx-sim-text: ${text}`)).finalMessage();
  assert.equal(text_of(message), text);
  assert_usage(message.usage, await world.only_request());
}

async function odd_events(world) {
  const client = world.client({
    defaultHeaders: { 'x-sim-fault': 'unknown-events,trailing-spaces,crlf', 'x-sim-pings': '5' },
  });
  const stream = await client.messages.create(ask('Odd.\nx-sim-text: still understood', { stream: true }));
  let text = '';
  const types = new Set();
  for await (const event of stream) {
    types.add(event.type);
    if (event.delta?.type === 'text_delta') text += event.delta.text;
  }
  assert.equal(text, 'still understood');
  assert.ok(types.has('message_stop'));
  // Older SDKs drop events with names they do not know; both of ours yield them, so they came through the gateway.
  assert.ok(types.has('future_event'));
}

async function parallel(world) {
  const client = world.client();
  const count = 50;
  const wishes = Array.from({ length: count }, (_, n) => `Stream number ${n} says: ${`${n} `.repeat(100)}`.trim());
  const messages = await Promise.all(
    wishes.map((text) => client.messages.stream(ask(`x-sim-text: ${text}`)).finalMessage()),
  );
  const rows = new Map((await world.asked()).map((row) => [row.message_id, row]));
  assert.equal(rows.size, count);
  messages.forEach((message, n) => {
    assert.equal(text_of(message), wishes[n]);
    assert_usage(message.usage, rows.get(message.id));
  });
}

async function paced_parallel(world) {
  const client = world.client({ defaultHeaders: { 'x-sim-fault': 'event-interval=5' } });
  const wishes = Array.from({ length: 50 }, (_, n) => `paced ${n} ${'word '.repeat(10 + n)}`.trim());
  const messages = await Promise.all(
    wishes.map((text) => client.messages.stream(ask(`x-sim-text: ${text}`)).finalMessage()),
  );
  assert.deepEqual(messages.map(text_of), wishes);
  assert.ok((await world.asked()).every((row) => row.complete));
}

// A stream must arrive as it is made, not when it is complete.
async function flushed(world) {
  const client = world.client({ defaultHeaders: { 'x-sim-fault': 'event-interval=50', 'x-sim-event-tokens': '2' } });
  const stream = await client.messages.create(ask('Slowly.\nx-sim-output-tokens: 20', { stream: true }));
  let early = 0;
  for await (const event of stream) {
    if (event.type !== 'content_block_delta') continue;
    const row = await world.only_request();
    if (!row.complete) ++early;
  }
  assert.ok(early >= 5, `${early} of 10 deltas were seen before the upstream had finished`);
}

async function our_pings(world) {
  const gateway = await world.another_gateway({
    CLAUDE_PROXY_PING_INTERVAL: '50ms',
    CLAUDE_PROXY_PREAMBLE_HOLD: '50ms',
  });
  const pings = [];
  // The SDKs swallow pings, so the bytes are read on their way to the SDK.
  const watching = async (url, init) => {
    const answer = await fetch(url, init);
    const [left, right] = answer.body.tee();
    pings.push(new Response(right).text().then((text) => text.match(/^event: ping$/gm)?.length ?? 0));
    return new Response(left, { status: answer.status, headers: answer.headers });
  };
  const client = world.client({
    baseURL: gateway.url,
    fetch: watching,
    defaultHeaders: { 'x-sim-fault': 'event-interval=400' },
  });
  const message = await client.messages.stream(ask('x-sim-text: a b')).finalMessage();
  assert.equal(text_of(message), 'a b');
  assert.ok((await pings[0]) > 4, 'more pings than the one of the simulator');
}

export const streams = [
  ['messages.stream with its events in order', helper],
  ['raw iteration', raw],
  ['streamed equals whole', same_as_whole],
  ['tool input in pieces', tools],
  ['thinking and its signature', thinking],
  ['every byte alone, multi-byte characters too', split_bytes],
  ['unknown events, CRLF, pings, trailing spaces', odd_events],
  ['50 in parallel, each correct', parallel],
  ['50 in parallel, paced', paced_parallel],
  ['events are passed on as they come', flushed],
  ['silence is filled with pings that no SDK minds', our_pings],
];
