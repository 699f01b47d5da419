// A webhook as its receiver gets it, checked by the official library of Standard Webhooks.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { start_gateway, start_sim, time_scale } from './support/processes.mjs';

const admin_key = 'sk-cp-sdk-admin';
const tests = path.resolve(fileURLToPath(import.meta.url), '../..');
const body = JSON.stringify({ type: 'job.succeeded', data: { id: 'job_1', text: 'Grüße \u{1F600}' } });

// Puts a delivery into the database as the end of a job does: support/webhooks.py of the other suites.
const put = `
import sqlite3, sys, time
path, id, url, body = sys.argv[1:]
now = int(time.time() * 1000)
with sqlite3.connect(path, timeout=20) as database:
    database.execute("INSERT INTO webhook_deliveries (id, job_id, team_id, url, endpoint, event, body, state, next_at,"
        " created_at, updated_at) VALUES (?, 'job_1', 'default', ?, ?, 'job.succeeded', ?, 'waiting', ?, ?, ?)",
        (id, url, url.rsplit("/", 1)[0], body, now, now, now))
`;

describe('webhooks', { timeout: 60_000 * time_scale }, () => {
  let sim, gateway, receiver, folder;
  const got = [];
  const arrivals = new EventTarget();

  before(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'claude-proxy-webhooks-'));
    receiver = http.createServer(async (request, response) => {
      const pieces = [];
      for await (const piece of request) pieces.push(piece);
      got.push({ headers: request.headers, body: Buffer.concat(pieces).toString('utf8') });
      response.writeHead(204).end();
      arrivals.dispatchEvent(new Event('came'));
    });
    await once(receiver.listen(0, '127.0.0.1'), 'listening');
    sim = await start_sim();
    gateway = await start_gateway(sim.url, {
      DATABASE_URL: `sqlite:${folder}/claude-proxy.db`,
      CLAUDE_PROXY_JOURNAL_DIR: `${folder}/journal`,
      CLAUDE_PROXY_ADMIN_KEY: admin_key,
      CLAUDE_PROXY_WEBHOOK_ALLOW: '127.0.0.1',
      CLAUDE_PROXY_WEBHOOK_ALLOW_HTTP: 'yes',
    });
    const line = gateway.lines.map((each) => JSON.parse(each)).find((each) => each.event === 'listening');
    gateway.admin_url = `http://${line.admin_listen}`;
  });
  after(async () => {
    await gateway?.stop();
    await sim?.stop();
    receiver?.closeAllConnections();
    receiver?.close();
    if (folder) fs.rmSync(folder, { recursive: true });
  });

  async function secret(rotate) {
    const answer = await fetch(`${gateway.admin_url}/admin/v1/teams/default/webhook-secret`, {
      method: 'POST',
      headers: { 'x-api-key': admin_key, 'content-type': 'application/json' },
      body: JSON.stringify({ rotate }),
    });
    assert.equal(answer.status, 200);
    return (await answer.json()).secret;
  }

  async function delivered(id) {
    const came = once(arrivals, 'came');
    const url = `http://127.0.0.1:${receiver.address().port}/hook`;
    execFileSync('python3', ['-c', put, `${folder}/claude-proxy.db`, id, url, body], { cwd: tests });
    await came;
    return got.at(-1);
  }

  test('are verified by the official library, before and after a rotation', async () => {
    const first = await secret(false);
    const message = await delivered('evt_first');
    assert.deepEqual(new Webhook(first).verify(message.body, message.headers), JSON.parse(body));
    assert.equal(message.headers['webhook-id'], 'evt_first');

    const second = await secret(true);
    assert.notEqual(second, first);
    const rotated = await delivered('evt_second');
    for (const each of [first, second]) {
      assert.deepEqual(new Webhook(each).verify(rotated.body, rotated.headers), JSON.parse(body));
    }
  });

  test('are refused by it when anything was changed', async () => {
    const message = await delivered('evt_third');
    const webhook = new Webhook(await secret(false));
    assert.throws(() => webhook.verify(message.body.replace('job_1', 'job_2'), message.headers));
    assert.throws(() => webhook.verify(message.body, { ...message.headers, 'webhook-id': 'evt_other' }));
    const later = String(Number(message.headers['webhook-timestamp']) + 1);
    assert.throws(() => webhook.verify(message.body, { ...message.headers, 'webhook-timestamp': later }));
    assert.throws(() => new Webhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw').verify(message.body, message.headers));
  });
});
