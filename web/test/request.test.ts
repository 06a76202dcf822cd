import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTools, requestBody } from '../src/model/request';
import { type Turn, defaultSettings } from '../src/model/types';

const turn = (fields: Partial<Turn>): Turn =>
  ({ id: 'x', parent: null, role: 'user', created: 0, content: '', ...fields });

test('settings that were left alone are not sent', () => {
  const body = requestBody(defaultSettings, 'm', [turn({ content: 'hi' })]);
  assert.deepEqual(body, {
    model: 'm', messages: [{ role: 'user', content: 'hi' }], stream: true,
    stream_options: { include_usage: true },
  });
});

test('every setting has its field', () => {
  const tools = '[{"type":"function","function":{"name":"f"}}]';
  const body = requestBody({
    model: '', system: 'be brief', temperature: 0, topP: 0.5, maxTokens: 7, seed: 3,
    thinking: 'disabled', effort: 'high', tools,
  }, 'm', [turn({ content: 'hi' })]);
  assert.equal(body.temperature, 0);
  assert.equal(body.top_p, 0.5);
  assert.equal(body.max_tokens, 7);
  assert.equal(body.seed, 3);
  assert.deepEqual(body.thinking, { type: 'disabled' });
  assert.equal(body.reasoning_effort, 'high');
  assert.deepEqual(body.tools, JSON.parse(tools));
  assert.deepEqual((body.messages as unknown[])[0], { role: 'system', content: 'be brief' });
});

test('calls, their results and thoughts go back as the API takes them', () => {
  const call = { id: 'c1', name: 'f', arguments: '{"a":1}' };
  const { messages } = requestBody(defaultSettings, 'm', [
    turn({ content: 'q' }),
    turn({ role: 'assistant', reasoning: 'hm', toolCalls: [call], finish: 'tool_calls' }),
    turn({ role: 'tool', results: [{ callId: 'c1', content: '42' }] }),
  ]);
  assert.deepEqual(messages, [
    { role: 'user', content: 'q' },
    { role: 'assistant', content: '', reasoning_content: 'hm', tool_calls: [
      { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }] },
    { role: 'tool', tool_call_id: 'c1', content: '42' },
  ]);
});

test('an answer that failed before its first token is not part of the history', () => {
  const { messages } = requestBody(defaultSettings, 'm', [
    turn({ content: 'q' }), turn({ role: 'assistant', finish: 'failed' }), turn({ content: 'again' }),
  ]);
  assert.equal((messages as unknown[]).length, 2);
});

test('tools are read leniently in form and strictly in content', () => {
  assert.equal(readTools(' ').tools.length, 0);
  assert.deepEqual(readTools('{"name":"f"}').tools, [{ type: 'function', function: { name: 'f' } }]);
  assert.equal(readTools('[').problem, 'json');
  assert.ok(readTools('[').detail);
  assert.equal(readTools('[3]').problem, 'list');
  assert.equal(readTools('[null]').problem, 'list');
  assert.equal(readTools('[{"type":"function"}]').problem, 'function');
  assert.equal(readTools('[{"type":"function","function":{"name":""}}]').problem, 'function');
});
