// The npm @anthropic-ai/sdk against the real binary.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { Server, model } from './hadal.mjs';

let server, client;
const question = [{ role: 'user', content: 'What is Hadal?' }];
const request = { model, max_tokens: 200, temperature: 0, messages: question };
const textOf = (message) => message.content.filter((b) => b.type === 'text').map((b) => b.text).join('');
const thinkingOf = (message) => message.content.filter((b) => b.type === 'thinking').map((b) => b.thinking).join('');
// What two answers to one request have in common: all but the id and what came from the cache.
const answerOf = ({ content, stop_reason, stop_sequence, usage }) =>
  JSON.parse(JSON.stringify({ content, stop_reason, stop_sequence, output: usage.output_tokens }));

before(async () => {
  server = await Server.start();
  client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

test('a message has text, a stop reason and usage', async () => {
  const r = await client.messages.create(request);
  assert.equal(r.type, 'message');
  assert.equal(r.role, 'assistant');
  assert.equal(r.model, model);
  assert.match(r.id, /^msg_/);
  assert.deepEqual(r.content.map((b) => b.type), ['text']);
  assert.ok(textOf(r).length > 10);
  assert.equal(r.stop_reason, 'end_turn');
  assert.equal(r.stop_sequence, null);
  assert.ok(r.usage.input_tokens > 0 && r.usage.output_tokens > 0);
});

test('the address that DeepSeek gives Anthropic clients works, with models', async () => {
  const other = new Anthropic({ baseURL: `${server.url}/anthropic`, apiKey: 'none', maxRetries: 0 });
  assert.deepEqual(answerOf(await other.messages.create(request)), answerOf(await client.messages.create(request)));
  const models = [];
  for await (const m of other.models.list()) models.push(m);
  assert.deepEqual(models.map((m) => m.id), [model]);
  assert.ok(Date.parse(models[0].created_at) > 0);
  assert.equal((await other.models.retrieve(model)).id, model);
});

test('a stream joined by the client is the whole answer', async () => {
  for (const thinking of [{ type: 'disabled' }, { type: 'adaptive' }]) {
    const whole = await client.messages.create({ ...request, thinking });
    const stream = client.messages.stream({ ...request, thinking });
    const types = [];
    stream.on('streamEvent', (event) => types.push(event.type));
    const streamed = await stream.finalMessage();
    assert.deepEqual(answerOf(streamed), answerOf(whole));
    assert.equal(types[0], 'message_start');
    assert.deepEqual(types.slice(-2), ['message_delta', 'message_stop']);
  }
});

test('thinking is off unless asked for, and keeps its budget', async () => {
  assert.equal(thinkingOf(await client.messages.create(request)), '');
  const free = await client.messages.create({ ...request, thinking: { type: 'enabled', budget_tokens: 150 } });
  assert.deepEqual(free.content.map((b) => b.type), ['thinking', 'text']);
  assert.ok(thinkingOf(free).length > 5);
  assert.ok(textOf(free).length > 10);
  const spent = free.usage.output_tokens_details.thinking_tokens;
  assert.ok(spent > 3, `${spent}`);
  const bound = await client.messages.create({ ...request, thinking: { type: 'enabled', budget_tokens: 3 } });
  assert.ok(bound.usage.output_tokens_details.thinking_tokens < spent);
  assert.ok(thinkingOf(free).startsWith(thinkingOf(bound).trim()));
  assert.ok(textOf(bound).length > 10, 'the answer follows');
});

test('an answer with its thinking can be sent back', async () => {
  const thinking = { type: 'adaptive' };
  const first = await client.messages.create({ ...request, thinking });
  const again = await client.messages.create({ ...request, thinking, messages: [...question,
    { role: 'assistant', content: first.content }, { role: 'user', content: 'And which card fits?' }] });
  assert.ok(textOf(again).length > 10);
});

test('a stop sequence ends the answer, is named and never shows', async () => {
  const text = textOf(await client.messages.create(request));
  for (let at = 6; at < text.length - 6; at += 9) {
    const stop = text.slice(at, at + 5);
    const r = await client.messages.create({ ...request, stop_sequences: ['no such text', stop] });
    assert.equal(textOf(r), text.slice(0, text.indexOf(stop)), JSON.stringify(stop));
    assert.equal(r.stop_reason, 'stop_sequence');
    assert.equal(r.stop_sequence, stop);
  }
});

test('max_tokens reached is max_tokens', async () => {
  const r = await client.messages.create({ ...request, max_tokens: 3 });
  assert.equal(r.stop_reason, 'max_tokens');
  assert.equal(r.usage.output_tokens, 3);
});

test('a last message of the assistant is continued', async () => {
  const text = textOf(await client.messages.create(request));
  const prefill = text.slice(0, text.indexOf(' ', 10));
  const r = await client.messages.create({ ...request, messages: [...question, { role: 'assistant', content: prefill }] });
  assert.equal(prefill + textOf(r), text);
});

test('system is read, as a string or as blocks', async () => {
  const count = async (system) => (await client.messages.countTokens({ model, messages: question, system })).input_tokens;
  const plain = await count([]);
  assert.ok(await count('Be brief.') > plain);
  assert.equal(await count([{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }]), await count('Be brief.'));
});

test('count_tokens is what the message is counted for', async () => {
  const { input_tokens } = await client.messages.countTokens({ model, messages: question });
  const { usage } = await client.messages.create({ ...request, max_tokens: 1 });
  assert.equal(usage.input_tokens + usage.cache_read_input_tokens, input_tokens);
});

test('the second identical prompt is served from the cache', async () => {
  const messages = [{ role: 'user', content: 'Please tell me, with care, what Hadal is. '.repeat(8) }];
  const cold = await client.messages.create({ ...request, messages });
  const warm = await client.messages.create({ ...request, messages });
  assert.ok(warm.usage.cache_read_input_tokens > 64, JSON.stringify(warm.usage));
  assert.equal(warm.usage.input_tokens + warm.usage.cache_read_input_tokens,
    cold.usage.input_tokens + cold.usage.cache_read_input_tokens);
  assert.equal(textOf(warm), textOf(cold));
});

test('errors have their class, type and the field', async () => {
  const fails = (fields, status, type, says) =>
    assert.rejects(client.messages.create({ ...request, ...fields }), (e) => {
      assert.equal(e.status, status);
      assert.equal(e.error.type, 'error');
      assert.equal(e.error.error.type, type);
      assert.match(e.error.error.message, says);
      return true;
    });
  await fails({ temperature: 2 }, 400, 'invalid_request_error', /^temperature is 2.*from 0 to 1/);
  await fails({ model: 'claude-unknown' }, 404, 'not_found_error', /claude-unknown/);
  await fails({ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 400, 'invalid_request_error', /^tools\[0\]\.type/);
  await fails({ thinking: { type: 'enabled', budget_tokens: 200 } }, 400, 'invalid_request_error', /^thinking\.budget_tokens/);
  await fails({ messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: '' } }] }] },
    400, 'invalid_request_error', /^messages\[0\]\.content\[0\]\.type is "image"/);
  await fails({ messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'none', content: 'x' }] }] },
    400, 'invalid_request_error', /^messages\[0\]\.content\[0\]/);
});

