// What users of other servers complain about, provoked here: contexts that are cut (11-16), thinking and
// structured output (52-57), prompts and texts (58-66). One test per complaint, numbered as in the
// collection; tools (17-26) and the prefix cache (27-34) have files of their own.
//
// Not here, because they concern weights that do not run yet: 61 (V4's output garbled), 63 (FP4 weights
// degenerate in batches; the rest of it is 62), 64 (a real model differs where a small one does not: every
// family has golden logits of its own).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, dialects } from './every_dialect.mjs';
import { Server, model, withServer } from './hadal.mjs';

const quiet = ['--set', 'server.access_log=off'];
let server;
before(async () => { server = await Server.start(...quiet); });
after(() => server.stop());

const names = Object.keys(dialects);
const user = (content) => ({ role: 'user', content });
const who = [user('who are you?')];
const sizing = [user('I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?')];
const everyDialect = (check) => Promise.all(names.map((name) => check(name)));
const counts = (text) => (text.match(/\d{2,}/g) ?? []).map(Number);
async function tokensOf(text) {
  return (await server.request('POST', '/tokenize', { text })).json.count;
}
// About n tokens of text that no vocabulary joins.
const filler = (n) => [...Array(n).keys()].map((i) => i % 10).join('');
const object = (properties) => ({ type: 'object', properties, required: Object.keys(properties), additionalProperties: false });

// ---------------------------------------------------------------- contexts that are cut

test('complaint 11: a prompt beyond the context is a 400 with both counts, on every dialect, streamed or not', async () => {
  const tooLong = [user(filler(9000))];
  await everyDialect(async (name) => {
    for (const stream of [false, true]) {
      const r = await ask(server, name, { messages: tooLong, stream, max_tokens: 10 });
      assert.equal(r.status, 400, name);
      const [prompt, context] = [Math.max(...counts(r.error)), 4096];
      assert.ok(prompt > 8900 && counts(r.error).includes(context), `${name}: ${r.error}`);
    }
  });
  for (const [path, body] of [['/v1/completions', { prompt: filler(9000) }], ['/beta/completions', { prompt: filler(5000), suffix: filler(5000) }],
    ['/api/generate', { prompt: filler(9000) }], ['/v1/embeddings', { input: filler(9000) }], ['/v1/chat/completions/render', { messages: tooLong }]]) {
    const r = await server.request('POST', path, { model, ...body });
    assert.equal(r.status, 400, path);
    assert.match(r.text, /4096/, path);
  }
});

test('complaint 12: truncation that was asked for leaves out the fewest turns that it can', async () => {
  const turns = [...Array(30).keys()].flatMap((i) => [user(`${i}: ${filler(150)}`), { role: 'assistant', content: 'ok' }]);
  const body = { model, messages: [...turns, ...sizing], max_tokens: 100, temperature: 0 };
  const one = await tokensOf(`0: ${filler(150)}ok`);
  for (const strategy of ['middle', 'front']) {
    const r = (await server.request('POST', '/v1/chat/completions', { ...body, truncation: { type: 'auto', strategy } })).json;
    const free = 4096 - 100 - r.usage.prompt_tokens;
    assert.ok(free >= 0 && free < one + 8, `${free} tokens are free, a turn has ${one}`);
    assert.equal(r.truncation.dropped_messages % 2, 0, 'whole turns');
  }
});

test('complaint 13: the same prompt is treated alike on every dialect', async () => {
  for (const [n, status] of [[3000, 200], [4200, 400], [40000, 400]]) {
    const results = await everyDialect((name) => ask(server, name, { messages: [user(filler(n))], max_tokens: 1 }));
    assert.deepEqual(results.map((r) => r.status), names.map(() => status), `${n} tokens`);
  }
});

test('complaint 14: a prompt that fits is read whole, on every dialect', async () => {
  const content = filler(3900);
  const { count } = (await server.request('POST', '/v1/chat/completions/render', { model, messages: [user(content)], thinking: { type: 'disabled' } })).json;
  assert.ok(count > 3900);
  await everyDialect(async (name) => {
    const r = await ask(server, name, { messages: [user(content)], max_tokens: 2 });
    assert.equal(r.prompt, count, name);
  });
});

