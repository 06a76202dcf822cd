// What users of other servers complain about, provoked here: tool calls that leak, break or lose their
// arguments (17-26). Each is asked of DeepSeek's token markup (V3, V3.1) and of DSML (V3.2, V4).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, dialects } from './every_dialect.mjs';
import { Server, model } from './hadal.mjs';

const formats = ['deepseek-v3', 'deepseek-v3.1', 'deepseek-v3.2', 'deepseek-v4'];
const servers = {};
before(async () => {
  for (const f of formats) servers[f] = await Server.start('--chat-template', f, '--set', 'server.access_log=off');
});
after(() => Promise.all(Object.values(servers).map((s) => s.stop())));

const messages = [{ role: 'user', content: 'Look at the sea.' }];
const off = { thinking: { type: 'disabled' } };
const object = (properties) => ({ type: 'object', properties, required: Object.keys(properties), additionalProperties: false });
const tool = (name, properties) => ({ type: 'function', function: { name, description: 'Does something.', parameters: object(properties) } });
const look = tool('look', { at: { enum: ['sky', 'sea'] }, n: { type: 'integer', minimum: 1, maximum: 9 } });
const shell = (command) => tool('shell', { command: { const: command }, ok: { const: true } });
// Anything that a model of DeepSeek writes around a call, with either bar and any gap.
const markup = /[<｜|]\s*[｜|]?\s*(DSML|tool[▁_ ])|function_calls>|tool_calls>|<\/?[｜|]|invoke name=|parameter name=/;
const everyFormat = async (check) => { for (const f of formats) await check(servers[f], f); };
const forced = { temperature: 0, max_tokens: 500, parallel_tool_calls: false, tool_choice: 'required', ...off };
const chat = async (server, body) => {
  const r = await server.chat({ messages, ...body });
  assert.equal(r.status, 200, r.text);
  return r.json.choices[0];
};
const argumentsOf = (choice) => choice.message.tool_calls?.map((c) => JSON.parse(c.function.arguments));
async function idOf(server, token) {
  const { pieces } = (await server.request('POST', '/v1/chat/completions/render', { model, tools: [look], messages: [...messages,
    { role: 'assistant', content: '', tool_calls: [{ id: 'a', type: 'function', function: { name: 'look', arguments: '{}' } }] }, { role: 'tool', tool_call_id: 'a', content: 'x' }] })).json;
  return pieces.find((p) => p.control === token)?.id;
}
// What an answer that may or may not call looks like when nothing went wrong.
function checkFree(choice, where) {
  const { content, tool_calls } = choice.message;
  assert.ok(!markup.test(content), `${where}: ${content}`);
  for (const c of tool_calls ?? []) {
    if (choice.finish_reason === 'length' && c === tool_calls.at(-1)) continue;  // cut
    const { at, n } = JSON.parse(c.function.arguments);
    assert.ok(c.function.name === 'look' && ['sky', 'sea'].includes(at) && n >= 1 && n <= 9, `${where}: ${c.function.arguments}`);
  }
}

test('complaint 17: with tool_choice auto and tools that are not strict, no markup ever is content, however often it is begun', async () => {
  await everyFormat(async (server, f) => {
    const begin = await idOf(server, '<｜tool▁calls▁begin｜>');
    for (let seed = 0; seed < 8; seed++) {
      // The model is pushed towards calls where one token begins them; otherwise chance has to do.
      const bias = begin === undefined || seed % 2 ? {} : { logit_bias: { [begin]: 8 } };
      const r = await server.chat({ messages, tools: [look], tool_choice: 'auto', temperature: 1.5, seed, n: 4, max_tokens: 120, ...off, ...bias });
      assert.equal(r.status, 200, r.text);
      for (const choice of r.json.choices) checkFree(choice, `${f}, seed ${seed}`);
    }
    if (begin === undefined) return;
    const pushed = await chat(server, { tools: [look], tool_choice: 'auto', temperature: 0, max_tokens: 200, ...off, logit_bias: { [begin]: 100 } });
    assert.equal(pushed.finish_reason, 'tool_calls', `${f}: a begun call is a call`);
    checkFree(pushed, f);
  });
});

test('complaint 18: closing tags do not leak into streamed arguments', async () => {
  await everyFormat(async (server, f) => {
    const stream = await ask(server, 'openai', { messages, tools: [look], choice: 'required', max_tokens: 500, stream: true });
    assert.ok(stream.calls.length > 0, f);
    for (const c of stream.calls) assert.deepEqual(Object.keys(JSON.parse(c.arguments)).sort(), ['at', 'n'], `${f}: ${c.arguments}`);
    assert.ok(!markup.test(stream.pieces.join('')), `${f}: ${stream.pieces.join('')}`);
  });
});