test('a prompt longer than the context is refused with both counts, streamed or not', async () => {
  const messages = [{ role: 'user', content: 'word '.repeat(9000) }];
  for (const stream of [false, true]) {
    await assert.rejects(client.messages.create({ ...request, messages, stream }), (e) => {
      assert.equal(e.status, 400);
      assert.match(e.error.error.message, /^prompt is too long: .*\d{4,}.*\d{4,}/);
      return true;
    });
  }
});

const weather = {
  name: 'get_weather', description: 'The weather of a city.',
  input_schema: {
    type: 'object',
    properties: { city: { type: 'string', enum: ['Paris', 'Rome'] }, days: { type: 'integer', minimum: 1, maximum: 7 } },
    required: ['city', 'days'], additionalProperties: false,
  },
};
function checkCall(block) {
  assert.equal(block.type, 'tool_use');
  assert.equal(block.name, 'get_weather');
  assert.ok(block.id.length > 0);
  assert.deepEqual(Object.keys(block.input).sort(), ['city', 'days']);
  assert.ok(['Paris', 'Rome'].includes(block.input.city));
  assert.ok(Number.isInteger(block.input.days) && block.input.days >= 1 && block.input.days <= 7);
}

test('a tool is called with arguments that follow its schema, streamed or not, and its result is read', async () => {
  const messages = [{ role: 'user', content: 'What will the weather in Paris be on the next 2 days?' }];
  for (const fields of [{ tool_choice: { type: 'any' } },
    { tool_choice: { type: 'tool', name: 'get_weather', disable_parallel_tool_use: true } },
    { tool_choice: { type: 'any' }, thinking: { type: 'adaptive' } }]) {
    const asked = { ...request, messages, tools: [weather], ...fields };
    const whole = await client.messages.create(asked);
    assert.equal(whole.stop_reason, 'tool_use');
    const calls = whole.content.filter((b) => b.type === 'tool_use');
    assert.ok(calls.length >= 1);
    calls.forEach(checkCall);
    if (fields.tool_choice.disable_parallel_tool_use) assert.equal(calls.length, 1);
    assert.equal(thinkingOf(whole).length > 0, fields.thinking !== undefined);
    const streamed = await client.messages.stream(asked).finalMessage();
    assert.equal(streamed.stop_reason, 'tool_use');
    streamed.content.filter((b) => b.type === 'tool_use').forEach(checkCall);
    assert.deepEqual(streamed.content.map((b) => b.input), whole.content.map((b) => b.input));
    const results = calls.map((c) => ({ type: 'tool_result', tool_use_id: c.id, content: [{ type: 'text', text: 'sunny' }] }));
    const answer = await client.messages.create({ ...asked, tool_choice: { type: 'none' }, thinking: { type: 'disabled' },
      messages: [...messages, { role: 'assistant', content: whole.content }, { role: 'user', content: results }] });
    assert.equal(answer.stop_reason, 'end_turn');
    assert.ok(answer.content.every((b) => b.type === 'text'));
  }
});

