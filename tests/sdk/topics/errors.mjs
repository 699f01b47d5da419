// Every status as the right exception, with the upstream's own words and request id.
import assert from 'node:assert/strict';
import { ask } from './messages.mjs';

// Awaits the failure of a call and checks what every API error has.
export async function refused(call, status) {
  const error = await call.then(
    () => assert.fail(`an error ${status} was expected`),
    (reason) => reason,
  );
  assert.equal(error.status, status, error.stack);
  return error;
}

function is_envelope(error, type) {
  assert.equal(error.error.type, 'error');
  assert.equal(error.error.error.type, type);
  assert.equal(error.type, type);
}

async function wrong_key(world) {
  for (const options of [{ apiKey: 'sk-cp-wrong' }, { apiKey: null, authToken: 'sk-cp-wrong' }]) {
    const error = await refused(world.client({ ...options, maxRetries: 3 }).messages.create(ask('Hi.')), 401);
    assert.ok(error instanceof world.sdk.AuthenticationError);
    is_envelope(error, 'authentication_error');
    assert.equal(error.error.error.details.reason, 'credential_invalid');
    assert.ok(error.requestID, 'our own answers carry our id in request-id');
    assert.equal(error.requestID, error.headers.get('x-claude-proxy-request-id'));
    assert.equal(error.headers.get('x-should-retry'), 'false');
  }
  assert.equal(world.requested.length, 2, 'no retries');
  assert.deepEqual(await world.asked(), [], 'nothing went upstream');
}

async function unknown_model(world) {
  const error = await refused(
    world.client({ maxRetries: 2 }).messages.create(ask('Hi.', { model: 'claude-nobody' })),
    404,
  );
  assert.ok(error instanceof world.sdk.NotFoundError);
  is_envelope(error, 'not_found_error');
  assert.equal(error.error.error.message, 'model: claude-nobody');
  const row = await world.only_request();
  assert.equal(error.requestID, row.request_id);
  assert.equal(error.error.request_id, row.request_id);
}

async function invalid_request(world) {
  for (const more of [{ max_tokens: -1 }, { messages: [] }, { thinking: { type: 'enabled', budget_tokens: 1 } }]) {
    const error = await refused(world.client({ maxRetries: 2 }).messages.create(ask('Hi.', more)), 400);
    assert.ok(error instanceof world.sdk.BadRequestError);
    is_envelope(error, 'invalid_request_error');
  }
  assert.equal((await world.asked()).length, 3);
}

async function missing_model(world) {
  const error = await refused(world.client().messages.create({ max_tokens: 1, messages: [] }), 400);
  assert.ok(error instanceof world.sdk.BadRequestError);
  is_envelope(error, 'invalid_request_error');
}

async function streamed_refusal(world) {
  const client = world.client();
  const error = await refused(client.messages.create(ask('Hi.', { model: 'claude-nobody', stream: true })), 404);
  assert.ok(error instanceof world.sdk.NotFoundError);
  const helper = await refused(client.messages.stream(ask('Hi.', { model: 'claude-nobody' })).finalMessage(), 404);
  assert.ok(helper instanceof world.sdk.NotFoundError);
}

async function statuses(world) {
  const { sdk } = world;
  // Major 0 has no classes for 402, 413, 504 and 529: those are an APIError, above 499 an InternalServerError.
  const expected = [
    [402, 'billing_error', sdk.PaymentRequiredError ?? sdk.APIError],
    [403, 'permission_error', sdk.PermissionDeniedError],
    [409, 'conflict_error', sdk.ConflictError],
    [413, 'request_too_large', sdk.ContentTooLargeError ?? sdk.APIError],
    [429, 'rate_limit_error', sdk.RateLimitError],
    [500, 'api_error', sdk.InternalServerError],
    [504, 'timeout_error', sdk.GatewayTimeoutError ?? sdk.InternalServerError],
    [529, 'overloaded_error', sdk.OverloadedError ?? sdk.InternalServerError],
  ];
  for (const [status, type, kind] of expected) {
    for (const stream of [false, true]) {
      await world.begin();
      const client = world.client({ defaultHeaders: { 'x-sim-fault': `status=${status};retry-after=7` } });
      const error = await refused(client.messages.create(ask('Hi.', { stream })), status);
      assert.ok(error instanceof kind, `${status} is a ${kind.name}, not ${error.constructor.name}`);
      is_envelope(error, type);
      assert.equal(error.headers.get('retry-after'), '7');
      const row = await world.only_request();
      assert.equal(error.requestID, row.request_id, "the upstream's request id");
      assert.equal(row.status, status);
    }
  }
}

async function edge_page(world) {
  const client = world.client({ defaultHeaders: { 'x-sim-fault': 'html=502' } });
  const error = await refused(client.messages.create(ask('Hi.')), 502);
  assert.ok(error instanceof world.sdk.InternalServerError);
  assert.match(error.message, /cloudflare/);
  assert.match(error.headers.get('content-type'), /^text\/html/);
  assert.ok(error.headers.get('x-claude-proxy-request-id'));
}

async function too_large(world) {
  const content = 'x'.repeat(33 << 20);
  const error = await refused(world.client({ maxRetries: 2 }).messages.create(ask(content)), 413);
  assert.equal(error.error.error.type, 'request_too_large');
  assert.equal(error.error.error.details.reason, 'body_too_large');
  assert.equal(world.requested.length, 1, 'not repeated');
  assert.deepEqual(await world.asked(), []);
}

async function unknown_route(world) {
  const error = await refused(world.client().get('/v2/nothing'), 404);
  assert.ok(error instanceof world.sdk.NotFoundError);
  assert.equal(error.error.error.details.reason, 'route_unknown');
  assert.deepEqual(await world.asked(), []);
}

async function unknown_job(world) {
  const error = await refused(world.client().get('/v1/jobs/job_nobody'), 404);
  assert.ok(error instanceof world.sdk.NotFoundError);
  assert.equal(error.error.error.details.reason, 'job_not_found');
  assert.deepEqual(await world.asked(), [], 'our own names are never forwarded');
}

export const errors = [
  ['a wrong key is ours to refuse', wrong_key],
  ["an unknown model is 404, in the upstream's words", unknown_model],
  ['invalid requests are 400', invalid_request],
  ['a request without a model is 400', missing_model],
  ['a refusal of a stream is a plain error', streamed_refusal],
  ['every status is its exception', statuses],
  ['an HTML page of the edge', edge_page],
  ['a body above 32 MB is 413', too_large],
  ['an unknown route is 404', unknown_route],
  ['an unknown job is 404 and never reaches the upstream', unknown_job],
];
