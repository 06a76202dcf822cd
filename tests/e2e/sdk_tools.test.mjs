// The npm openai SDK against the real binary: tools there and back, thinking, structured output, and the
// helpers that put streams together and parse what comes.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { makeParseableResponseFormat } from 'openai/lib/parser';
import { Server, model } from './hadal.mjs';

let server, client;
before(async () => {
  server = await Server.start('--set', 'server.access_log=off');
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

const messages = [{ role: 'user', content: 'How is the weather in Paris?' }];
const parameters = { type: 'object', properties: { city: { enum: ['Paris', 'Berlin'] }, days: { type: 'integer', minimum: 1, maximum: 3 } },
  required: ['city', 'days'], additionalProperties: false };
const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather of a city.', parameters, strict: true } }];
const off = { thinking: { type: 'disabled' } };
const forced = { model, messages, tools, tool_choice: 'required', temperature: 0, max_tokens: 400, parallel_tool_calls: false };
const person = { type: 'object', properties: { name: { type: 'string', maxLength: 12 }, age: { type: 'integer', minimum: 18, maximum: 99 } },
  required: ['name', 'age'], additionalProperties: false };
const response_format = { type: 'json_schema', json_schema: { name: 'person', strict: true, schema: person } };

function checkArguments(text) {
  const args = JSON.parse(text);
  assert.deepEqual(Object.keys(args).sort(), ['city', 'days']);
  assert.ok(['Paris', 'Berlin'].includes(args.city) && [1, 2, 3].includes(args.days), text);
  return args;
}

for (const [thinking, name] of [[off, 'without thinking'], [{ thinking: { type: 'enabled' } }, 'while thinking']]) {
  test(`tools ${name}: a call, its result, the next answer`, async () => {
    const first = await client.chat.completions.create({ ...forced, ...thinking });
    const { message, finish_reason } = first.choices[0];
    assert.equal(finish_reason, 'tool_calls');
    assert.equal(message.tool_calls.length, 1);
    assert.equal(Boolean(message.reasoning_content), name === 'while thinking');
    checkArguments(message.tool_calls[0].function.arguments);
    const back = [...messages, message, { role: 'tool', tool_call_id: message.tool_calls[0].id, content: '{"sky":"sunny"}' }];
    const second = await client.chat.completions.create({ ...forced, ...thinking, messages: back, tool_choice: 'none', max_tokens: 60 });
    assert.ok(second.choices[0].message.content.length > 0);
    assert.equal(second.choices[0].message.tool_calls, undefined);
    assert.ok(second.usage.prompt_tokens > first.usage.prompt_tokens);
    const third = await client.chat.completions.create({ ...forced, ...thinking, messages: [...back, second.choices[0].message,
      { role: 'user', content: 'And tomorrow?' }] });
    checkArguments(third.choices[0].message.tool_calls[0].function.arguments);
    assert.notEqual(third.choices[0].message.tool_calls[0].id, message.tool_calls[0].id);
  });
}

test('a named tool is called, whatever else there is', async () => {
  const several = ['first', 'weather', 'last'].map((name) => ({ type: 'function', function: { name, parameters } }));
  for (const name of ['first', 'weather', 'last']) {
    const r = await client.chat.completions.create({ ...forced, ...off, tools: several, tool_choice: { type: 'function', function: { name } } });
    assert.deepEqual(r.choices[0].message.tool_calls.map((c) => c.function.name), [name]);
  }
});

test('the stream helper puts a call together, equal to the whole answer', async () => {
  const whole = await client.chat.completions.create({ ...forced, ...off });
  const stream = client.chat.completions.stream({ ...forced, ...off });
  const snapshots = [];
  stream.on('tool_calls.function.arguments.delta', (event) => snapshots.push(event.arguments));
  const streamed = await stream.finalChatCompletion();
  const callOf = (r) => r.choices[0].message.tool_calls.map((c) => ({ name: c.function.name, arguments: c.function.arguments }));
  assert.deepEqual(callOf(streamed), callOf(whole));
  assert.equal(streamed.choices[0].finish_reason, 'tool_calls');
  assert.ok(snapshots.length > 1);
  assert.equal(snapshots.at(-1), whole.choices[0].message.tool_calls[0].function.arguments);
});

test('runTools calls the function and ends with the named call', async () => {
  const seen = [];
  const runner = client.chat.completions.runTools({ ...forced, ...off, tool_choice: { type: 'function', function: { name: 'weather' } },
    tools: [{ type: 'function', function: { name: 'weather', parameters, parse: JSON.parse, function: (args) => { seen.push(args); return 'sunny'; } } }] });
  await runner.done();
  assert.equal(seen.length, 1);
  assert.ok(['Paris', 'Berlin'].includes(seen[0].city));
  assert.deepEqual(runner.messages.map((m) => m.role), ['user', 'assistant', 'tool']);
  assert.equal(runner.messages[2].content, 'sunny');
});

test('the parse helper parses strict tools', async () => {
  const r = await client.chat.completions.parse({ ...forced, ...off });
  const { parsed_arguments } = r.choices[0].message.tool_calls[0].function;
  assert.ok(['Paris', 'Berlin'].includes(parsed_arguments.city));
});

test('the parse helper parses a plain JSON Schema', async () => {
  const format = makeParseableResponseFormat(response_format, JSON.parse);
  for (const thinking of [off, {}]) {
    const r = await client.chat.completions.parse({ model, messages, temperature: 0, max_tokens: 200, response_format: format, ...thinking });
    const { parsed, reasoning_content } = r.choices[0].message;
    assert.ok(parsed.age >= 18 && parsed.age <= 99 && parsed.name.length <= 12, JSON.stringify(parsed));
    assert.equal(Boolean(reasoning_content), thinking !== off);
  }
});

test('the stream helper parses a plain JSON Schema', async () => {
  const stream = client.chat.completions.stream({ model, messages, temperature: 0, max_tokens: 200, ...off,
    response_format: makeParseableResponseFormat(response_format, JSON.parse), stream_options: { include_usage: true } });
  const final = await stream.finalChatCompletion();
  assert.ok(final.choices[0].message.parsed.age >= 18);
  assert.ok((await stream.totalUsage()).completion_tokens > 0);
});

test('json_object is JSON', async () => {
  const r = await client.chat.completions.create({ model, messages, temperature: 1, seed: 7, max_tokens: 3000, ...off, response_format: { type: 'json_object' } });
  if (r.choices[0].finish_reason === 'stop') assert.equal(typeof JSON.parse(r.choices[0].message.content), 'object');
  else assert.match(r.choices[0].message.content, /^\s*\{/);
});

test('thinking: on by default, off, bounded, by effort', async () => {
  const ask = (more) => client.chat.completions.create({ model, messages: [{ role: 'user', content: 'who are you?' }], temperature: 0, max_tokens: 120, ...more });
  const thought = (r) => r.usage.completion_tokens_details.reasoning_tokens;
  const free = await ask({});
  assert.ok(thought(free) > 3 && free.choices[0].message.reasoning_content.length > 0);
  assert.equal(thought(await ask(off)), 0);
  assert.equal(thought(await ask({ reasoning_effort: 'none' })), 0);
  const bound = await ask({ thinking: { type: 'enabled', budget_tokens: 3 } });
  assert.ok(thought(bound) <= 3 && bound.choices[0].message.content.length > 0);
  assert.ok(thought(await ask({ reasoning_effort: 'low', max_tokens: 20 })) <= 5);
});

test('a conversation whose thinking is sent back or left out goes on', async () => {
  const first = (await client.chat.completions.create({ model, messages, temperature: 0, max_tokens: 120 })).choices[0].message;
  const next = { role: 'user', content: 'who are you?' };
  const { reasoning_content, ...without } = first;
  assert.ok(reasoning_content);
  const answers = await Promise.all([first, without].map((message) =>
    client.chat.completions.create({ model, messages: [...messages, message, next], temperature: 0, max_tokens: 60 })));
  assert.equal(answers[0].choices[0].message.content, answers[1].choices[0].message.content);
});

test('DeepSeek\'s base addresses answer as OpenAI\'s does', async () => {
  const request = { model, messages, temperature: 0, max_tokens: 20 };
  const texts = await Promise.all(['/v1', '', '/beta'].map(async (base) => {
    const at = new OpenAI({ baseURL: `${server.url}${base}`, apiKey: 'none', maxRetries: 0 });
    const { message } = (await at.chat.completions.create(request)).choices[0];
    return `${message.reasoning_content}|${message.content}`;
  }));
  assert.equal(new Set(texts).size, 1);
});

test('fill in the middle and chat prefix completion', async () => {
  const beta = new OpenAI({ baseURL: `${server.url}/beta`, apiKey: 'none', maxRetries: 0 });
  const filled = await beta.completions.create({ model, prompt: 'Hadal ', suffix: ' models.', temperature: 0, max_tokens: 12 });
  assert.equal(filled.object, 'text_completion');
  const who = [{ role: 'user', content: 'who are you?' }];
  const whole = await beta.chat.completions.create({ model, messages: who, temperature: 0, max_tokens: 100, ...off });
  const text = whole.choices[0].message.content;
  const prefix = text.slice(0, 20);
  const rest = await beta.chat.completions.create({ model, messages: [...who, { role: 'assistant', content: prefix, prefix: true }], temperature: 0, max_tokens: 100, ...off });
  assert.equal(prefix + rest.choices[0].message.content, text);
});