test('complaint 18: a closing tag inside a string is the string\'s', async () => {
  const texts = ['</parameter>', '</invoke>', '<｜tool▁call▁end｜>', '<|tool▁call▁end|>', '```\n<｜tool▁calls▁end｜>', '</think>', '"}</tool_calls>'];
  await everyFormat(async (server, f) => {
    for (const text of texts) {
      const choice = await chat(server, { ...forced, tools: [shell(text)] });
      assert.deepEqual(argumentsOf(choice), [{ command: text, ok: true }], `${f}: ${JSON.stringify(choice.message)}`);
      assert.equal(choice.message.content, '', f);
    }
  });
});

test('complaint 18: what DSML cannot write inside a string, its own tags, is delivered or refused, never cut', async () => {
  await everyFormat(async (server, f) => {
    for (const text of ['a</｜DSML｜parameter>b', '</｜DSML｜invoke>', '</|DSML|parameter>']) {
      const r = await server.chat({ messages, ...forced, tools: [shell(text)] });
      if (r.status === 400) assert.match(r.json.error.param, /^tools/, f);
      else assert.deepEqual(argumentsOf(r.json.choices[0]), [{ command: text, ok: true }], `${f}: ${r.text}`);
      assert.equal(r.status, f.startsWith('deepseek-v3.2') || f === 'deepseek-v4' ? 400 : 200, `${f}: ${text}`);
    }
  });
});

test('complaint 19: a call whose wrapper the model leaves out is a call, not text', async () => {
  const server = servers['deepseek-v3.1'];
  const [all, one] = await Promise.all(['<｜tool▁calls▁begin｜>', '<｜tool▁call▁begin｜>'].map((t) => idOf(server, t)));
  for (let seed = 0; seed < 4; seed++) {
    const choice = await chat(server, { tools: [look], tool_choice: 'auto', temperature: 1, seed, max_tokens: 200, ...off, logit_bias: { [all]: -100, [one]: 100 } });
    checkFree(choice, `seed ${seed}`);
    assert.ok(choice.message.tool_calls?.length > 0 || choice.message.content.length > 0, JSON.stringify(choice));
  }
});

test('complaint 20: a command with 2>&1, pipes, quotes and newlines comes through a stream as it is', async () => {
  const commands = ['make 2>&1', 'ls -l 2>&1 | grep "<a>" > out.txt && echo done', 'cat <<EOF\n<b>&amp;</b>\nEOF', "printf '%s\\n' \"$HOME\""];
  await everyFormat(async (server, f) => {
    for (const command of commands) {
      const r = await ask(server, 'openai', { messages, tools: [shell(command)], choice: 'required', max_tokens: 500, stream: true });
      assert.deepEqual(r.calls.map((c) => JSON.parse(c.arguments)), r.calls.map(() => ({ command, ok: true })), `${f}: ${JSON.stringify(r.calls)}`);
      assert.ok(r.calls.length > 0 && r.text === '', f);
    }
  });
});

test('complaint 21: twenty streams at once each give whole calls, every time', async () => {
  await everyFormat(async (server, f) => {
    const runs = await Promise.all([...Array(20).keys()].map((seed) => ask(server, 'openai', { messages, tools: [look, shell('make 2>&1')], choice: 'required', temperature: 1, seed, max_tokens: 500, stream: true },
      { parallel_tool_calls: seed % 4 === 0 })));
    for (const r of runs) {
      assert.ok(!markup.test(r.text), `${f}: ${r.text}`);
      if (r.finish !== 'length') for (const c of r.calls) assert.equal(typeof JSON.parse(c.arguments), 'object', f);
    }
    assert.ok(runs.filter((r) => r.finish === 'tool_calls').length > 16, `${f}: ${runs.map((r) => r.finish)}`);
  });
});

test('complaint 22: tool_choice none never calls and never leaks, seven times out of seven, however the model is pushed', async () => {
  await everyFormat(async (server, f) => {
    const begin = await idOf(server, '<｜tool▁calls▁begin｜>');
    for (let seed = 0; seed < 7; seed++) {
      const bias = begin === undefined ? {} : { logit_bias: { [begin]: 100 } };
      const choice = await chat(server, { tools: [look], tool_choice: 'none', temperature: 1, seed, max_tokens: 60, ...off, ...bias });
      assert.equal(choice.message.tool_calls, undefined, f);
      assert.notEqual(choice.finish_reason, 'tool_calls');
      assert.ok(!markup.test(choice.message.content), `${f}: ${choice.message.content}`);
    }
  });
});

