// Guessed tokens: the same answers in fewer steps, whatever a request asks for.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, run } from './hadal.mjs';

let plain, guessing;
before(async () => {
  plain = await Server.start('--speculation', 'off');
  guessing = await Server.start('--speculation', 'ngram');
});
after(() => Promise.all([plain.stop(), guessing.stop()]));

const list = 'apples, pears, plums, cherries, apples, pears, plums, cherries, apples, pears';
const asks = {
  'a greedy answer': { temperature: 0 },
  'a drawn answer': { temperature: 0.9, seed: 5 },
  'penalties': { temperature: 0, frequency_penalty: 0.6, presence_penalty: 0.2 },
  'logprobs': { temperature: 0, logprobs: true, top_logprobs: 3 },
  'two choices': { temperature: 0.8, seed: 9, n: 2 },
  'a stop string': { temperature: 0, stop: [' the', ','] },
  'JSON': { temperature: 0, response_format: { type: 'json_object' } },
  'a schema': { temperature: 0.7, seed: 3, response_format: { type: 'json_schema', json_schema: { name: 'x',
    schema: { type: 'object', properties: { items: { type: 'array', items: { enum: ['ab', 'abc', 'b'] }, minItems: 12, maxItems: 20 } }, required: ['items'], additionalProperties: false } } } },
};
for (const [name, ask] of Object.entries(asks)) {
  test(`${name}: the same with guesses`, async () => {
    const body = { messages: [{ role: 'user', content: `Say it again: ${list}` }], max_tokens: 200, ...ask };
    const [a, b] = await Promise.all([plain.chat(body), guessing.chat(body)]);
    assert.equal(a.status, 200, a.text);
    assert.equal(b.status, 200, b.text);
    assert.deepEqual(b.json.choices, a.json.choices);
    assert.equal(b.json.usage.completion_tokens, a.json.usage.completion_tokens);
    const [c, d] = await Promise.all([plain.stream(body), guessing.stream(body)]);
    assert.equal(d.content, c.content);
    assert.equal(d.reasoning, c.reasoning);
    assert.equal(d.finish, c.finish);
    assert.deepEqual(d.usage?.completion_tokens, c.usage?.completion_tokens);
  });
}

test('text that repeats comes in fewer steps, and /metrics says why', async () => {
  const body = { model: 'hadal-demo', prompt: list, max_tokens: 120, temperature: 0, ignore_eos: true, logit_bias: { 300: 100 } };
  const steps = async (server) => {
    const before = await server.metric('hadal_engine_steps_total');
    const answer = await server.request('POST', '/v1/completions', body);
    assert.equal(answer.status, 200, answer.text);
    return { text: answer.json.choices[0].text, n: (await server.metric('hadal_engine_steps_total')) - before };
  };
  const [a, b] = [await steps(plain), await steps(guessing)];
  assert.equal(b.text, a.text);
  assert.ok(b.n < a.n / 1.5, `${b.n} steps with guesses, ${a.n} without`);
  const page = (await guessing.request('GET', '/metrics')).text;
  const count = (name) => Number(new RegExp(`^${name}\\{kind="ngram"\\} (\\d+)`, 'm').exec(page)?.[1]);
  assert.ok(count('hadal_accepted_tokens_total') >= a.n - b.n);
  assert.ok(count('hadal_drafted_tokens_total') >= count('hadal_accepted_tokens_total'));
  assert.doesNotMatch((await plain.request('GET', '/metrics')).text, /drafted/);
});

test('a layer of multi-token prediction is asked for in vain where there is none', async () => {
  const mtp = await run(['generate', '--raw', '--set', 'speculation.kind=mtp', '--lang', 'en', 'hi']);
  assert.equal(mtp.code, 1);
  assert.match(mtp.stderr, /multi-token prediction/);
  const auto = await run(['generate', '--raw', '--set', 'speculation.kind=auto', '--max-tokens', '4', 'hi']);
  assert.equal(auto.code, 0, auto.stderr);
});
