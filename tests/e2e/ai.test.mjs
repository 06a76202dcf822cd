// The npm package ai with its DeepSeek provider against the real binary.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createDeepSeek } from '@ai-sdk/deepseek';
import { DeepSeekChatLanguageModel } from '@ai-sdk/deepseek/internal';
import { generateObject, generateText, jsonSchema, stepCountIs, streamObject, streamText, tool } from 'ai';
import { Server, model as name } from './hadal.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;
let server, model, schemaModel;
before(async () => {
  server = await Server.start('--set', 'server.access_log=off');
  model = createDeepSeek({ baseURL: server.url, apiKey: 'none' })(name);
  // The provider's own switch for endpoints that take a JSON Schema, which DeepSeek's does not.
  schemaModel = new DeepSeekChatLanguageModel(name, { provider: 'deepseek.chat', url: ({ path }) => `${server.url}${path}`,
    headers: () => ({ authorization: 'Bearer none' }), supportsStructuredOutputs: true });
});
after(() => server.stop());

const thinking = (type) => ({ deepseek: { thinking: { type } } });
const question = { prompt: 'who are you?', maxRetries: 0, maxOutputTokens: 200 };
const plain = { ...question, temperature: 0, providerOptions: thinking('disabled') };
const city = jsonSchema({ type: 'object', properties: { city: { enum: ['Paris', 'Berlin'] } }, required: ['city'], additionalProperties: false });
const weather = (execute) => ({ weather: tool({ description: 'The weather of a city.', inputSchema: city, execute }) });
const person = jsonSchema({ type: 'object', properties: { name: { type: 'string', maxLength: 12 }, age: { type: 'integer', minimum: 18, maximum: 99 } },
  required: ['name', 'age'], additionalProperties: false });

test('generateText: text, reason and usage', async () => {
  const r = await generateText({ model, ...plain });
  assert.match(r.text, /^I am Hadal/);
  assert.equal(r.finishReason, 'stop');
  assert.equal(r.reasoningText, undefined);
  assert.equal(r.usage.inputTokens, 8);
  assert.ok(r.usage.outputTokens > 10);
  assert.equal(r.usage.totalTokens, r.usage.inputTokens + r.usage.outputTokens);
});

test('generateText: reasoning stands apart and is counted', async () => {
  const r = await generateText({ model, ...question, temperature: 0, providerOptions: thinking('enabled') });
  assert.ok(r.reasoningText.length > 5);
  assert.ok(r.text.length > 5 && !r.text.includes('think>'));
  assert.ok(r.usage.outputTokenDetails.reasoningTokens > 3);
});

test('streamText: the parts in order, the text of the whole answer, the usage', async () => {
  for (const type of ['disabled', 'enabled']) {
    const request = { model, ...question, temperature: 0, providerOptions: thinking(type) };
    const whole = await generateText(request);
    const stream = streamText(request);
    const kinds = [];
    for await (const part of stream.fullStream) {
      assert.notEqual(part.type, 'error', JSON.stringify(part));
      if (kinds.at(-1) !== part.type) kinds.push(part.type);
    }
    const thinks = type === 'enabled';  // the provider ends the reasoning once the text has started
    assert.deepEqual(kinds, ['start', 'start-step', ...(thinks ? ['reasoning-start', 'reasoning-delta'] : []), 'text-start',
      ...(thinks ? ['reasoning-end'] : []), 'text-delta', 'text-end', 'finish-step', 'finish']);
    assert.equal(await stream.text, whole.text);
    assert.equal(await stream.reasoningText, whole.reasoningText);
    assert.equal(await stream.finishReason, 'stop');
    assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
  }
});

test('maxOutputTokens reached is length, streamed or not', async () => {
  const request = { model, ...plain, maxOutputTokens: 2 };
  assert.equal((await generateText(request)).finishReason, 'length');
  const stream = streamText(request);
  await stream.consumeStream();
  assert.equal(await stream.finishReason, 'length');
});

test('stopSequences end the text', async () => {
  assert.equal((await generateText({ model, ...plain, stopSequences: ['demo'] })).text, "I am Hadal's built-in ");
});

test('tools: a call is executed, its result sent back and the next answer comes', async () => {
  for (const type of ['disabled', 'enabled']) {
    const seen = [];
    const r = await generateText({ model, prompt: 'How is the weather in Paris?', maxRetries: 0, maxOutputTokens: 300, temperature: 0,
      tools: weather(async (input) => { seen.push(input); return 'sunny'; }), toolChoice: 'required', stopWhen: stepCountIs(3), providerOptions: thinking(type),
      prepareStep: ({ stepNumber }) => (stepNumber === 0 ? {} : { toolChoice: 'none' }) });
    assert.equal(r.steps.length, 2, JSON.stringify(r.steps.map((s) => s.finishReason)));
    assert.equal(r.steps[0].finishReason, 'tool-calls');
    assert.ok(seen.length >= 1 && seen.every((input) => ['Paris', 'Berlin'].includes(input.city)));
    assert.equal(r.steps[0].toolResults.length, seen.length);
    assert.equal(r.steps[1].toolCalls.length, 0);
    assert.ok(r.text.length > 0);
    assert.equal(Boolean(r.steps[0].reasoningText), type === 'enabled');
  }
});

test('tools: a call in a stream has its input in pieces', async () => {
  const stream = streamText({ model, ...plain, tools: weather(async () => 'sunny'), toolChoice: { type: 'tool', toolName: 'weather' } });
  const parts = [];
  for await (const part of stream.fullStream) {
    assert.notEqual(part.type, 'error', JSON.stringify(part));
    parts.push(part);
  }
  const input = parts.filter((p) => p.type === 'tool-input-delta').map((p) => p.delta).join('');
  const call = parts.find((p) => p.type === 'tool-call');
  assert.ok(['Paris', 'Berlin'].includes(call.input.city));
  assert.ok(input.startsWith(JSON.stringify(call.input).slice(0, 2)) || input.trim().startsWith('{'));
  assert.ok(parts.some((p) => p.type === 'tool-result' && p.output === 'sunny'));
  assert.equal(await stream.finishReason, 'tool-calls');
});

test('generateObject: an object of a JSON Schema, with and without thinking', async () => {
  for (const type of ['disabled', 'enabled']) {
    const r = await generateObject({ model: schemaModel, schema: person, ...question, temperature: 0, providerOptions: thinking(type) });
    assert.ok(r.object.age >= 18 && r.object.age <= 99 && r.object.name.length <= 12, JSON.stringify(r.object));
    assert.equal(r.finishReason, 'stop');
  }
});

test('streamObject: the object grows to one that validates', async () => {
  const stream = streamObject({ model: schemaModel, schema: person, ...plain });
  let last;
  for await (const partial of stream.partialObjectStream) last = partial;
  assert.deepEqual(last, await stream.object);
  assert.ok(last.age >= 18);
});

test('an error has its status and message, and is not tried again for nothing', async () => {
  await assert.rejects(generateText({ model, ...plain, temperature: 3 }), (e) => {
    assert.equal(e.statusCode, 400);
    assert.match(e.message, /temperature is 3/);
    assert.equal(e.isRetryable, false);
    return true;
  });
});
