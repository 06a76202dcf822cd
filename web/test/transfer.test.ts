import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileName, fromJson, toJson, toMarkdown } from '../src/model/transfer';
import { addTurn, newConversation, shownTurns } from '../src/model/tree';
import { type Conversation, type Turn, defaultSettings } from '../src/model/types';

const headings = { user: 'You', assistant: 'Answer', tool: 'Tool results', system: 'System prompt',
  thinking: 'Thoughts', toolCall: 'Tool call' };
const turns: Turn[] = [
  { id: 'a', parent: null, role: 'user', created: 1, content: 'What is ``` ?' },
  { id: 'b', parent: 'a', role: 'assistant', created: 2, content: 'A fence.', model: 'm',
    reasoning: 'easy\n\nyes', reasoningMs: 5, finish: 'tool_calls',
    toolCalls: [{ id: 'c1', name: 'look_up', arguments: '{"q":"```"}' }],
    figures: { exact: true, completionTokens: 3, promptTokens: 2, cachedTokens: 0 } },
  { id: 't', parent: 'b', role: 'tool', created: 3, content: '',
    results: [{ callId: 'c1', content: 'found' }] },
];
const sample: Conversation = {
  ...turns.reduce(addTurn, newConversation({ ...defaultSettings, system: 'be brief', topP: 0.5 }, 0)),
  title: 'Fences',
};

test('Markdown has everything of the shown branch, and no fence is closed by its text', () => {
  assert.equal(toMarkdown(sample, headings), `# Fences

## System prompt

be brief

## You

What is \`\`\` ?

## Answer (m)

> **Thoughts**
>
> easy
>
> yes

A fence.

**Tool call**: \`look_up\`

\`\`\`\`json
{"q":"\`\`\`"}
\`\`\`\`

## Tool results

\`\`\`
found
\`\`\`
`);
});

test('JSON goes out and comes back the same, under a new id', () => {
  const back = fromJson(toJson([sample]));
  assert.equal(back?.length, 1);
  assert.notEqual(back![0]!.id, sample.id);
  assert.deepEqual({ ...back![0]!, id: sample.id }, sample);
});

test('what is no export is refused', () => {
  for (const text of ['', '{', '[]', '{}', '{"format":"other","version":1}', 'null', '"x"',
    '{"format":"hadal-conversations","version":2,"conversations":[]}']) {
    assert.equal(fromJson(text), null, text);
  }
});

test('a hostile export becomes harmless conversations', () => {
  const text = JSON.stringify({ format: 'hadal-conversations', version: 1, conversations: [
    3, null, [], { turns: {} }, {
      title: { toString: 'x' }, settings: { temperature: 'hot', thinking: 'maybe', tools: 7 },
      chosen: { '': 'nope', a: 5 },
      turns: {
        a: { role: 'wizard', content: 5, parent: 'constructor' },
        b: { role: 'assistant', parent: 'a', toolCalls: [1, { id: 2 }], figures: 'many', finish: '?' },
        c: { role: 'tool', parent: 'b', results: 'x' },
        '<img>': { role: 'user' },
      },
    }] }).replace('"c":', '"__proto__":{"polluted":true},"c":');
  const got = fromJson(text)!;
  assert.equal(got.length, 1);
  const c = got[0]!;
  assert.deepEqual(Object.keys(c.turns), ['a', 'b', 'c']);
  assert.equal((c.turns as { polluted?: boolean }).polluted, undefined);
  assert.equal(c.title, '');
  assert.equal(c.settings.temperature, null);
  assert.equal(c.settings.thinking, 'default');
  assert.deepEqual(shownTurns(c).map((t) => t.role), ['user', 'assistant', 'tool']);
  assert.equal(c.turns.b!.finish, 'stopped');
});

test('file names are plain', () => {
  assert.equal(fileName('../a/b: "c"?', 'md'), 'a-b-c.md');
  assert.equal(fileName('什么卡？', 'json'), '什么卡.json');
  assert.equal(fileName('???', 'md'), 'conversation.md');
});
