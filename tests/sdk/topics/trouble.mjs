// Streams that end before they should, from either side.
import assert from 'node:assert/strict';
import { assert_usage, eventually, text_of } from '../support/world.mjs';
import { refused } from './errors.mjs';
import { ask } from './messages.mjs';

const endless = (headers = {}) => ({
  headers: { 'x-sim-fault': 'event-interval=20', 'x-sim-event-tokens': '1', ...headers },
});

const departure = (world) =>
  eventually('the upstream request was cancelled', async () => (await world.asked()).find((row) => row.client_left));

async function abort_iteration(world) {
  const controller = new AbortController();
  const stream = await world
    .client()
    .messages.create(ask('Endless.\nx-sim-output-tokens: 1000', { stream: true }), {
      ...endless(),
      signal: controller.signal,
    });
  let deltas = 0;
  for await (const event of stream) {
    if (event.type === 'content_block_delta' && ++deltas === 5) controller.abort();
  }
  assert.ok(deltas >= 5 && deltas < 1000);
  const row = await departure(world);
  assert.ok(row.output_tokens_sent < 200, 'cancelled soon');
  assert.equal(row.complete, false);
}

async function abort_helper(world) {
  const stream = world.client().messages.stream(ask('Endless.\nx-sim-output-tokens: 1000'), endless());
  stream.once('text', () => stream.abort());
  await assert.rejects(stream.finalMessage(), world.sdk.APIUserAbortError);
  assert.ok(stream.aborted);
  await departure(world);
}

async function leave_loop(world) {
  const stream = await world
    .client()
    .messages.create(ask('Endless.\nx-sim-output-tokens: 1000', { stream: true }), endless());
  for await (const event of stream) {
    if (event.type === 'content_block_delta') break;
  }
  await departure(world);
}

async function abort_whole(world) {
  const controller = new AbortController();
  const call = world
    .client()
    .messages.create(ask('Slow.'), { headers: { 'x-sim-fault': 'slow-head=30000' }, signal: controller.signal });
  await eventually('the request is upstream', async () => (await world.asked()).length === 1);
  controller.abort();
  await assert.rejects(call, world.sdk.APIUserAbortError);
  await departure(world);
}

async function timeout(world) {
  const client = world.client({ timeout: 300, defaultHeaders: { 'x-sim-fault': 'slow-head=30000' } });
  await assert.rejects(client.messages.create(ask('Slow.')), world.sdk.APIConnectionTimeoutError);
  const row = await departure(world);
  assert.equal(row.status, 0);
}

async function timeout_retried(world) {
  await world.arm('slow-head=30000');
  const message = await world.client({ timeout: 500, maxRetries: 1 }).messages.create(ask('x-sim-text: in time'));
  assert.equal(text_of(message), 'in time');
  await departure(world);
  assert.deepEqual(
    (await world.asked()).map((row) => row.headers['x-stainless-retry-count']),
    ['0', '1'],
  );
}

// Reads a stream until it fails. Returns the text so far and the failure.
async function read_until_failure(stream) {
  let text = '';
  try {
    for await (const event of stream) {
      if (event.type === 'content_block_delta') text += event.delta.text;
    }
  } catch (error) {
    return { text, error };
  }
  return assert.fail(`the stream should have failed, it ended after "${text}"`);
}

async function error_event(world) {
  const client = world.client({ maxRetries: 2, defaultHeaders: { 'x-sim-fault': 'overload-in-stream=content' } });
  const { text, error } = await read_until_failure(await client.messages.create(ask('Hi.', { stream: true })));
  assert.ok(text.length > 0);
  assert.ok(error instanceof world.sdk.APIError);
  assert.equal(error.error.error.type, 'overloaded_error');
  const row = await world.only_request();
  assert.equal(error.error.request_id, row.request_id, "the upstream's own event");
  assert.equal(error.requestID, row.request_id);
}

