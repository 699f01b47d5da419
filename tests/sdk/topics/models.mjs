import assert from 'node:assert/strict';
import { upstream_key } from '../support/processes.mjs';

async function list(world) {
  const headers = { 'x-api-key': upstream_key, 'anthropic-version': '2023-06-01', 'accept-encoding': 'identity' };
  const direct = await fetch(`${world.sim.url}/v1/models?limit=1000`, { headers });
  const expected = (await direct.json()).data.map((one) => one.id);
  assert.ok(expected.length > 10);
  const found = [];
  for await (const one of world.client().models.list({ limit: 5 })) found.push(one.id);
  assert.deepEqual(found, expected);
  assert.equal(world.requested.length, Math.ceil(expected.length / 5), 'one request a page');
}

async function page(world) {
  const first = await world.client().models.list({ limit: 3 });
  assert.equal(first.data.length, 3);
  assert.ok(first.hasNextPage());
  const second = await first.getNextPage();
  assert.equal(second.data.length, 3);
  assert.notEqual(second.data[0].id, first.data[2].id);
}

async function retrieve(world) {
  const known = await world.client().models.retrieve('claude-opus-5');
  assert.equal(known.id, 'claude-opus-5');
  assert.equal(known.type, 'model');
  const alias = await world.client().models.retrieve('claude-haiku-4-5');
  assert.equal(alias.id, 'claude-haiku-4-5-20251001');
}

async function unknown(world) {
  const { NotFoundError } = world.sdk;
  await assert.rejects(world.client().models.retrieve('claude-nobody'), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.status, 404);
    assert.equal(error.error.error.type, 'not_found_error');
    return true;
  });
}

async function beta(world) {
  const found = [];
  for await (const one of world.client().beta.models.list({ limit: 7 })) found.push(one.id);
  assert.ok(found.includes('claude-opus-5'));
  assert.equal(new Set(found).size, found.length);
}

export const models = [
  ['list, page after page', list],
  ['a page and its next', page],
  ['retrieve, by id and by alias', retrieve],
  ['an unknown model is 404', unknown],
  ['the beta namespace lists them too', beta],
];
