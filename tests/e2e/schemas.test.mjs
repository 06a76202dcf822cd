// Every completed answer to a JSON Schema validates, says a validator that shares no line with Hadal:
// 1,000 random schemas, then a schema by hand for each keyword.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { Server, withServer } from './hadal.mjs';
import { features, mayBeRefused } from './schemas/features.mjs';
import { randomSchema } from './schemas/random_schema.mjs';

const nRandom = 1000, nAtOnce = 16;
let server;
before(async () => { server = await Server.start('--set', 'server.access_log=off'); });
after(() => server.stop());

const ajv = addFormats(new Ajv2020({ strict: false, allErrors: true, validateSchema: true }));

const sampled = { messages: [{ role: 'user', content: 'Answer in json.' }], thinking: { type: 'disabled' }, temperature: 1 };
async function ask(schema, seed) {
  const { status, json, text } = await server.chat({ ...sampled, seed, max_tokens: 300,
    response_format: { type: 'json_schema', json_schema: { name: 'answer', schema } } });
  if (status === 400 && json.error.param === 'response_format') return { kind: 'refused', why: json.error.message };
  assert.equal(status, 200, text);
  const [choice] = json.choices;
  if (choice.finish_reason === 'length') return { kind: 'cut', content: choice.message.content };
  assert.equal(choice.finish_reason, 'stop');
  return { kind: 'completed', content: choice.message.content, tokens: json.usage.completion_tokens };
}

// The same, of the arguments of a tool that must be called.
const askTool = (at) => async (schema, seed) => {
  const { status, json, text } = await at.chat({ ...sampled, seed, max_tokens: 1200, parallel_tool_calls: false, tool_choice: 'required',
    tools: [{ type: 'function', function: { name: 'answer', parameters: schema } }] });
  assert.equal(status, 200, text);
  const [{ message, finish_reason }] = json.choices;
  if (finish_reason === 'length') return { kind: 'cut' };
  assert.deepEqual([finish_reason, message.content, message.tool_calls.length], ['tool_calls', '', 1]);
  return { kind: 'completed', content: message.tool_calls[0].function.arguments, tokens: json.usage.completion_tokens };
};

// What is wrong with a completed answer; '' when nothing is.
function fault(schema, content) {
  let value;
  try { value = JSON.parse(content); } catch (e) { return `not JSON: ${e.message}`; }
  const valid = typeof schema === 'boolean' ? schema : ajv.validate(schema, value);
  if (schema.$id) ajv.removeSchema(schema.$id);
  return valid ? '' : ajv.errorsText();
}

async function askAll(schemas, askOne = ask) {
  const out = { completed: 0, cut: 0, refused: 0, tokens: 0, faults: [], reasons: new Map(), cuts: [] };
  let next = 0;
  await Promise.all([...Array(nAtOnce)].map(async () => {
    while (next < schemas.length) {
      const seed = next++;
      const schema = schemas[seed];
      const answer = await askOne(schema, seed);
      out[answer.kind]++;
      if (answer.kind === 'refused') out.reasons.set(seed, answer.why);
      if (answer.kind === 'cut') out.cuts.push(seed);
      if (answer.kind !== 'completed') continue;
      out.tokens += answer.tokens;
      const wrong = fault(schema, answer.content);
      if (wrong) out.faults.push(`schema ${seed} ${JSON.stringify(schema)}\n  answer ${answer.content}\n  ${wrong}`);
    }
  }));
  return out;
}

test(`${nRandom} random schemas, ${nAtOnce} at once: every completed answer validates`, async (t) => {
  const out = await askAll([...Array(nRandom).keys()].map((i) => randomSchema(i + 1)));
  t.diagnostic(`${out.completed} completed (${out.tokens} tokens), ${out.cut} cut by max_tokens, ${out.refused} refused, ${out.faults.length} wrong`);
  for (const [seed, why] of [...out.reasons].slice(0, 5)) t.diagnostic(`schema ${seed} is refused: ${why}`);
  assert.deepEqual(out.faults, []);
  assert.equal(out.completed + out.cut + out.refused, nRandom);
  assert.ok(out.cut < nRandom * 0.05, `${out.cut} answers were cut: schemas ${out.cuts.slice(0, 20)}`);
  assert.ok(out.refused < nRandom * 0.05, `${out.refused} schemas were refused: ${JSON.stringify([...out.reasons].slice(0, 5))}`);
});

test('a refused schema ends only its request', async () => {
  const good = { type: 'object', properties: { a: { enum: [1] } }, required: ['a'], additionalProperties: false };
  const bad = { type: 'object', properties: { a: { $ref: '#/nowhere' } } };
  const kinds = await Promise.all([...Array(24).keys()].map((i) => ask(i % 2 ? bad : good, i)));
  assert.deepEqual(kinds.map((k) => k.kind), kinds.map((_, i) => (i % 2 ? 'refused' : 'completed')));
});

test('the same schema asked again comes from the cache of constraints', async () => {
  const schema = randomSchema(77);
  await ask(schema, 1);
  const before = await server.metric('hadal_constraints_compiled_total');
  await ask(schema, 2);
  assert.equal(await server.metric('hadal_constraints_compiled_total'), before);
});

test('a schema for each keyword, three answers each: every completed answer validates', async (t) => {
  const names = Object.keys(features);
  const out = await askAll(names.flatMap((name) => Array(3).fill(features[name])));
  t.diagnostic(`${names.length} keywords: ${out.completed} completed, ${out.cut} cut by max_tokens, ${out.refused} refused, ${out.faults.length} wrong`);
  assert.deepEqual(out.faults, []);
  const refused = [...out.reasons].filter(([i]) => i % 3 === 0).map(([i, why]) => [names[i / 3], why]);
  for (const [name, why] of refused) t.diagnostic(`${name} is refused: ${why}`);
  assert.deepEqual(refused.filter(([name]) => !mayBeRefused.has(name)), []);
  assert.deepEqual(out.cuts.map((i) => names[Math.floor(i / 3)]), []);
});

// V3.1 writes arguments as JSON, V4 as tags with typed parameters.
for (const [format, n] of [['deepseek-v3.1', 100], ['deepseek-v4', 40]]) {
  test(`${n} random schemas as a tool's parameters in the format ${format}: every call validates`, async (t) => {
    const objects = [...Array(2 * n).keys()].map((i) => randomSchema(i + 1)).filter((s) => s.type === 'object').slice(0, n);
    assert.equal(objects.length, n);
    const out = await withServer(['--chat-template', format, '--set', 'server.access_log=off'], (at) => askAll(objects, askTool(at)));
    t.diagnostic(`${out.completed} calls (${out.tokens} tokens), ${out.cut} cut by max_tokens, ${out.faults.length} wrong`);
    assert.deepEqual(out.faults, []);
    assert.ok(out.cut <= n * 0.05);
  });
}
