import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Answer, type Chunk, failureOf } from '../src/model/answer';

const delta = (d: object, finish: string | null = null): Chunk =>
  ({ choices: [{ delta: d, finish_reason: finish }] });

test('thinking, text and figures of a whole answer', () => {
  const answer = new Answer(1000);
  answer.add(delta({ role: 'assistant', content: '' }), 1100);
  answer.add(delta({ reasoning_content: 'hm ' }), 1500);
  answer.add(delta({ reasoning_content: 'so' }), 2000);
  assert.equal(answer.fields(2500).reasoningMs, 1500, 'time runs on while it thinks');
  answer.add(delta({ content: 'Yes' }), 3000);
  answer.add(delta({}, 'stop'), 3000);
  answer.add({ choices: [], usage: {
    prompt_tokens: 10, completion_tokens: 31, prompt_tokens_details: { cached_tokens: 4 },
    completion_tokens_details: { reasoning_tokens: 20 } } }, 3001);
  assert.deepEqual(answer.fields(9999), {
    content: 'Yes', reasoning: 'hm so', reasoningMs: 1000, finish: 'stop',
    figures: { exact: true, promptTokens: 10, cachedTokens: 4, completionTokens: 31,
      reasoningTokens: 20, firstTokenMs: 500, tokensPerSecond: 20 },
  });
});

test('a stopped answer counts the pieces that came, and says so', () => {
  const answer = new Answer(0);
  answer.add(delta({ content: 'a' }), 10);
  answer.add(delta({ content: 'b' }), 20);
  answer.stop();
  const { figures, finish, content } = answer.fields(30);
  assert.equal(content, 'ab');
  assert.equal(finish, 'stopped');
  assert.equal(figures?.exact, false);
  assert.equal(figures?.completionTokens, 2);
  assert.equal(figures?.burst, true);
  assert.equal(figures?.tokensPerSecond, 100, 'two tokens in the 20 ms since the request');
});

test('tool calls come in pieces, side by side', () => {
  const answer = new Answer(0);
  const piece = (p: object) => answer.add(delta({ tool_calls: [p] }), 1);
  piece({ index: 0, id: 'c0', type: 'function', function: { name: 'f', arguments: '' } });
  piece({ index: 0, function: { arguments: '{"x"' } });
  piece({ index: 1, id: 'c1', function: { name: 'g', arguments: '{}' } });
  piece({ index: 0, function: { arguments: ':1}' } });
  piece({ index: 9, function: { name: 'gap' } });
  answer.add(delta({}, 'tool_calls'), 2);
  const { toolCalls, finish } = answer.fields(3);
  assert.deepEqual(toolCalls, [
    { id: 'c0', name: 'f', arguments: '{"x":1}' }, { id: 'c1', name: 'g', arguments: '{}' }]);
  assert.equal(finish, 'tool_calls');
});

test('an error event ends the answer with message, field and code', () => {
  const answer = new Answer(0);
  answer.add(delta({ content: 'part' }), 1);
  answer.add({ error: { message: 'gone', type: 'server_error', param: null, code: 'unavailable' } }, 2);
  assert.ok(answer.done);
  assert.equal(answer.fields(3).finish, 'failed');
  assert.deepEqual(answer.fields(3).failure, { message: 'gone', code: 'unavailable' });
  assert.equal(answer.fields(3).content, 'part');
});

test('refusals keep what the server said', () => {
  assert.deepEqual(failureOf({ message: 'm', param: 'top_p', code: 'invalid_value' }, 400, null),
    { message: 'm', code: 'invalid_value', field: 'top_p', status: 400 });
  assert.equal(failureOf({ message: 'm' }, 429, '7').retryAfterSeconds, 7);
  assert.equal(failureOf(undefined, 502).message, 'HTTP 502');
});
