// The npm ollama client against the real binary.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Ollama } from 'ollama';
import { Server, model } from './hadal.mjs';

let server, client;
const question = [{ role: 'user', content: 'I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?' }];
const greedy = { temperature: 0 };
const lookUp = { type: 'function', function: { name: 'look_up_card', description: 'Memory of a card',
  parameters: { type: 'object', properties: { card: { type: 'string', maxLength: 16 } }, required: ['card'] } } };
const refuses = (promise, status, ...parts) => assert.rejects(promise, (e) => {
  assert.equal(e.status_code, status, e.message);
  for (const part of parts) assert.match(e.message, part);
  return true;
});

before(async () => {
  server = await Server.start();
  client = new Ollama({ host: server.url });
});
after(() => server.stop());

test('version, list, ps and show tell what is known of the built-in model', async () => {
  assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);
  const { models } = await client.list();
  assert.deepEqual(models.map((m) => m.name), [model]);
  assert.equal(Number.isNaN(Date.parse(models[0].modified_at)), false);
  assert.equal('size' in models[0] || 'digest' in models[0], false);
  assert.deepEqual((await client.ps()).models.map((m) => [m.name, m.context_length]), [[model, 4096]]);
  const shown = await client.show({ model: `${model}:latest` });
  const family = shown.model_info['general.architecture'];
  assert.equal(shown.model_info[`${family}.context_length`], 4096);
  for (const what of ['completion', 'tools', 'thinking']) assert.ok(shown.capabilities.includes(what), what);
});

