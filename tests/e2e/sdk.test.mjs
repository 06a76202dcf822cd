// The npm openai SDK against the real binary.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { Server, model } from './hadal.mjs';

let server, client;
const question = [{ role: 'user', content: 'I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?' }];
const sampled = { model, messages: [{ role: 'user', content: 'Who are you?' }], temperature: 0.9, max_tokens: 40 };

before(async () => {
  server = await Server.start();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

test('models lists the built-in model', async () => {
  const models = await client.models.list();
  assert.deepEqual(models.data.map((m) => m.id), [model]);
  assert.equal((await client.models.retrieve(model)).id, model);
});

test('a chat completion has reasoning, content, usage and a finish reason', async () => {
  const r = await client.chat.completions.create({ model, messages: question, temperature: 0 });
  const message = r.choices[0].message;
  assert.equal(message.role, 'assistant');
  assert.ok(message.content.length > 10, message.content);
  assert.ok(message.reasoning_content.length > 10);
  assert.ok(!message.content.includes('think>'));
  assert.equal(r.choices[0].finish_reason, 'stop');
  assert.equal(r.usage.total_tokens, r.usage.prompt_tokens + r.usage.completion_tokens);
  assert.equal(r.usage.prompt_cache_hit_tokens + r.usage.prompt_cache_miss_tokens, r.usage.prompt_tokens);
  assert.equal(r.usage.prompt_tokens_details.cached_tokens, r.usage.prompt_cache_hit_tokens);
  assert.ok(r.usage.completion_tokens_details.reasoning_tokens > 0);
});

test('streaming gives the same text as one answer, and the usage when asked', async () => {
  const whole = await client.chat.completions.create({ model, messages: question, temperature: 0 });
  const stream = await client.chat.completions.create({
    model, messages: question, temperature: 0, stream: true, stream_options: { include_usage: true } });
  let content = '', reasoning = '', usage = null, finish = null;
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    const choice = chunk.choices[0];
    content += choice?.delta.content ?? '';
    reasoning += choice?.delta.reasoning_content ?? '';
    finish = choice?.finish_reason ?? finish;
  }
  assert.equal(content, whole.choices[0].message.content);
  assert.equal(reasoning, whole.choices[0].message.reasoning_content);
  assert.equal(finish, 'stop');
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test('the second identical prompt is served from the prefix cache with the same tokens', async () => {
  const messages = [{ role: 'user', content: `${question[0].content} Please answer with care. `.repeat(6) }];
  const cold = await client.chat.completions.create({ model, messages, temperature: 0, max_tokens: 60 });
  const warm = await client.chat.completions.create({ model, messages, temperature: 0, max_tokens: 60 });
  assert.equal(cold.usage.prompt_cache_hit_tokens < 32, true);
  assert.ok(warm.usage.prompt_cache_hit_tokens > 64, JSON.stringify(warm.usage));
  assert.equal(warm.choices[0].message.content, cold.choices[0].message.content);
  assert.equal(warm.choices[0].message.reasoning_content, cold.choices[0].message.reasoning_content);
});

test('completions continue a text, also as a stream and from token ids', async () => {
  const request = { model, prompt: 'Hadal serves', temperature: 0, max_tokens: 12 };
  const whole = await client.completions.create(request);
  assert.equal(whole.object, 'text_completion');
  assert.equal(whole.usage.completion_tokens <= 12, true);
  let text = '';
  for await (const c of await client.completions.create({ ...request, stream: true })) text += c.choices[0]?.text ?? '';
  assert.equal(text, whole.choices[0].text);
  const ids = await client.completions.create({ ...request, prompt: [300, 301, 302] });
  assert.equal(ids.usage.prompt_tokens >= 3, true);
  const echo = await client.completions.create({ ...request, echo: true });
  assert.ok(echo.choices[0].text.startsWith('Hadal serves'));
});

test('max_tokens reached is length', async () => {
  const r = await client.chat.completions.create({ model, messages: question, max_tokens: 3 });
  assert.equal(r.choices[0].finish_reason, 'length');
  assert.equal(r.usage.completion_tokens, 3);
});

test('logprobs: one entry per token, sorted, probabilities below one', async () => {
  const r = await client.chat.completions.create({
    model, messages: question, temperature: 0, max_tokens: 8, logprobs: true, top_logprobs: 5 });
  const all = r.choices[0].logprobs.content;
  assert.equal(all.length, 8);
  for (const t of all) {
    assert.equal(t.top_logprobs.length, 5);
    assert.ok(t.logprob <= 0);
    assert.equal(t.top_logprobs[0].token, t.token);  // greedy
    const sorted = t.top_logprobs.map((x) => x.logprob);
    assert.deepEqual(sorted, [...sorted].sort((a, b) => b - a));
    assert.ok(Array.isArray(t.bytes));
  }
  const c = await client.completions.create({ model, prompt: 'Hadal', max_tokens: 4, logprobs: 3, temperature: 0 });
  assert.equal(c.choices[0].logprobs.tokens.length, 4);
});

test('stop strings end the answer and never show, wherever tokens split', async () => {
  const whole = await client.completions.create({ model, prompt: 'Hadal', max_tokens: 48, temperature: 0 });
  const text = whole.choices[0].text;
  for (let at = 6; at < text.length - 6; at += 7) {
    const stop = text.slice(at, at + 5);
    const first = text.indexOf(stop);
    const r = await client.completions.create({ model, prompt: 'Hadal', max_tokens: 48, temperature: 0, stop: [stop] });
    assert.equal(r.choices[0].text, text.slice(0, first), JSON.stringify(stop));
    assert.equal(r.choices[0].finish_reason, 'stop');
  }
});

test('n choices differ, and a seed gives the same choices again', async () => {
  const request = { ...sampled, n: 4, seed: 7 };
  const a = await client.chat.completions.create(request);
  const b = await client.chat.completions.create(request);
  const texts = (r) => r.choices.map((c) => (c.message.reasoning_content ?? '') + '|' + c.message.content);
  assert.equal(a.choices.length, 4);
  assert.deepEqual(a.choices.map((c) => c.index), [0, 1, 2, 3]);
  assert.deepEqual(texts(a), texts(b));
  assert.ok(new Set(texts(a)).size > 1);
});

test('the same seed gives the same tokens whatever else is in the batch', async () => {
  const text = (r) => (r.choices[0].message.reasoning_content ?? '') + '|' + r.choices[0].message.content;
  const alone = text(await client.chat.completions.create({ ...sampled, seed: 11 }));
  const crowd = await Promise.all([...Array(12).keys()].map((i) =>
    client.chat.completions.create({ ...sampled, seed: i === 5 ? 11 : 1000 + i })));
  assert.equal(text(crowd[5]), alone);
});

test('errors carry status, code and the field', async () => {
  await assert.rejects(client.chat.completions.create({ model, messages: question, temperature: 3 }),
    (e) => e.status === 400 && e.param === 'temperature');
  await assert.rejects(client.chat.completions.create({ model: 'no-such-model', messages: question }),
    (e) => e.status === 404);
});

test('a prompt longer than the context is refused with both counts', async () => {
  const messages = [{ role: 'user', content: 'word '.repeat(9000) }];
  await assert.rejects(client.chat.completions.create({ model, messages }), (e) => {
    assert.equal(e.status, 400);
    assert.equal(e.code, 'context_length_exceeded');
    const numbers = e.message.match(/\d{4,}/g) ?? [];
    assert.ok(numbers.length >= 2, e.message);
    return true;
  });
});