test('complaint 15: num_ctx is honoured or refused, never ignored, and what was left out is said', async () => {
  const chat = (options, more) => server.request('POST', '/api/chat', { model, messages: who, stream: false, think: false, options, ...more });
  assert.equal((await chat({ num_ctx: 5000 })).status, 400);
  assert.equal((await chat({ num_ctx: 6 })).status, 400);
  const bounded = (await chat({ num_ctx: 20, temperature: 0 })).json;
  assert.deepEqual([bounded.done_reason, bounded.prompt_eval_count + bounded.eval_count], ['length', 20]);
  const cut = (await chat({ num_predict: 20 }, { truncate: true, messages: [user(filler(3000)), { role: 'assistant', content: 'ok' }, user(filler(2000))] })).json;
  assert.equal(cut.truncation.dropped_messages, 2);
  const refused = await withServer(['--set', 'server.unknown_fields=refuse', ...quiet], (strict) => strict.chat({ messages: who, options: { num_ctx: 64 } }));
  assert.deepEqual([refused.status, refused.json.error.param], [400, 'options']);
});

test('complaint 16: a client can know before it asks: every way of counting agrees', async () => {
  const messages = [{ role: 'system', content: 'Be brief.' }, ...sizing];
  const render = (await server.request('POST', '/v1/chat/completions/render', { model, messages, thinking: { type: 'disabled' } })).json;
  const anthropic = (await server.request('POST', '/v1/messages/count_tokens', { model, system: 'Be brief.', messages: sizing })).json;
  assert.equal(render.count, render.ids.length);
  assert.equal(anthropic.input_tokens, render.count);
  await everyDialect(async (name) => assert.equal((await ask(server, name, { messages, max_tokens: 1 })).prompt, render.count, name));
  assert.equal((await server.request('GET', '/v1/models')).json.data[0].context_length, render.context);
  const r = await server.chat({ messages: [user(filler(9000))] });
  assert.equal(r.json.error.code, 'context_length_exceeded');
});

// ---------------------------------------------------------------- thinking and structured output

test('complaint 52: with a JSON Schema while thinking, the JSON is in the answer and nowhere else, on every dialect', async () => {
  await everyDialect(async (name) => {
    for (const stream of [false, true]) {
      const r = await ask(server, name, { messages: who, thinking: true, schema: object({ age: { type: 'integer', minimum: 1, maximum: 99 } }), max_tokens: 200, stream });
      assert.ok(JSON.parse(r.text).age >= 1, `${name}: ${r.text}`);
      assert.ok(r.thinking.length > 5 && !/[{}]/.test(r.thinking), `${name}: ${r.thinking}`);
    }
  });
});