async function cut(world) {
  for (const fault of [
    'cut-after-events=8',
    'cut-after-events=8,rst',
    'cut-at-byte=1500',
    'clean-eof-after-events=8',
  ]) {
    await world.begin();
    const client = world.client({ defaultHeaders: { 'x-sim-fault': fault, 'x-sim-event-tokens': '1' } });
    const { text, error } = await read_until_failure(
      await client.messages.create(ask('Cut.\nx-sim-output-tokens: 100', { stream: true })),
    );
    assert.ok(text.length > 0, fault);
    // Not a broken connection but an error event, so the SDK knows that the API spoke.
    assert.ok(error instanceof world.sdk.APIError, `${fault}: ${error.stack}`);
    assert.ok(!(error instanceof world.sdk.APIConnectionError), `${fault}: ${error.stack}`);
    assert.equal(error.error.type, 'error', fault);
    assert.match(error.error.error.details.reason, /^upstream_cut$/, fault);
    assert.equal((await world.asked()).length, 1, `${fault}: content was seen, so nothing is repeated`);
  }
}

async function malformed(world) {
  const client = world.client({ defaultHeaders: { 'x-sim-fault': 'bad-chunk,event-interval=20' } });
  const error = await refused(client.messages.create(ask('Hi.', { stream: true })), 502);
  assert.equal(error.error.error.details.reason, 'upstream_protocol_error');
}

async function stall(world) {
  const gateway = await world.another_gateway({
    CLAUDE_PROXY_UPSTREAM_IDLE_TIMEOUT: '300ms',
    CLAUDE_PROXY_PING_INTERVAL: '100ms',
  });
  const client = world.client({
    baseURL: gateway.url,
    defaultHeaders: { 'x-sim-fault': 'stall-after-events=8', 'x-sim-event-tokens': '1' },
  });
  const { text, error } = await read_until_failure(
    await client.messages.create(ask('Stall.\nx-sim-output-tokens: 100', { stream: true })),
  );
  assert.ok(text.length > 0);
  assert.equal(error.error.error.type, 'timeout_error');
  assert.equal(error.error.error.details.reason, 'upstream_idle_timeout');
  await departure(world);
}

async function head_timeout(world) {
  const gateway = await world.another_gateway({ CLAUDE_PROXY_UPSTREAM_HEAD_TIMEOUT: '300ms' });
  const client = world.client({ baseURL: gateway.url, defaultHeaders: { 'x-sim-fault': 'slow-head=30000' } });
  await assert.rejects(client.messages.create(ask('Hi.')), (error) => {
    assert.equal(error.status, 504);
    assert.ok(error instanceof (world.sdk.GatewayTimeoutError ?? world.sdk.InternalServerError));
    assert.equal(error.error.error.details.reason, 'upstream_head_timeout');
    return true;
  });
  await departure(world);
}

async function nobody_upstream(world) {
  const gateway = await world.another_gateway({}, 'http://127.0.0.1:1');
  await assert.rejects(world.client({ baseURL: gateway.url }).messages.create(ask('Hi.')), (error) => {
    assert.equal(error.status, 502);
    assert.ok(error instanceof world.sdk.InternalServerError);
    assert.equal(error.error.error.details.reason, 'upstream_connect_failed');
    return true;
  });
}

async function after_all_that(world) {
  const message = await world.client().messages.create(ask('x-sim-text: still here'));
  assert.equal(text_of(message), 'still here');
  assert_usage(message.usage, await world.only_request());
}

export const trouble = [
  ['the caller aborts its iteration', abort_iteration],
  ['the caller aborts the helper', abort_helper],
  ['the caller leaves the loop', leave_loop],
  ['the caller aborts a whole answer', abort_whole],
  ["the SDK's own timeout", timeout],
  ['a timeout and a retry', timeout_retried],
  ['an error event after some content', error_event],
  ['the upstream breaks off', cut],
  ["the upstream's framing is broken before any content", malformed],
  ['the upstream goes silent', stall],
  ['no answer head in time', head_timeout],
  ['nobody listens upstream', nobody_upstream],
  ['afterwards all is well', after_all_that],
];
