import assert from 'node:assert/strict';

const ask = (text) => ({ model: 'claude-opus-5', max_tokens: 32, messages: [{ role: 'user', content: text }] });
const respond_async = { headers: { prefer: 'respond-async' } };

async function submit(world) {
  const { data, response } = await world.client().messages.create(ask('Later.'), respond_async).withResponse();
  assert.equal(response.status, 202);
  assert.equal(response.headers.get('preference-applied'), 'respond-async');
  assert.equal(response.headers.get('location'), `/v1/jobs/${data.id}`);
  assert.match(data.id, /^job_/);
  assert.equal(data.status, 'queued');
  const seen = await world.client().get(`/v1/jobs/${data.id}`);
  assert.equal(seen.model, 'claude-opus-5');
  const cancelled = await world.client().post(`/v1/jobs/${data.id}/cancel`);
  assert.equal(cancelled.status, 'cancelled');
}

async function repeat(world) {
  const body = ask(`Once ${Math.random()}.`);
  const options = { headers: { ...respond_async.headers, 'idempotency-key': `sdk-${Math.random()}` } };
  const first = await world.client().messages.create(body, options).withResponse();
  const again = await world.client().messages.create(body, options).withResponse();
  assert.deepEqual([first.response.status, again.response.status], [202, 200]);
  assert.equal(again.data.id, first.data.id);
}

async function not_finished(world) {
  const { id } = await world.client().messages.create(ask('Never.'), respond_async);
  await assert.rejects(world.client().get(`/v1/jobs/${id}/result`), (error) => {
    assert.ok(error instanceof world.sdk.ConflictError);
    assert.equal(error.error.error.details.reason, 'job_not_finished');
    return true;
  });
}

export const jobs = [
  ['respond-async makes a job of a message', submit],
  ['an idempotency key names one job', repeat],
  ['the result of a job that waits is a conflict', not_finished],
];