test('complaint 53: with json_object while thinking, the JSON is in content', async () => {
  for (const path of ['/v1/chat/completions', '/chat/completions']) {
    const r = await server.request('POST', path, { model, messages: who, response_format: { type: 'json_object' }, temperature: 0, max_tokens: 60 });
    const { content, reasoning_content } = r.json.choices[0].message;
    assert.match(content, /^\s*\{/);
    assert.ok(reasoning_content.length > 5 && !reasoning_content.includes('{'));
  }
});

const tool = { type: 'function', function: { name: 'look', description: 'Looks.', parameters: object({ at: { enum: ['sky', 'sea'] } }) } };

test('complaint 54: a tool that must be called is called while thinking, on every dialect that can ask for it', async () => {
  for (const choice of ['required', { type: 'function', function: { name: 'look' } }]) {
    await Promise.all(names.filter((name) => name !== 'ollama').map(async (name) => {
      const r = await ask(server, name, { messages: who, thinking: true, tools: [tool], choice, max_tokens: 400 });
      assert.equal(r.status, 200, `${name}: ${r.error}`);
      assert.ok(r.thinking.length > 5, name);
      assert.ok(r.calls.length > 0 && r.calls.every((c) => c.name === 'look' && ['sky', 'sea'].includes(JSON.parse(c.arguments).at)), `${name}: ${JSON.stringify(r.calls)}`);
    }));
  }
});

test('complaint 55: an answer whose thinking a client dropped goes on, and thinking never lands in the answer', async () => {
  await everyDialect(async (name) => {
    const first = await ask(server, name, { messages: who, thinking: true, max_tokens: 200 });
    assert.ok(first.thinking.length > 5 && !first.text.includes(first.thinking), name);
    const second = await ask(server, name, { messages: [...who, { role: 'assistant', content: first.text }, ...who], thinking: true, max_tokens: 200 });
    assert.equal(second.status, 200, `${name}: ${second.error}`);
    assert.ok(second.thinking.length > 5 && second.text.length > 5, name);
  });
});

test('complaint 56: a history of calls is accepted with reasoning_content, without, with null and with ""', async () => {
  const calls = [{ id: 'c1', type: 'function', function: { name: 'look', arguments: '{"at":"sky"}' } }];
  const answers = [];
  for (const reasoning of [{}, { reasoning_content: 'I look.' }, { reasoning_content: null }, { reasoning_content: '' }]) {
    const r = await server.chat({ messages: [...who, { role: 'assistant', content: '', tool_calls: calls, ...reasoning },
      { role: 'tool', tool_call_id: 'c1', content: 'blue' }], tools: [tool], thinking: { type: 'enabled' }, temperature: 0, max_tokens: 40 });
    assert.equal(r.status, 200, r.text);
    answers.push(r.json.choices[0].message.content);
  }
  assert.ok(answers.every((a) => a.length > 0));
});

test('complaint 57: thinking is shown where thinking belongs, and no tag or thought leaks into the text, on every dialect', async () => {
  await everyDialect(async (name) => {
    for (const stream of [false, true]) {
      const on = await ask(server, name, { messages: sizing, thinking: true, stream, max_tokens: 400 });
      const off = await ask(server, name, { messages: sizing, stream, max_tokens: 400 });
      assert.ok(on.thinking.length > 20, name);
      assert.equal(off.thinking, '', name);
      for (const r of [on, off]) assert.ok(r.text.includes('RTX 3060') && !/<\/?think>/.test(r.text + r.thinking), `${name}: ${r.text}`);
      assert.ok(!on.text.includes(on.thinking.trim().slice(0, 20)), name);
    }
  });
  const untold = (await server.request('POST', '/v1/messages', { model, messages: who, max_tokens: 100 })).json;
  assert.deepEqual(untold.content.map((b) => b.type), ['text']);
});

// ---------------------------------------------------------------- prompts and texts

test('complaint 58: every format of DeepSeek\'s models is built in and renders tools without a template file', async () => {
  const signs = { 'deepseek-v3': /function/, 'deepseek-r1': /function/, 'deepseek-v3.1': /## Tools/, 'deepseek-v3.2': /<｜DSML｜function_calls>/, 'deepseek-v4': /<｜DSML｜tool_calls>/ };
  for (const [format, sign] of Object.entries(signs)) {
    await withServer(['--chat-template', format, ...quiet], async (named) => {
      const body = { model, messages: [...who], tools: [tool], max_tokens: 2 };
      const { prompt } = (await named.request('POST', '/v1/chat/completions/render', body)).json;
      assert.ok(prompt.includes('look') && sign.test(prompt), `${format}: ${prompt}`);
      assert.equal((await named.chat(body)).status, 200, format);
    });
  }
});

test('complaint 59: V4\'s prompt is that of its published encoder, byte by byte', async () => {
  const calls = [{ id: 'c1', type: 'function', function: { name: 'look', arguments: '{"at": "sky", "n": 2}' } }];
  const messages = [{ role: 'system', content: 'S' }, user('Q'), { role: 'assistant', content: 'A', tool_calls: calls }, { role: 'tool', tool_call_id: 'c1', content: 'R' }];
  const { prompt } = await withServer(['--chat-template', 'deepseek-v4', ...quiet], async (v4) => (
    await v4.request('POST', '/v1/chat/completions/render', { model, thinking: { type: 'disabled' }, messages })).json);
  assert.equal(prompt, '<｜begin▁of▁sentence｜>S<｜User｜>Q<｜Assistant｜></think>A\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name="look">\n' +
    '<｜DSML｜parameter name="at" string="true">sky</｜DSML｜parameter>\n<｜DSML｜parameter name="n" string="false">2</｜DSML｜parameter>\n' +
    '</｜DSML｜invoke>\n</｜DSML｜tool_calls><｜end▁of▁sentence｜><｜User｜><tool_result>R</tool_result><｜Assistant｜></think>');
});

test('complaint 62: the same request gives the same answer ten times out of ten, alone and in a crowd', async () => {
  const one = async () => { const r = await ask(server, 'openai', { messages: sizing, thinking: true, max_tokens: 200 }); return `${r.thinking}|${r.text}`; };
  const alone = await one();
  const crowd = [...Array(20).keys()].map((i) => (i % 2 ? one() : ask(server, 'openai', { messages: [user(`${i} ${filler(i * 7)}`)], temperature: 1, seed: i, max_tokens: 60 })));
  const answers = (await Promise.all(crowd)).filter((a) => typeof a === 'string');
  assert.deepEqual(answers, Array(10).fill(alone));
});

test('complaint 65: thinking that would not end is ended at its bound and the answer follows, on every dialect', async () => {
  for (let seed = 0; seed < 6; seed++) {
    const r = (await server.chat({ messages: sizing, temperature: 2, seed, thinking: { type: 'enabled', budget_tokens: 24 }, max_tokens: 60 })).json;
    assert.ok(r.usage.completion_tokens_details.reasoning_tokens <= 24, JSON.stringify(r.usage));
    assert.ok(r.choices[0].message.content.length > 0);
  }
  const a = (await server.request('POST', '/v1/messages', { model, messages: sizing, thinking: { type: 'enabled', budget_tokens: 8 }, max_tokens: 60 })).json;
  assert.deepEqual(a.content.map((b) => b.type), ['thinking', 'text']);
  for (const [path, body] of [['/api/chat', { messages: sizing, think: 'low', stream: false, options: { num_predict: 40 } }],
    ['/v1/responses', { input: sizing, reasoning: { effort: 'low' }, max_output_tokens: 40 }]]) {
    const r = await server.request('POST', path, { model, ...body });
    const text = r.json.message?.content ?? r.json.output.at(-1).content[0].text;
    assert.ok(text.length > 0, `${path}: ${r.text}`);
  }
});

test('complaint 66: a character of several tokens comes whole, in every chunk of every dialect', async () => {
  const rare = '龘𠮷野家🙂👩‍👩‍👧‍👦é—ñ鿿';
  const { count } = (await server.request('POST', '/tokenize', { text: rare })).json;
  assert.ok(count > [...rare].length, 'its characters are several tokens each');
  await everyDialect(async (name) => {
    const r = await ask(server, name, { messages: who, schema: { const: rare }, stream: true, max_tokens: 300 });
    assert.equal(JSON.parse(r.text), rare, name);
    assert.ok(!r.pieces.join('').includes('\ufffd') && r.pieces.every((p) => p.isWellFormed?.() ?? true), name);
  });
  const raw = await server.stream({ messages: who, guided_choice: [rare], thinking: { type: 'disabled' }, max_tokens: 300 });
  assert.equal(raw.content, rare);
  const chinese = await server.stream({ messages: [user('你是谁？')], temperature: 0, max_tokens: 200 });
  assert.ok(/[\u4e00-\u9fff]/.test(chinese.content) && !(chinese.content + chinese.reasoning).includes('\ufffd'));
  const cut = await server.chat({ messages: who, guided_choice: [rare], thinking: { type: 'disabled' }, max_tokens: 2 });
  assert.equal(cut.json.choices[0].finish_reason, 'length');
});