test('what is wrong with tools is said in the names that the client used', async () => {
  const fails = (fields, says) =>
    assert.rejects(client.messages.create({ ...request, tools: [weather], ...fields }), (e) => {
      assert.equal(e.status, 400);
      assert.match(e.error.error.message, says);
      return true;
    });
  await fails({ tool_choice: { type: 'tool', name: 'other' } }, /^tool_choice\.name/);
  await fails({ tools: [{ ...weather, name: 'no spaces' }] }, /^tools\[0\]\.name/);
  await fails({ tools: [weather, weather] }, /^tools\[1\]\.name/);
  const call = { type: 'tool_use', id: 'a', name: 'get_weather', input: {} };
  const after = (results) => [...question, { role: 'assistant', content: [{ type: 'text', text: 'I look.' }, call] },
    { role: 'user', content: results }];
  await fails({ messages: after([{ type: 'tool_result', tool_use_id: 'b', content: 'x' }]) }, /^messages\[2\]\.content\[0\]\.tool_use_id/);
  await fails({ messages: after([{ type: 'text', text: 'never mind' }]) }, /^messages\[1\]\.content/);
  await fails({ messages: [...question, { role: 'assistant', content: [call, call] }] }, /^messages\[1\]\.content\[1\]\.id/);
});

test('an answer follows a JSON schema, under either name of the field', async () => {
  const schema = {
    type: 'object',
    properties: { name: { type: 'string', maxLength: 20 }, size: { enum: ['small', 'large'] }, count: { type: 'integer', minimum: 0, maximum: 99 } },
    required: ['name', 'size', 'count'], additionalProperties: false,
  };
  const format = { type: 'json_schema', schema };
  for (const fields of [{ output_config: { format } }, { output_format: format },
    { output_config: { format }, thinking: { type: 'enabled', budget_tokens: 100 } }]) {
    const r = await client.messages.create({ ...request, max_tokens: 300, ...fields });
    assert.equal(r.stop_reason, 'end_turn');
    const value = JSON.parse(textOf(r));
    assert.deepEqual(Object.keys(value).sort(), ['count', 'name', 'size']);
    assert.equal(typeof value.name, 'string');
    assert.ok(['small', 'large'].includes(value.size));
    assert.ok(Number.isInteger(value.count) && value.count >= 0 && value.count <= 99);
    const streamed = await client.messages.stream({ ...request, max_tokens: 300, ...fields }).finalMessage();
    assert.equal(textOf(streamed), textOf(r));
  }
  await assert.rejects(client.messages.create({ ...request, output_config: { format: { type: 'json_schema', schema: { type: 'wrong' } } } }),
    (e) => e.status === 400 && /^output_config\.format/.test(e.error.error.message));
});
