// What the upstream receives: seen by an upstream that keeps every request as it came.
import assert from 'node:assert/strict';
import diagnostics from 'node:diagnostics_channel';
import http from 'node:http';
import { once } from 'node:events';
import { client_key, upstream_key } from '../support/processes.mjs';
import { ask } from './messages.mjs';

const answer = JSON.stringify({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'm',
  content: [],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 1, output_tokens: 1 },
});

async function with_recorder(world, work) {
  const seen = [];
  const server = http.createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    seen.push({ method: request.method, url: request.url, headers: request.headers, raw: request.rawHeaders, body });
    response.writeHead(200, { 'content-type': 'application/json' }).end(answer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const gateway = await world.another_gateway({}, `http://127.0.0.1:${server.address().port}`);
    await work(world.client({ baseURL: gateway.url }), seen);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function beta_namespace(world) {
  await with_recorder(world, async (client, seen) => {
    const betas = ['first-2026-01-01', 'second-2026-02-02', 'third-2026-03-03'];
    await client.beta.messages.create({ ...ask('Hi.'), betas });
    await client.messages.create(ask('Hi.'));
    // Major 0 marks the beta namespace in the query, major 1 by its headers alone.
    assert.equal(seen[0].url, world.major >= 1 ? '/v1/messages' : '/v1/messages?beta=true');
    assert.equal(seen[0].headers['anthropic-beta'], betas.join(','));
    assert.equal(seen[1].url, '/v1/messages');
    assert.equal(seen[1].headers['anthropic-beta'], undefined);
  });
}

async function unchanged(world) {
  await with_recorder(world, async (client, seen) => {
    const body = ask('Grüezi 🙂 \u2028 "quoted"', {
      metadata: { user_id: 'u-1' },
      an_unknown_field: [1, 2.5, null, { deep: '…' }],
    });
    await client.messages.create(body, {
      headers: { 'x-own': 'kept', 'anthropic-beta': 'a,b' },
      query: { page: 'a b&c', plus: '+' },
    });
    const sent = world.requested.at(-1);
    const { method, url, headers, raw, body: received } = seen[0];
    assert.equal(method, 'POST');
    assert.ok(received.equals(Buffer.from(sent.body)), 'the body, byte for byte');
    assert.equal(url, sent.url.slice(sent.url.indexOf('/v1')), 'path and query as sent');
    assert.equal(headers['x-own'], 'kept');
    assert.equal(headers['anthropic-beta'], 'a,b');
    assert.match(headers['user-agent'], /^Anthropic\/JS /);
    assert.equal(headers['x-stainless-lang'], 'js');
    assert.equal(headers['accept-encoding'], 'identity');
    const all = raw.join('\n');
    assert.ok(!all.includes(client_key), "the caller's key stays here");
    assert.equal(all.split(upstream_key).length, 2, 'one upstream credential');
  });
}

async function base_url_with_v1(world) {
  await with_recorder(world, async (client, seen) => {
    await client.withOptions({ baseURL: `${client.baseURL}/v1` }).messages.create(ask('Hi.'));
    assert.equal(seen[0].url, '/v1/messages');
  });
}

// Connections are counted where they are opened: by the SDK's fetch, and by the simulator.
async function keep_alive(world) {
  const { host } = new URL(world.gateway.url);
  let opened = 0;
  const count = ({ connectParams }) => {
    if (connectParams.host === host) ++opened;
  };
  diagnostics.subscribe('undici:client:connected', count);
  try {
    const client = world.client();
    await client.messages.create(ask('Warm.'));
    const before = await world.control('GET', '/sim/stats');
    opened = 0;
    for (let n = 0; n < 30; ++n) {
      if (n % 3 === 0) await client.messages.stream(ask('Hi.')).finalMessage();
      else if (n % 3 === 1) await client.messages.create(ask('Hi.'));
      else await client.messages.create(ask('Hi.', { model: 'claude-nobody' })).catch(() => {});
    }
    const after = await world.control('GET', '/sim/stats');
    assert.ok(opened <= 1, `${opened} connections of the SDK for 30 requests`);
    // The control requests of the tests themselves may have opened one.
    assert.ok(
      after.connections_accepted - before.connections_accepted <= 2,
      'the gateway keeps its upstream connections',
    );
    assert.equal((await world.asked()).length, 31);
  } finally {
    diagnostics.unsubscribe('undici:client:connected', count);
  }
}

export const requests = [
  ['beta namespace: query and headers', beta_namespace],
  ['body, query and headers arrive unchanged', unchanged],
  ['a base URL that ends in /v1', base_url_with_v1],
  ['connections are kept, on both sides', keep_alive],
];
