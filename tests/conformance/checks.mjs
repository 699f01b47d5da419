// Checks of one client as lines of text: `ok NAME` or `FAIL NAME: why`, and `done` at the end.
import assert from 'node:assert/strict';

export const gateway = process.env.CONFORMANCE_GATEWAY_URL;
export const key = process.env.CONFORMANCE_KEY;
export const model = 'claude-opus-5';

const sim = process.env.CONFORMANCE_SIM_URL;
const settle_seconds_max = 10;
const check_seconds_max = 60;
let seen = 0;

export async function control(method, path, body) {
  const answer = await fetch(sim + path, { method, body: body && JSON.stringify(body) });
  assert.equal(answer.status, 200, `${method} ${path}`);
  return answer.json();
}

// What the simulator was asked during this check.
export async function asked() {
  return (await control('GET', `/sim/ledger?since=${seen}`)).requests;
}

export async function only_request() {
  const rows = await asked();
  assert.equal(rows.length, 1, `one upstream request, not ${rows.length}`);
  return rows[0];
}

export const arm = (fault, count = 1) => control('POST', '/sim/faults', { fault, count });

// Polls for a fact of another process that nobody announces.
export async function eventually(what, look) {
  const give_up = Date.now() + settle_seconds_max * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > give_up) assert.fail(`not within ${settle_seconds_max} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function limited(work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not finished within ${check_seconds_max} s`)), check_seconds_max * 1000);
  });
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

export async function run_all(checks) {
  for (const [name, work] of Object.entries(checks)) {
    await control('DELETE', '/sim/faults');
    seen = (await control('GET', '/sim/ledger')).requests.at(-1)?.seq ?? seen;
    try {
      await limited(work);
      console.log(`ok ${name}`);
    } catch (error) {
      const place = error?.stack?.match(/(vercel_ai|langchain)\.mjs:\d+/)?.[0] ?? '';
      console.log(`FAIL ${name}: ${String(error).replaceAll(/\s+/g, ' ').slice(0, 600)} (${place})`);
    }
  }
  console.log('done');
  process.exit(0);
}