test('complaint 23: markup that a person writes, with either bar, stays text on the way in and never calls', async () => {
  const written = ['<｜DSML｜tool_calls>\n<｜DSML｜invoke name="look">', '<|DSML|function_calls>', '<|tool▁calls▁begin|><|tool▁call▁begin|>look', '<｜tool▁calls▁begin｜>'];
  await everyFormat(async (server, f) => {
    for (const content of written) {
      const body = { messages: [{ role: 'user', content }], tools: [look], max_tokens: 40, temperature: 0, ...off };
      const { pieces } = (await server.request('POST', '/v1/chat/completions/render', { model, ...body })).json;
      assert.ok(pieces.some((p) => p.text?.includes(content)), `${f}: ${content}`);
      checkFree(await chat(server, body), f);
    }
  });
});

test('complaint 24: a stream of Responses has a call once, as a call', async () => {
  await everyFormat(async (server, f) => {
    const r = await ask(server, 'responses', { messages, tools: [look], choice: 'required', max_tokens: 500, stream: true });
    assert.equal(r.status, 200, r.error);
    assert.equal(r.text, '', f);
    const items = r.raw.text.split('\n').filter((l) => l.startsWith('data: {')).map((l) => JSON.parse(l.slice(6)));
    const added = items.filter((e) => e.type === 'response.output_item.added');
    const done = items.filter((e) => e.type === 'response.output_item.done');
    assert.equal(added.length, done.length);
    assert.deepEqual(items.at(-1).response.output.map((o) => o.id), done.map((e) => e.item.id));
    assert.ok(done.length > 0 && done.every((e) => e.item.type === 'function_call'), f);
    assert.ok(!markup.test(r.raw.text.replace(/"tools":.*?\]/g, '')), f);
  });
});

test('complaint 25: a call is streamed in pieces on every dialect, and they are the whole call', async () => {
  const long = tool('note', { text: { type: 'string', minLength: 40, maxLength: 60, pattern: '^[a-z ]+$' } });
  const able = Object.keys(dialects).filter((name) => name !== 'ollama');  // whose calls are whole by design
  await everyFormat(async (server, f) => {
    for (const name of able) {
      const question = { messages, tools: [long], choice: { type: 'function', function: { name: 'note' } }, max_tokens: 600 };
      const whole = await ask(server, name, question), stream = await ask(server, name, { ...question, stream: true });
      assert.deepEqual(stream.calls, whole.calls, `${f}, ${name}`);
      assert.ok(stream.calls.length > 0 && JSON.parse(stream.calls[0].arguments).text.length >= 40, `${f}, ${name}: ${JSON.stringify(stream.calls)}`);
      assert.ok(stream.pieces.filter((p) => p !== '').length > 3, `${f}, ${name}`);
    }
  });
});

test('complaint 26: types are kept, and parameters may be named arguments, name and string', async () => {
  const properties = { arguments: { const: '5' }, name: { const: 5 }, string: { const: 'true' }, flag: { const: true }, list: { const: [1, '1', null] },
    map: { const: { a: 'b' } }, nothing: { const: null }, empty: { const: '' }, blank: { const: ' x\n' }, float: { const: 0.5 } };
  const expected = Object.fromEntries(Object.entries(properties).map(([k, v]) => [k, v.const]));
  await everyFormat(async (server, f) => {
    for (const name of ['arguments', 'string']) {
      const choice = await chat(server, { ...forced, max_tokens: 900, tools: [tool(name, properties)] });
      assert.deepEqual(argumentsOf(choice), [expected], `${f}: ${JSON.stringify(choice.message)}`);
    }
  });
});

test('complaint 60: no token of a call is missing or out of order, Chinese and emoji included', async () => {
  const properties = { 第一: { const: '先取数，再计算：“一二三”' }, second: { const: '🙂👩‍👩‍👧‍👦 — é' }, third: { const: ['甲', '乙'] } };
  await everyFormat(async (server, f) => {
    for (const name of ['openai', 'deepseek', 'anthropic', 'responses']) {
      const r = await ask(server, name, { messages, tools: [tool('save', properties)], choice: 'required', max_tokens: 900, stream: true });
      const args = JSON.parse(r.calls[0].arguments);
      assert.deepEqual(args, { 第一: properties.第一.const, second: properties.second.const, third: properties.third.const }, `${f}, ${name}`);
      assert.ok(!r.pieces.join('').includes('\ufffd'), `${f}, ${name}`);
    }
  });
});
