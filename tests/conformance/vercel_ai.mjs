// The Vercel AI SDK with its Anthropic provider.
import assert from 'node:assert/strict';
import { createAnthropic } from '@ai-sdk/anthropic';
import { APICallError, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { arm, asked, eventually, gateway, key, model, only_request, run_all } from './checks.mjs';

const provider = (options = {}) => createAnthropic({ baseURL: `${gateway}/v1`, apiKey: key, ...options });
const ask = (prompt, more = {}) => ({
  model: provider(more.provider)(model),
  prompt,
  maxRetries: 0,
  maxOutputTokens: 2000,
  ...more,
});

function same_usage(usage, row) {
  assert.equal(usage.inputTokens, row.usage.input_tokens);
  assert.equal(usage.outputTokens, row.usage.output_tokens);
}

const weather = tool({
  description: 'The weather in a town.',
  inputSchema: z.object({ town: z.string() }),
  execute: async ({ town }) => ({ town, degrees: 21 }),
});

await run_all({
  generateText: async () => {
    const result = await generateText(ask('x-sim-text: Grüezi 🙂'));
    assert.equal(result.text, 'Grüezi 🙂');
    assert.equal(result.finishReason, 'stop');
    const row = await only_request();
    assert.equal(result.response.id, row.message_id);
    assert.equal(result.response.headers['request-id'], row.request_id);
    same_usage(result.usage, row);
  },
  'a bearer token': async () => {
    const result = await generateText(ask('x-sim-text: token', { provider: { apiKey: undefined, authToken: key } }));
    assert.equal(result.text, 'token');
  },
  streamText: async () => {
    const result = streamText(ask('x-sim-output-tokens: 150'));
    let text = '';
    for await (const piece of result.textStream) text += piece;
    assert.equal(Math.ceil([...text].length / 4), 150);
    assert.equal(await result.text, text);
    assert.equal(await result.finishReason, 'stop');
    same_usage(await result.usage, await only_request());
  },
  'twenty streams at once': async () => {
    const wishes = Array.from({ length: 20 }, (_, n) => `number ${n} ${'word '.repeat(n)}end`);
    const texts = await Promise.all(wishes.map((text) => streamText(ask(`x-sim-text: ${text}`)).text));
    assert.deepEqual(texts, wishes);
  },
  'tools, two steps': async () => {
    const result = await generateText(
      ask('What is the weather in Bern?', { tools: { weather }, stopWhen: stepCountIs(3) }),
    );
    assert.equal(result.steps.length, 2);
    assert.equal(result.steps[0].toolResults[0].output.degrees, 21);
    assert.equal(result.finishReason, 'stop');
    const rows = await asked();
    assert.equal(rows.length, 2);
    result.steps.forEach((step, n) => same_usage(step.usage, rows[n]));
  },
  'tools, streamed': async () => {
    const result = streamText(ask('What is the weather in Bern?', { tools: { weather }, stopWhen: stepCountIs(3) }));
    const kinds = [];
    for await (const part of result.fullStream) if (kinds.at(-1) !== part.type) kinds.push(part.type);
    assert.ok(kinds.includes('tool-call') && kinds.includes('tool-result'), kinds.join(' '));
    assert.equal((await result.steps).length, 2);
  },
  reasoning: async () => {
    const providerOptions = { anthropic: { thinking: { type: 'enabled', budgetTokens: 1500 } } };
    const result = await generateText(ask('Think.', { providerOptions }));
    assert.ok(result.reasoningText.length > 0);
    assert.ok(result.reasoning[0].providerMetadata.anthropic.signature.length > 100);
    const streamed = streamText(ask('Think.', { providerOptions }));
    assert.equal(await streamed.reasoningText, result.reasoningText);
  },
  errors: async () => {
    const failure = (options) =>
      generateText(ask('Hi.', options)).then(
        () => assert.fail('no error'),
        (error) => error,
      );
    const unauthorised = await failure({ provider: { apiKey: 'sk-cp-wrong' } });
    assert.ok(APICallError.isInstance(unauthorised), String(unauthorised));
    assert.equal(unauthorised.statusCode, 401);
    assert.equal(unauthorised.data.error.type, 'authentication_error');
    assert.equal(unauthorised.isRetryable, false);
    const overloaded = await failure({ headers: { 'x-sim-fault': 'status=529' } });
    assert.equal(overloaded.statusCode, 529);
    assert.equal(overloaded.isRetryable, true);
    const limited = await failure({ headers: { 'x-sim-fault': 'status=429;retry-after=7' } });
    assert.equal(limited.responseHeaders['retry-after'], '7');
  },
  retries: async () => {
    await arm('status=429;retry-after=0');
    const result = await generateText(ask('x-sim-text: again', { maxRetries: 2 }));
    assert.equal(result.text, 'again');
    assert.equal((await asked()).length, 2);
  },
  'an error event after some content': async () => {
    const kinds = [];
    const result = streamText(
      ask('Hi.', { headers: { 'x-sim-fault': 'overload-in-stream=content' }, onError: () => {} }),
    );
    for await (const part of result.fullStream) kinds.push(part.type);
    assert.ok(kinds.includes('text-delta') && kinds.includes('error'), kinds.join(' '));
  },
  'a stream cut upstream': async () => {
    const errors = [];
    const result = streamText(
      ask('x-sim-output-tokens: 200', { headers: { 'x-sim-fault': 'cut-after-events=8' }, onError: () => {} }),
    );
    for await (const part of result.fullStream) if (part.type === 'error') errors.push(part.error);
    assert.equal(errors.length, 1);
    assert.match(JSON.stringify(errors[0]) + String(errors[0]), /api_error|upstream/);
  },
  abort: async () => {
    const controller = new AbortController();
    const result = streamText(
      ask('x-sim-output-tokens: 5000', {
        headers: { 'x-sim-fault': 'event-interval=20' },
        abortSignal: controller.signal,
        onError: () => {},
      }),
    );
    for await (const part of result.fullStream) if (part.type === 'text-delta') controller.abort();
    await eventually('the upstream call was cancelled', async () => (await only_request()).client_left);
  },
});
