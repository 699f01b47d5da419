// Message Batches, whose results_url the SDK follows blindly: it must lead through the gateway.
import assert from 'node:assert/strict';
import { eventually } from '../support/world.mjs';
import { model } from './messages.mjs';

const item = (custom_id, content, more = {}) => ({
  custom_id,
  params: { model, max_tokens: 100, messages: [{ role: 'user', content }], ...more },
});

// The simulator gives the same prompt the same answer, in a batch or not.
async function answer_to(client, content) {
  return (await client.messages.create(item('', content).params)).content[0].text;
}

function assert_through_gateway(world) {
  for (const { url } of world.requested)
    assert.ok(url.startsWith(`${world.gateway.url}/`), `${url} leads past the gateway`);
}

const ended = (client, id) =>
  eventually('the batch has ended', async () => {
    const now = await client.messages.batches.retrieve(id);
    return now.processing_status === 'ended' && now;
  });

async function life(world) {
  const client = world.client();
  const created = await client.messages.batches.create({
    requests: [item('one', 'Uno?'), item('two', 'Due?'), item('bad', 'x', { model: 'claude-nobody' })],
  });
  assert.equal(created.type, 'message_batch');
  assert.equal(created.processing_status, 'in_progress');
  assert.equal(created.results_url, null);
  const done = await ended(client, created.id);
  assert.equal(done.results_url, `${world.gateway.url}/v1/messages/batches/${created.id}/results`);
  assert.deepEqual({ ...done.request_counts }, { processing: 0, succeeded: 2, errored: 1, canceled: 0, expired: 0 });

  const results = new Map();
  for await (const one of await client.messages.batches.results(created.id)) results.set(one.custom_id, one.result);
  assert.equal(results.size, 3);
  assert.equal(results.get('one').message.content[0].text, await answer_to(client, 'Uno?'));
  assert.equal(results.get('two').message.content[0].text, await answer_to(client, 'Due?'));
  assert.equal(results.get('bad').error.error.type, 'not_found_error');

  // The usage in the results is what the simulator billed for the items.
  const { requests } = await world.control('GET', `/sim/ledger?since=${world.seen}`);
  for (const id of ['one', 'two']) {
    const billed = requests.find((row) => row.method === 'BATCH' && row.custom_id === id).usage;
    assert.equal(results.get(id).message.usage.input_tokens, billed.input_tokens);
    assert.equal(results.get(id).message.usage.output_tokens, billed.output_tokens);
  }
  assert_through_gateway(world);
  const followed = (await world.asked()).filter((row) => row.path.endsWith('/results'));
  assert.equal(followed.length, 1, 'the results were fetched once');
  assert.equal(followed[0].key_suffix, 'm-0001', 'with the upstream credential');
  assert.equal(followed[0].status, 200);

  const deleted = await client.messages.batches.delete(created.id);
  assert.deepEqual([deleted.id, deleted.type], [created.id, 'message_batch_deleted']);
  await assert.rejects(client.messages.batches.retrieve(created.id), world.sdk.NotFoundError);
}

async function list(world) {
  const client = world.client();
  const made = [];
  for (const n of [1, 2, 3]) made.push((await client.messages.batches.create({ requests: [item(`n${n}`, 'Hi.')] })).id);
  await ended(client, made[2]);
  const found = [];
  for await (const one of client.messages.batches.list({ limit: 2 })) {
    found.push(one.id);
    if (one.results_url) assert.ok(one.results_url.startsWith(`${world.gateway.url}/v1/messages/batches/`));
  }
  assert.deepEqual(
    found.filter((id) => made.includes(id)),
    made.toReversed(),
  );
  assert.equal(new Set(found).size, found.length);
}

async function cancel(world) {
  const client = world.client();
  const created = await client.messages.batches.create(
    { requests: [item('never', 'Hi.')] },
    { headers: { 'x-sim-batch-delay-ms': '600000' } },
  );
  const cancelled = await client.messages.batches.cancel(created.id);
  assert.equal(cancelled.id, created.id);
  assert.equal(cancelled.processing_status, 'canceling');
  assert.ok(cancelled.cancel_initiated_at);
  const done = await ended(client, created.id);
  assert.equal(done.request_counts.canceled, 1);
  const results = [];
  for await (const one of await client.messages.batches.results(created.id)) results.push(one);
  assert.deepEqual(
    results.map((one) => [one.custom_id, one.result.type]),
    [['never', 'canceled']],
  );
  assert_through_gateway(world);
}

async function many(world) {
  const client = world.client();
  const count = 2000;
  const created = await client.messages.batches.create({
    requests: Array.from({ length: count }, (_, n) => item(`item-${n}`, `Number ${n}?`)),
  });
  await ended(client, created.id);
  const answers = new Map();
  for await (const one of await client.messages.batches.results(created.id))
    answers.set(one.custom_id, one.result.message.content[0].text);
  assert.equal(answers.size, count);
  for (const n of [0, 1, 999, count - 1])
    assert.equal(answers.get(`item-${n}`), await answer_to(client, `Number ${n}?`));
}

async function too_early(world) {
  const client = world.client();
  const created = await client.messages.batches.create(
    { requests: [item('later', 'Hi.')] },
    { headers: { 'x-sim-batch-delay-ms': '600000' } },
  );
  await assert.rejects(client.messages.batches.results(created.id), /results_url/);
  await assert.rejects(client.messages.batches.delete(created.id), world.sdk.BadRequestError);
  await client.messages.batches.cancel(created.id);
}

async function beta(world) {
  const client = world.client();
  const created = await client.beta.messages.batches.create({
    requests: [item('b', 'Beta?')],
    betas: ['made-up-2026-01-01'],
  });
  await eventually(
    'the batch has ended',
    async () => (await client.beta.messages.batches.retrieve(created.id)).processing_status === 'ended',
  );
  const results = [];
  for await (const one of await client.beta.messages.batches.results(created.id))
    results.push(one.result.message.content[0].text);
  assert.deepEqual(results, [await answer_to(client, 'Beta?')]);
  assert_through_gateway(world);
  const creating = (await world.asked()).find((row) => row.method === 'POST');
  assert.match(creating.headers['anthropic-beta'], /(^|,)made-up-2026-01-01(,|$)/);
}

export const batches = [
  ['create, retrieve, results, delete', life],
  ['list, page after page, with our URLs', list],
  ['cancel', cancel],
  ['2000 results as a stream of lines', many],
  ['results and deletion before the end are refused', too_early],
  ['the beta namespace', beta],
];
