// Who repeats what: the SDK repeats refusals, the gateway only what broke before the caller saw anything.
import assert from 'node:assert/strict';
import { text_of } from '../support/world.mjs';
import { refused } from './errors.mjs';
import { ask } from './messages.mjs';

const retry_counts = (rows) => rows.map((row) => row.headers['x-stainless-retry-count']);

async function one_failure(world) {
  for (const fault of ['status=500', 'status=529', 'status=429;retry-after=0', 'html=502']) {
    for (const stream of [false, true]) {
      await world.begin();
      await world.arm(fault);
      const client = world.client({ maxRetries: 2 });
      const body = ask('Again.\nx-sim-text: at last');
      const message = await (stream ? client.messages.stream(body).finalMessage() : client.messages.create(body));
      assert.equal(text_of(message), 'at last');
      const rows = await world.asked();
      assert.equal(rows.length, 2, `${fault}: the gateway added no attempts of its own`);
      assert.deepEqual(retry_counts(rows), ['0', '1']);
      assert.deepEqual(
        rows.map((row) => row.complete),
        [true, true],
      );
      assert.equal(rows[1].message_id, message.id);
    }
  }
}

async function retry_after(world) {
  await world.arm('status=429;retry-after=1');
  const begun = Date.now();
  await world.client({ maxRetries: 1 }).messages.create(ask('Later.'));
  assert.ok(Date.now() - begun >= 1000, 'the SDK saw retry-after and obeyed');
  assert.equal((await world.asked()).length, 2);
}

async function used_up(world) {
  await world.arm('status=529;retry-after=0', 3);
  const error = await refused(world.client({ maxRetries: 2 }).messages.create(ask('Never.')), 529);
  assert.equal(error.error.error.type, 'overloaded_error');
  const rows = await world.asked();
  assert.deepEqual(retry_counts(rows), ['0', '1', '2']);
  assert.equal(error.requestID, rows[2].request_id);
}

async function forbidden(world) {
  await world.arm('status=500;should-retry=false', 5);
  const error = await refused(world.client({ maxRetries: 3 }).messages.create(ask('Once.')), 500);
  assert.equal(error.headers.get('x-should-retry'), 'false');
  assert.equal((await world.asked()).length, 1);
}

async function demanded(world) {
  await world.arm('status=400;should-retry=true');
  await world.client({ maxRetries: 1 }).messages.create(ask('Twice.'));
  assert.equal((await world.asked()).length, 2);
}

async function cut_whole(world) {
  // A whole answer that was cut may have been billed: the gateway says so at once, the SDK decides to repeat.
  await world.arm('cut-at-byte=50');
  const message = await world.client({ maxRetries: 1 }).messages.create(ask('x-sim-text: second try'));
  assert.equal(text_of(message), 'second try');
  assert.deepEqual(retry_counts(await world.asked()), ['0', '1']);
  await world.begin();
  await world.arm('cut-at-byte=50');
  const error = await refused(world.client().messages.create(ask('Hi.')), 502);
  assert.ok(error instanceof world.sdk.InternalServerError);
  assert.equal(error.error.error.details.reason, 'upstream_cut');
}

async function overloaded_before_content(world) {
  for (const place of ['first', 'start']) {
    // Once: the gateway repeats it and the caller never knows.
    await world.begin();
    await world.arm(`overload-in-stream=${place}`);
    const message = await world.client().messages.stream(ask('x-sim-text: fine')).finalMessage();
    assert.equal(text_of(message), 'fine');
    const rows = await world.asked();
    assert.deepEqual(retry_counts(rows), ['0', '0'], 'the SDK asked once, the gateway twice');
    assert.equal(rows[1].message_id, message.id);
    assert.equal(world.requested.length, 1);

    // For good: a proper status instead of a broken stream.
    await world.begin();
    await world.arm(`overload-in-stream=${place}`, 10);
    const error = await refused(world.client().messages.create(ask('Hi.', { stream: true })), 529);
    assert.ok(error instanceof (world.sdk.OverloadedError ?? world.sdk.InternalServerError));
    assert.equal(error.error.error.type, 'overloaded_error');
    assert.equal((await world.asked()).length, 2);
  }
}

async function cut_before_content(world) {
  for (const fault of ['cut-before-head', 'rst', 'cut-after-events=0', 'cut-after-events=1']) {
    await world.begin();
    await world.arm(fault);
    const message = await world.client().messages.stream(ask('x-sim-text: fine')).finalMessage();
    assert.equal(text_of(message), 'fine', fault);
    assert.equal(world.requested.length, 1, fault);
    const finished = (await world.asked()).filter((row) => row.complete);
    assert.equal(finished.length, 1, fault);
    assert.equal(finished[0].message_id, message.id);
  }
}

export const retries = [
  ['one failure, then success: two upstream requests', one_failure],
  ['retry-after is passed on and obeyed', retry_after],
  ['retries used up', used_up],
  ['x-should-retry: false ends it', forbidden],
  ['x-should-retry: true demands it', demanded],
  ['a whole answer that was cut', cut_whole],
  ['overloaded before the first content', overloaded_before_content],
  ['a stream cut before its first content', cut_before_content],
];
