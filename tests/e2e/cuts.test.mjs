// Answers cut by max_tokens at every token, and prefixes that meet a format: nothing of markup shows,
// arguments are the beginning of the JSON they would have been, and no request is a 500.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, model } from './hadal.mjs';

const tool = (value) => ({ type: 'function', function: { name: 'f', strict: true, parameters: {
  type: 'object', properties: { k: value }, required: ['k'], additionalProperties: false } } });

for (const format of ['deepseek-v3', 'deepseek-v3.1', 'deepseek-v3.2', 'deepseek-v4']) {
  const thinking = format === 'deepseek-v3' ? undefined : { type: 'disabled' };

  test(`${format}: a call cut at any token leaks no markup`, async () => {
    const server = await Server.start('--chat-template', format);
    for (const value of [1, 'xy', [1]]) {
      const whole = JSON.stringify({ k: value });
      let finish = 'length', max = 0;
      for (; finish === 'length'; ++max) {
        assert.ok(max < 200, 'the call never ends');
        const { status, json, text } = await server.chat({ messages: [{ role: 'user', content: 'go' }],
          temperature: 0, thinking, max_tokens: max + 1, tool_choice: 'required', tools: [tool({ const: value })] });
        assert.equal(status, 200, text);
        const { message, finish_reason } = json.choices[0];
        finish = finish_reason;
        const args = (message.tool_calls ?? []).map((call) => call.function.arguments).join('');
        assert.ok(whole.startsWith(args.replace(/\s/g, '')), `${max + 1}: ${args}`);
        assert.equal(message.content.trim(), '', `${max + 1}`);
      }
      assert.equal(finish, 'tool_calls');
      assert.ok(max > 5);
    }
    await server.stop();
  });

  test(`${format}: a prefix that its format does not allow is a 400, a gap under a format is filled`, async () => {
    const server = await Server.start('--chat-template', format);
    for (const prefix of ['no', 'a', ' ', '[', '-', '你', 'Sure']) {
      const { status, json } = await server.chat({ thinking, max_tokens: 8, response_format: { type: 'json_object' },
        messages: [{ role: 'user', content: 'say' }, { role: 'assistant', content: prefix, prefix: true }] });
      assert.equal(status, 400, prefix);
      assert.equal(json.error.param, 'messages');
      const gap = await server.request('POST', '/beta/completions', { model, prompt: prefix, suffix: 'z',
        response_format: { type: 'json_object' }, max_tokens: 8 });
      assert.equal(gap.status, 200, gap.text);
      assert.match(gap.json.choices[0].text, /^\{/);
    }
    const { status } = await server.chat({ thinking, max_tokens: 8, response_format: { type: 'json_object' },
      messages: [{ role: 'user', content: 'say' }, { role: 'assistant', content: '{"a', prefix: true }] });
    assert.equal(status, 200);
    await server.stop();
  });
}
