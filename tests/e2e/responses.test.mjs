// OpenAI's Responses API by the npm openai SDK against the real binary.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { Server, model } from './hadal.mjs';

let server, client;
const question = 'I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?';
const lookUp = { type: 'function', name: 'look_up_card', description: 'Memory of a card', strict: true,
  parameters: { type: 'object', additionalProperties: false, required: ['card'],
    properties: { card: { enum: ['RTX 3060', 'RTX 4090'] } } } };
const create = (more) => client.responses.create({ model, input: question, temperature: 0, ...more });
const itemsOf = (response, type) => response.output.filter((item) => item.type === type);
const reasoningOf = (response) => itemsOf(response, 'reasoning').map((r) => r.content[0].text).join('');
const withoutIds = (response) => {
  const { id, created_at, completed_at, ...rest } = structuredClone(response);
  for (const item of rest.output) delete item.id;
  return rest;
};

before(async () => {
  server = await Server.start();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

test('a response has reasoning, a message, usage and what was asked', async () => {
  const r = await create({ instructions: 'Be brief.', metadata: { run: '7' }, store: true });
  assert.equal(r.object, 'response');
  assert.equal(r.status, 'completed');
  assert.ok(r.output_text.length > 10);
  assert.ok(reasoningOf(r).length > 10);
  assert.ok(!r.output_text.includes('think>'));
  assert.equal(r.usage.total_tokens, r.usage.input_tokens + r.usage.output_tokens);
  assert.ok(r.usage.output_tokens_details.reasoning_tokens > 0);
  assert.equal(r.instructions, 'Be brief.');
  assert.deepEqual(r.metadata, { run: '7' });
  assert.equal(r.store, false);
  assert.equal(r.temperature, 0);
  assert.equal(r.error, null);
});

test('it is the answer of a chat completion with the same prompt', async () => {
  const r = await create({});
  const chat = await client.chat.completions.create({ model, temperature: 0, messages: [{ role: 'user', content: question }] });
  assert.equal(r.output_text, chat.choices[0].message.content);
  assert.equal(reasoningOf(r), chat.choices[0].message.reasoning_content);
  assert.equal(r.usage.input_tokens, chat.usage.prompt_tokens);
});

test('the events build the response, and their numbers count up', async () => {
  const whole = await create({});
  const stream = client.responses.stream({ model, input: question, temperature: 0 });
  let text = '', reasoning = '';
  const types = [];
  for await (const event of stream) {
    assert.equal(event.sequence_number, types.length);
    types.push(event.type);
    if (event.type === 'response.output_text.delta') text += event.delta;
    if (event.type === 'response.reasoning_text.delta') reasoning += event.delta;
  }
  const last = await stream.finalResponse();
  assert.equal(text, whole.output_text);
  assert.equal(reasoning, reasoningOf(whole));
  assert.equal(last.output_text, whole.output_text);
  assert.deepEqual([types[0], types[1], types.at(-1)], ['response.created', 'response.in_progress', 'response.completed']);
  for (const type of ['output_item', 'content_part']) {
    const count = (end) => types.filter((t) => t === `response.${type}.${end}`).length;
    assert.equal(count('added'), 2);
    assert.equal(count('done'), 2);
  }
});

test('the raw stream ends with response.completed and has no [DONE]', async () => {
  const r = await server.request('POST', '/v1/responses', { model, input: question, stream: true, max_output_tokens: 4 });
  assert.match(r.headers['content-type'], /^text\/event-stream/);
  assert.ok(!r.text.includes('[DONE]'));
  const names = [...r.text.matchAll(/^event: (.*)$/gm)].map((m) => m[1]);
  const data = [...r.text.matchAll(/^data: (.*)$/gm)].map((m) => JSON.parse(m[1]));
  assert.deepEqual(names, data.map((d) => d.type));
  assert.equal(names.at(-1), 'response.incomplete');
});

test('max_output_tokens reached is incomplete', async () => {
  const r = await create({ max_output_tokens: 5 });
  assert.equal(r.status, 'incomplete');
  assert.equal(r.incomplete_details.reason, 'max_output_tokens');
  assert.equal(r.usage.output_tokens, 5);
  assert.equal(r.output.at(-1).status, 'incomplete');
});

test('reasoning.effort none is no reasoning', async () => {
  assert.equal(reasoningOf(await create({ reasoning: { effort: 'none' } })), '');
  for (const effort of ['low', 'high']) assert.ok(reasoningOf(await create({ reasoning: { effort } })).length > 10);
});

test('items of the last answer and a new question are the next input', async () => {
  const first = await create({});
  const next = await client.responses.create({ model, temperature: 0, input: [
    { role: 'user', content: question }, ...first.output,
    { role: 'user', content: [{ type: 'input_text', text: 'And a 14 B model?' }] }] });
  assert.equal(next.status, 'completed');
  assert.ok(next.usage.input_tokens > first.usage.input_tokens);
  assert.ok(next.usage.input_tokens_details.cached_tokens >= 16);
});

test('text.format gives JSON, and a schema gives what it describes', async () => {
  const schema = { type: 'object', additionalProperties: false, required: ['card', 'fits'],
    properties: { card: { enum: ['RTX 3060', 'RTX 4090'] }, fits: { type: 'boolean' } } };
  const format = { type: 'json_schema', name: 'fit', strict: true, schema };
  for (const effort of ['none', 'high']) {
    const r = await client.responses.parse({ model, input: question, temperature: 0, reasoning: { effort }, text: { format } });
    assert.deepEqual(Object.keys(JSON.parse(r.output_text)).sort(), ['card', 'fits']);
    assert.ok(schema.properties.card.enum.includes(JSON.parse(r.output_text).card));
    assert.deepEqual(r.text.format, format);
  }
});

test('tool_choice required and named give calls whose arguments validate', async () => {
  for (const tool_choice of ['required', { type: 'function', name: 'look_up_card' }]) {
    for (const effort of ['none', 'high']) {
      const r = await create({ tools: [lookUp], tool_choice, reasoning: { effort } });
      assert.equal(r.status, 'completed');
      const calls = itemsOf(r, 'function_call');
      assert.ok(calls.length >= 1, JSON.stringify(r.output));
      for (const call of calls) {
        assert.equal(call.name, 'look_up_card');
        assert.equal(call.status, 'completed');
        const args = JSON.parse(call.arguments);
        assert.deepEqual(Object.keys(args), ['card']);
        assert.ok(lookUp.parameters.properties.card.enum.includes(args.card));
      }
      assert.ok(!r.output_text.includes('tool▁call'));
    }
  }
});

test('a streamed call is the whole call', async () => {
  const request = { tools: [lookUp], tool_choice: 'required', parallel_tool_calls: false };
  const whole = await create(request);
  let args = '';
  const stream = client.responses.stream({ model, input: question, temperature: 0, ...request });
  for await (const event of stream) {
    if (event.type === 'response.function_call_arguments.delta') args += event.delta;
  }
  const last = await stream.finalResponse();
  assert.equal(itemsOf(whole, 'function_call').length, 1);
  assert.equal(args, itemsOf(whole, 'function_call')[0].arguments);
  assert.equal(itemsOf(last, 'function_call')[0].arguments, args);
});

test('a call and its output are the next input', async () => {
  const first = await create({ tools: [lookUp], tool_choice: 'required', parallel_tool_calls: false });
  const [call] = itemsOf(first, 'function_call');
  const input = [{ role: 'user', content: question }, ...first.output];
  const output = { type: 'function_call_output', call_id: call.call_id, output: '12 GB' };
  const next = await client.responses.create({ model, temperature: 0, tools: [lookUp], input: [...input, output] });
  assert.equal(next.status, 'completed');
  await assert.rejects(client.responses.create({ model, tools: [lookUp], input: [...input, { ...output, call_id: 'other' }] }),
    (e) => e.status === 400 && e.param === `input[${input.length}].call_id`);
});

test('input that is too long is refused with counts, or cut by whole turns when asked', async () => {
  const turn = (i) => [{ role: 'user', content: `Question ${i}: ${'word '.repeat(250)}` }, { role: 'assistant', content: 'Yes.' }];
  const input = [...Array(20).keys()].flatMap(turn).concat([{ role: 'user', content: question }]);
  await assert.rejects(client.responses.create({ model, input }), (e) => {
    assert.equal(e.status, 400);
    assert.equal(e.code, 'context_length_exceeded');
    assert.equal(e.param, 'input');
    assert.match(e.message, /\b4096\b/);
    return true;
  });
  const r = await client.responses.create({ model, input, truncation: 'auto', max_output_tokens: 8 });
  assert.equal(r.truncation, 'auto');
  assert.ok(r.truncation_details.dropped_messages > 0);
});

test('log probabilities stand in the text', async () => {
  const r = await create({ reasoning: { effort: 'none' }, max_output_tokens: 6, top_logprobs: 2 });
  const { logprobs } = itemsOf(r, 'message')[0].content[0];
  assert.equal(logprobs.length, 6);
  for (const t of logprobs) assert.equal(t.top_logprobs.length, 2);
});

test('the same request gives the same response', async () => {
  assert.deepEqual(withoutIds(await create({ max_output_tokens: 20 })).output,
    withoutIds(await create({ max_output_tokens: 20 })).output);
});

test('what is not there is refused by its name', async () => {
  const refused = (more, param) => assert.rejects(create(more), (e) => {
    assert.equal(e.status, 400, e.message);
    assert.equal(e.param, param);
    return true;
  });
  await refused({ previous_response_id: 'resp_1' }, 'previous_response_id');
  await refused({ background: true }, 'background');
  await refused({ tools: [{ type: 'web_search' }] }, 'tools[0].type');
  await refused({ tools: [{ ...lookUp, parameters: { type: 'array' } }] }, 'tools[0].parameters.type');
  await refused({ tools: [lookUp], tool_choice: { type: 'function', name: 'other' } }, 'tool_choice.name');
  await refused({ max_output_tokens: 99999 }, 'max_output_tokens');
  await refused({ temperature: 3 }, 'temperature');
  await refused({ input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'http://x/y.png' }] }] }, 'input[0].content[0].type');
  await refused({ text: { format: { type: 'json_schema', name: 'n', schema: { type: 'objekt' } } } }, 'text.format');
  await assert.rejects(create({ model: 'no-such-model' }), (e) => e.status === 404);
});