test('a chat has thinking, content, counts and times', async () => {
  const r = await client.chat({ model, messages: question, options: greedy });
  assert.equal(r.model, model);
  assert.equal(r.message.role, 'assistant');
  assert.ok(r.message.thinking.length > 10);
  assert.ok(r.message.content.length > 10);
  assert.ok(!r.message.content.includes('think>'));
  assert.equal(r.done, true);
  assert.equal(r.done_reason, 'stop');
  assert.match(r.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
  assert.ok(r.prompt_eval_count > 10 && r.eval_count > 10);
  assert.ok(r.prompt_eval_duration > 0 && r.eval_duration > 0);
  assert.ok(r.total_duration >= r.prompt_eval_duration + r.eval_duration);
  assert.equal(r.load_duration, 0);
});

test('a stream joined is the whole answer', async () => {
  const whole = await client.chat({ model, messages: question, options: greedy });
  let content = '', thinking = '', last;
  for await (const part of await client.chat({ model, messages: question, options: greedy, stream: true })) {
    content += part.message.content;
    thinking += part.message.thinking ?? '';
    last = part;
  }
  assert.equal(content, whole.message.content);
  assert.equal(thinking, whole.message.thinking);
  assert.equal(last.done_reason, 'stop');
  assert.equal(last.eval_count, whole.eval_count);
});

test('without the field stream an answer is lines of JSON', async () => {
  const r = await server.request('POST', '/api/chat', { model, messages: question, options: { num_predict: 4 } });
  assert.match(r.headers['content-type'], /^application\/x-ndjson/);
  const lines = r.text.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.ok(lines.length >= 2);
  assert.deepEqual(lines.map((l) => l.done), [...Array(lines.length - 1).fill(false), true]);
});

test('think is off, on or a level', async () => {
  const think = (value) => client.chat({ model, messages: question, think: value, options: greedy });
  assert.equal((await think(false)).message.thinking, undefined);
  assert.ok((await think(true)).message.thinking.length > 10);
  assert.ok((await think('high')).message.thinking.length > 10);
  await refuses(think('lots'), 400, /think/);
});

test('generate is a chat of one turn, a text or a gap', async () => {
  const chat = await client.generate({ model, prompt: question[0].content, options: greedy });
  const same = await client.chat({ model, messages: question, options: greedy });
  assert.equal(chat.response, same.message.content);
  assert.equal(chat.thinking, same.message.thinking);
  const raw = await client.generate({ model, prompt: 'Hadal serves', raw: true, options: { ...greedy, num_predict: 12 } });
  assert.equal(raw.thinking, undefined);
  assert.equal(raw.eval_count <= 12, true);
  let text = '';
  for await (const part of await client.generate({ model, prompt: 'Hadal serves', raw: true, stream: true,
    options: { ...greedy, num_predict: 12 } })) text += part.response;
  assert.equal(text, raw.response);
  const gap = await client.generate({ model, prompt: 'int f() {', suffix: '}', options: { ...greedy, num_predict: 8 } });
  assert.ok(gap.eval_count <= 8);
});

test('format gives JSON, and a schema gives what it describes', async () => {
  const schema = { type: 'object', additionalProperties: false, required: ['card', 'fits'],
    properties: { card: { enum: ['RTX 3060', 'RTX 4090'] }, fits: { type: 'boolean' } } };
  for (const think of [true, false]) {
    const r = await client.chat({ model, messages: question, format: schema, think, options: greedy });
    const answer = JSON.parse(r.message.content);
    assert.deepEqual(Object.keys(answer).sort(), ['card', 'fits']);
    assert.ok(schema.properties.card.enum.includes(answer.card));
    assert.equal(typeof answer.fits, 'boolean');
    assert.equal(r.done_reason, 'stop');
  }
  const r = await client.generate({ model, prompt: question[0].content, format: schema, options: greedy });
  assert.ok('fits' in JSON.parse(r.response));
  await refuses(client.chat({ model, messages: question, format: { type: 'objekt' } }), 400, /format/);
  await refuses(client.chat({ model, messages: question, format: 'yaml' }), 400, /format/);
});

test('tools reach the model, and calls come as objects', async () => {
  const plain = await client.chat({ model, messages: question, options: greedy });
  const r = await client.chat({ model, messages: question, tools: [lookUp], options: greedy });
  assert.ok(r.prompt_eval_count > plain.prompt_eval_count + 20);
  assert.ok(!r.message.content.includes('tool▁call'));
  for (const call of r.message.tool_calls ?? []) {
    assert.equal(call.function.name, 'look_up_card');
    assert.equal(typeof call.function.arguments.card, 'string');
  }
});

test('a call and its result are history, by name, by id or in order', async () => {
  const call = { function: { name: 'look_up_card', arguments: { card: 'RTX 3060' } } };
  const chat = (calls, results) => client.chat({ model, tools: [lookUp], options: { ...greedy, num_predict: 16 },
    messages: [...question, { role: 'assistant', content: '', tool_calls: calls }, ...results] });
  const counts = [];
  for (const [id, result] of [[{}, { tool_name: 'look_up_card' }], [{ id: 'x' }, { tool_call_id: 'x' }], [{}, {}]]) {
    const r = await chat([{ ...id, ...call }], [{ role: 'tool', content: '12 GB', ...result }]);
    counts.push(r.prompt_eval_count);
  }
  assert.equal(new Set(counts).size, 1);
  await refuses(chat([call], [{ role: 'tool', content: '12 GB', tool_name: 'other' }]), 400, /messages\[2\]\.tool_name/);
  await refuses(chat([call], []), 400, /messages\[1\]\.tool_calls/);
});

test('num_ctx bounds prompt and answer, or is a 400 with the counts', async () => {
  const { prompt_eval_count: n } = await client.chat({ model, messages: question, options: { num_predict: 1 } });
  const r = await client.chat({ model, messages: question, options: { ...greedy, num_ctx: n + 7 } });
  assert.equal(r.prompt_eval_count + r.eval_count, n + 7);
  assert.equal(r.done_reason, 'length');
  const chat = (options) => client.chat({ model, messages: question, options });
  await refuses(chat({ num_ctx: n }), 400, new RegExp(`\\b${n} tokens`));
  await refuses(chat({ num_ctx: n + 7, num_predict: 8 }), 400, /options\.num_predict/, /at most 7/);
  await refuses(chat({ num_ctx: 131072 }), 400, /options\.num_ctx is 131072/, /4096/);
});

test('a conversation that is too long is refused, or cut by whole turns when asked, and the answer says so', async () => {
  const turn = (i) => [{ role: 'user', content: `Question ${i}: ${'word '.repeat(60)}` }, { role: 'assistant', content: 'Yes.' }];
  const messages = [...Array(12).keys()].flatMap(turn).concat(question);
  const chat = (more) => client.chat({ model, messages, options: { num_ctx: 400, num_predict: 8 }, ...more });
  await refuses(chat({}), 400, /\b400\b/);
  const r = await chat({ truncate: true });
  assert.ok(r.prompt_eval_count + r.eval_count <= 400);
  assert.ok(r.truncation.dropped_messages > 0 && r.truncation.dropped_messages % 2 === 0);
  assert.ok(r.truncation.dropped_tokens > 0);
});

test('options are honoured: seed, stop, num_predict', async () => {
  const generate = (options) => client.generate({ model, prompt: 'Hadal', raw: true, options: { num_predict: 24, ...options } });
  const texts = await Promise.all([7, 7, 8].map((seed) => generate({ seed, temperature: 1.5 })));
  assert.equal(texts[0].response, texts[1].response);
  assert.notEqual(texts[0].response, texts[2].response);
  const whole = (await generate(greedy)).response;
  const stop = whole.slice(6, 10);
  const stopped = await generate({ ...greedy, stop: [stop] });
  assert.equal(stopped.response, whole.slice(0, whole.indexOf(stop)));
  assert.equal(stopped.done_reason, 'stop');
  const short = await generate({ ...greedy, num_predict: 3 });
  assert.equal(short.eval_count, 3);
  assert.equal(short.done_reason, 'length');
});

test('log probabilities come with the tokens', async () => {
  const r = await client.generate({ model, prompt: 'Hadal', raw: true, logprobs: true, top_logprobs: 3,
    options: { ...greedy, num_predict: 5 } });
  assert.equal(r.logprobs.length, 5);
  for (const t of r.logprobs) {
    assert.equal(t.top_logprobs.length, 3);
    assert.equal(t.top_logprobs[0].token, t.token);
    assert.ok(t.logprob <= 0);
  }
});

test('errors are a sentence with the status, and nothing is half honoured', async () => {
  await refuses(client.chat({ model: 'x', messages: question }), 404, /^model 'x' not found$/);
  await refuses(client.show({ model: 'x' }), 404, /not found/);
  await refuses(client.chat({ model, messages: question, options: { temperature: 3 } }), 400, /options\.temperature/);
  await refuses(client.chat({ model, messages: question, options: { mirostat: 2 } }), 400, /options\.mirostat/);
  await refuses(client.chat({ model, messages: [{ ...question[0], images: ['aGk='] }] }), 400, /messages\[0\]\.images/);
  await refuses(client.generate({ model, prompt: 'a', context: [1, 2] }), 400, /context/);
  await refuses(client.generate({ model, prompt: 'a', template: '{{ .Prompt }}' }), 400, /template/);
  await refuses(client.chat({ model, messages: [] }), 400, /messages/);
  await refuses(client.chat({ model, messages: question, stream: true, options: { num_ctx: -1 } }), 400, /num_ctx/);
});

test('a client that leaves ends its request', async () => {
  const stream = await client.chat({ model, messages: question, stream: true, options: { num_predict: 2000 } });
  for await (const _ of stream) break;
  stream.abort();
  const r = await client.chat({ model, messages: question, options: { num_predict: 2 } });
  assert.equal(r.eval_count, 2);
});
