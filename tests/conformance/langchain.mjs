// LangChain's chat model for Anthropic.
import assert from 'node:assert/strict';
import { ChatAnthropic } from '@langchain/anthropic';
import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { z } from 'zod';
import { arm, asked, eventually, gateway, key, model, only_request, run_all } from './checks.mjs';

function chat({ headers, ...options } = {}) {
  return new ChatAnthropic({
    model,
    apiKey: key,
    anthropicApiUrl: gateway,
    maxTokens: 2000,
    maxRetries: 0,
    clientOptions: { defaultHeaders: headers },
    ...options,
  });
}

function same_usage(message, row) {
  assert.equal(message.usage_metadata.input_tokens, row.usage.input_tokens);
  assert.equal(message.usage_metadata.output_tokens, row.usage.output_tokens);
}

const weather = tool(async ({ town }) => `${town}: 21 °C`, {
  name: 'get_weather',
  description: 'The weather in a town.',
  schema: z.object({ town: z.string() }),
});

const failure = (call) =>
  call.then(
    () => assert.fail('no error'),
    (error) => error,
  );

await run_all({
  invoke: async () => {
    const message = await chat().invoke([new SystemMessage('Be kind.'), new HumanMessage('x-sim-text: Grüezi 🙂')]);
    assert.equal(message.text, 'Grüezi 🙂');
    const row = await only_request();
    assert.equal(message.response_metadata.id ?? message.id, row.message_id);
    same_usage(message, row);
  },
  stream: async () => {
    let whole;
    let pieces = 0;
    for await (const chunk of await chat().stream('x-sim-output-tokens: 150')) {
      whole = whole ? whole.concat(chunk) : chunk;
      ++pieces;
    }
    assert.ok(pieces > 10);
    assert.equal(Math.ceil([...whole.text].length / 4), 150);
    // LangChain adds the output tokens of message_start (one) to the cumulative count of message_delta.
    const { usage } = await only_request();
    assert.equal(whole.usage_metadata.input_tokens, usage.input_tokens);
    assert.equal(whole.usage_metadata.output_tokens, usage.output_tokens + 1);
  },
  'batch of twenty': async () => {
    const wishes = Array.from({ length: 20 }, (_, n) => `number ${n} ${'word '.repeat(n)}end`);
    const messages = await chat().batch(wishes.map((text) => `x-sim-text: ${text}`));
    assert.deepEqual(
      messages.map((message) => message.text),
      wishes,
    );
  },
  'tools, with the result sent back': async () => {
    const bound = chat().bindTools([weather]);
    const question = new HumanMessage('What is the weather in Bern?');
    const first = await bound.invoke([question]);
    assert.equal(first.tool_calls[0].name, 'get_weather');
    const result = await weather.invoke(first.tool_calls[0]);
    assert.ok(result instanceof ToolMessage);
    const second = await bound.invoke([question, first, result]);
    assert.equal(second.tool_calls.length, 0);
    assert.ok(second.text.length > 0);
    const rows = await asked();
    same_usage(first, rows[0]);
    same_usage(second, rows[1]);
  },
  thinking: async () => {
    const message = await chat({ thinking: { type: 'adaptive' } }).invoke('Think.');
    const thought = message.content.find((block) => block.type === 'thinking');
    assert.ok(thought.thinking.length > 0 && thought.signature.length > 100);
  },
  errors: async () => {
    const unauthorised = await failure(chat({ apiKey: 'sk-cp-wrong' }).invoke('Hi.'));
    assert.equal(unauthorised.status, 401);
    assert.deepEqual(await asked(), []);
    const unknown = await failure(chat({ model: 'claude-nobody' }).invoke('Hi.'));
    assert.equal(unknown.status, 404);
    const overloaded = await failure(chat({ headers: { 'x-sim-fault': 'status=529' } }).invoke('Hi.'));
    assert.equal(overloaded.status, 529);
  },
  retries: async () => {
    await arm('status=529;retry-after=0');
    assert.equal((await chat({ maxRetries: 2 }).invoke('x-sim-text: again')).text, 'again');
    assert.equal((await asked()).length, 2);
  },
  'a stream cut upstream': async () => {
    const reading = async () => {
      for await (const _ of await chat({ headers: { 'x-sim-fault': 'cut-after-events=8' } }).stream(
        'x-sim-output-tokens: 200',
      ))
        continue;
    };
    const error = await failure(reading());
    assert.match(String(error), /upstream_cut/);
  },
  'leaving a stream': async () => {
    const stream = await chat({ headers: { 'x-sim-fault': 'event-interval=20' } }).stream('x-sim-output-tokens: 5000');
    for await (const chunk of stream) if (chunk.text) break;
    await eventually('the upstream call was cancelled', async () => (await only_request()).client_left);
  },
});
