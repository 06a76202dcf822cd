// Anthropic's Messages API: its fields, its answers, whole and as events.
import { any, exactly, inOrder, listOf, not, oneOf, range, some, string, text } from './matcher.mjs';

const messages = [{ role: 'user', content: 'who are you?' }];
const question = [{ role: 'user', content: 'I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?' }];
const base = { model: 'hadal-demo', messages, max_tokens: 2, temperature: 0 };
const long = [{ role: 'user', content: 'word '.repeat(5000) }];
const whole = { max_tokens: 200 };
const thinks = { thinking: { type: 'adaptive' } };
const say = (t) => ({ type: 'text', text: t });
const said = (t = text) => ({ type: 'text', text: t });
const thought = (t = text) => ({ type: 'thinking', thinking: t });
const schema = { type: 'object', properties: { city: { enum: ['Paris', 'Berlin'] } }, required: ['city'], additionalProperties: false };
const tool = (name = 'weather', more = {}) => ({ name, description: 'The weather.', input_schema: schema, ...more });
const forced = { tools: [tool()], tool_choice: { type: 'any', disable_parallel_tool_use: true }, max_tokens: 300 };
const used = (name = 'weather', input = { city: oneOf('Paris', 'Berlin') }) => ({ type: 'tool_use', id: text, name, input });
const call = (id) => ({ role: 'assistant', content: [{ type: 'tool_use', id, name: 'weather', input: { city: 'Paris' } }] });
const result = (id, more = {}) => ({ type: 'tool_result', tool_use_id: id, content: 'sunny', ...more });
const refused = (name, body, refuse, more = {}) => ({ name, body, refuse, ...more });
const start = { type: 'message_start', message: { content: [], stop_reason: null, usage: { input_tokens: range(1, 4096) } } };
const opens = (index, content_block) => ({ type: 'content_block_start', index, content_block });
const delta = (index, d) => ({ type: 'content_block_delta', index, delta: d });
const closes = (index) => ({ type: 'content_block_stop', index });
const ends = (stop_reason, more = {}) => [{ type: 'message_delta', delta: { stop_reason, ...more }, usage: { output_tokens: range(1, 4096) } }, { type: 'message_stop' }];
const format = { type: 'json_schema', schema };
const budget = (n, more = {}) => ({ thinking: { type: 'enabled', budget_tokens: n }, ...more });
const block = (b, more = {}) => ({ messages: [{ role: 'user', content: [b] }], ...more });
const turns = (n, size) => [...Array(n).keys()].flatMap((i) => [{ role: 'user', content: `${i} `.repeat(size) }, { role: 'assistant', content: 'ok' }]);

const fields = [
  { name: 'model', type: 'string', required: true, en: 'a served model or an alias', zh: '已提供的模型名或别名', good: ['hadal-demo'], bad: ['', 7, [], {}] },
  { name: 'max_tokens', type: 'integer, 1 or more', required: true, en: 'longest answer, thinking included', zh: '回答（含思考）的最大 token 数', good: [1, 16.0], bad: [0, -1, 1.5, '5', true] },
  { name: 'messages', type: 'array of 1 to 4096 messages', required: true, en: '`role`: user, assistant or system; `content`: a string or blocks (text, thinking, tool_use, tool_result); a last message of the assistant is continued',
    zh: '`role`：user、assistant 或 system；`content`：字符串或内容块（text、thinking、tool_use、tool_result）；最后一条 assistant 消息会被续写',
    good: [messages, [{ role: 'user', content: [say('who '), say('are you?')] }], [{ role: 'system', content: 'Be brief.' }, ...messages]],
    bad: ['x', [], {}, { value: ['x'], param: 'messages[0]' }, { value: [{ content: 'x' }], param: 'messages[0].role' }, { value: [{ role: 'tool', content: 'x' }], param: 'messages[0].role' },
      { value: [{ role: 'user' }], param: 'messages[0].content' }, { value: [{ role: 'user', content: [] }], param: 'messages[0].content' }, { value: [{ role: 'user', content: 3 }], param: 'messages[0].content' }] },
  { name: 'system', type: 'string or text blocks', default: 'none', en: 'what the model is to be', zh: '系统提示词', good: ['Be brief.', [say('Be'), say('brief.')], [{ ...say('x'), cache_control: { type: 'ephemeral' } }], [], null], bad: [3, {}, { value: [{ type: 'image' }], param: 'system[0].type' }, { value: [{ type: 'text' }], param: 'system[0].text' }] },
  { name: 'temperature', type: 'number, 0 to 1', default: 'the model\'s own, else 1', en: '0 is greedy', zh: '0 为贪心解码', good: [0, 0.5, 1, null], bad: [-0.1, 1.1, 'x', true] },
  { name: 'top_p', type: 'number, above 0, at most 1', default: 'the model\'s own, else 1', en: 'nucleus sampling', zh: '核采样', good: [0.1, 1], bad: [0, 1.1, 'x'] },
  { name: 'top_k', type: 'integer, 0 or more', default: 'the model\'s own, else off', en: 'keeps the k likeliest tokens', zh: '只保留概率最高的 k 个 token', good: [0, 40], bad: [-1, 1.5, 'x'] },
  { name: 'stop_sequences', type: 'array of at most 16 strings of 1 to 1024 bytes', default: '[]', en: 'the answer ends before the first of these', zh: '回答在首次出现这些字符串之前结束', good: [[], ['a'], Array(16).fill('x'), null], bad: ['x', Array(17).fill('x'), { value: [''], param: 'stop_sequences[0]' }, { value: [1], param: 'stop_sequences[0]' }] },
  { name: 'stream', type: 'boolean', default: 'false', en: 'events as they come', zh: '流式返回', good: [true, false, null], bad: ['true', 1] },
  { name: 'thinking', type: 'object: `type` "enabled", "adaptive" or "disabled", `budget_tokens` integer below max_tokens, `display` "summarized" or "omitted"', default: '{"type":"disabled"}', en: 'whether the model thinks first, for how many tokens, and whether that is sent', zh: '是否先思考、思考的 token 上限、是否返回思考内容',
    good: [{ type: 'adaptive' }, { type: 'disabled' }, { type: 'enabled', budget_tokens: 1 }, { type: 'adaptive', display: 'omitted' }, null],
    bad: ['x', { value: {}, param: 'thinking.type' }, { value: { type: 'on' }, param: 'thinking.type' }, { value: { type: 'enabled', budget_tokens: 2 }, param: 'thinking.budget_tokens' }, { value: { type: 'enabled', budget_tokens: 0 }, param: 'thinking.budget_tokens' }, { value: { type: 'adaptive', display: 'x' }, param: 'thinking.display' }] },
  { name: 'tools', type: 'array of at most 128 tools', default: '[]', en: '`name`, `description`, `input_schema` (a JSON Schema of an object), `strict`', zh: '`name`、`description`、`input_schema`（对象的 JSON Schema）、`strict`',
    good: [[], [tool()], [tool('f', { type: 'custom', strict: true, cache_control: { type: 'ephemeral' } })], null],
    bad: ['x', { value: ['x'], param: 'tools[0]' }, { value: [{ name: 'f' }], param: 'tools[0].input_schema' }, { value: [{ input_schema: schema }], param: 'tools[0].name' }, { value: [tool('a b')], param: 'tools[0].name' }, { value: [tool(), tool()], param: 'tools[1].name' },
      { value: [tool('f', { description: 3 })], param: 'tools[0].description' }, { value: [tool('f', { input_schema: { type: 'string' } })], param: 'tools[0].input_schema.type' }, { value: [{ type: 'web_search_20250305', name: 'web_search' }], param: 'tools[0].type' }] },
  { name: 'tool_choice', type: 'object: `type` "auto", "any", "tool" or "none", `name`, `disable_parallel_tool_use`', default: '{"type":"auto"}', en: 'whether a call must, may or must not come', zh: '是否必须、可以或不得调用', with: { tools: [tool()] },
    good: [{ type: 'auto' }, { type: 'none' }, { type: 'any' }, { type: 'tool', name: 'weather' }, null],
    bad: ['any', { value: {}, param: 'tool_choice.type' }, { value: { type: 'required' }, param: 'tool_choice.type' }, { value: { type: 'tool' }, param: 'tool_choice.name' }, { value: { type: 'tool', name: 'other' }, param: 'tool_choice.name' }, { value: { type: 'auto', disable_parallel_tool_use: 1 }, param: 'tool_choice.disable_parallel_tool_use' }] },
  { name: 'output_config', type: 'object: `effort`, `format`', default: '{}', en: '`effort` bounds the thinking as `reasoning_effort` does; `format`: {"type":"json_schema","schema":...}', zh: '`effort` 与 `reasoning_effort` 相同；`format`：{"type":"json_schema","schema":...}',
    good: [{ effort: 'low' }, { effort: 'max' }, { format }, {}, null], bad: ['x', { value: { effort: 'x' }, param: 'output_config.effort' }, { value: { format: {} }, param: 'output_config.format.type' }, { value: { format: { type: 'json_schema' } }, param: 'output_config.format.schema' }, { value: { format: { type: 'json_schema', schema: { type: 'x' } } }, param: 'output_config.format' }] },
  { name: 'output_format', type: 'object', default: 'none', en: 'the older name of `output_config.format`', zh: '`output_config.format` 的旧名称', good: [format, null], bad: ['x', { value: { type: 'x' }, param: 'output_format.type' }] },
  { name: 'truncation', type: '"disabled", "auto" or {"type":"auto","strategy":"middle" or "front"}', default: '"disabled"', en: 'leaves out whole turns of a conversation that does not fit, and says so', zh: '对话放不下时整轮省略并说明', good: ['auto', 'disabled', { type: 'auto', strategy: 'front' }, { type: 'auto' }, null], bad: ['x', 'front', true] },
];

const rows = [
  { name: 'a message is answered without thinking', body: whole, doc: { en: 'A message.', zh: '一条消息。' }, expect: { content: [said(/^I am Hadal/)], stop_reason: 'end_turn', stop_sequence: null, usage: { input_tokens: range(0, 8), output_tokens: range(10, 100) } } },
  { name: 'thinking comes before the text', body: { ...whole, ...thinks }, doc: { en: 'With thinking.', zh: '带思考。' }, expect: { content: [thought('The topic is who I am.'), said(/^I am Hadal/)], stop_reason: 'end_turn' } },
  { name: 'thinking that is omitted is an empty block', body: { ...whole, thinking: { type: 'adaptive', display: 'omitted' } }, expect: { content: [{ type: 'thinking', thinking: '' }, said()] } },
  { name: 'budget_tokens bounds the thinking and the text follows', body: { messages: question, ...whole, ...budget(6) }, expect: { content: [thought(), said()], usage: { output_tokens_details: { thinking_tokens: range(1, 6) } } } },
  { name: 'effort low bounds the thinking', body: { messages: question, ...thinks, max_tokens: 40, output_config: { effort: 'low' } }, expect: { content: [thought(), said()], usage: { output_tokens_details: { thinking_tokens: range(1, 10) } } } },
  { name: 'no think tag shows in the texts', body: { ...whole, ...thinks }, expect: { content: [thought(not(/think>/)), said(not(/think>/))] } },
  { name: 'max_tokens reached is max_tokens', body: { max_tokens: 3 }, expect: { stop_reason: 'max_tokens', usage: { output_tokens: 3 } } },
  { name: 'max_tokens reached while thinking is max_tokens', body: { max_tokens: 3, ...thinks }, expect: { content: [thought()], stop_reason: 'max_tokens' } },
  { name: 'max_tokens reached in a stream is max_tokens', body: { max_tokens: 2, stream: true }, events: inOrder(start, opens(0, said('')), some(delta(0, { type: 'text_delta' })), closes(0), ...ends('max_tokens')) },
  { name: 'a stop sequence ends the text and is named', body: { ...whole, stop_sequences: ['none', 'demo'] }, expect: { content: [said("I am Hadal's built-in ")], stop_reason: 'stop_sequence', stop_sequence: 'demo' } },
  { name: 'a stop sequence ends a stream and is named', body: { ...whole, stop_sequences: ['demo'], stream: true }, events: inOrder(start, opens(0, said('')), some(delta(0, { text: not(/demo/) })), closes(0), ...ends('stop_sequence', { stop_sequence: 'demo' })) },
  { name: 'a stream of a text', body: { ...whole, stream: true }, doc: { en: 'A stream.', zh: '流式回答。' }, events: inOrder(start, opens(0, said('')), some(delta(0, { type: 'text_delta', text })), closes(0), ...ends('end_turn')) },
  { name: 'a stream of thinking and a text', body: { ...whole, ...thinks, stream: true },
    events: inOrder(start, opens(0, thought('')), some(delta(0, { type: 'thinking_delta' })), delta(0, { type: 'signature_delta' }), closes(0), opens(1, said('')), some(delta(1, { type: 'text_delta' })), closes(1), ...ends('end_turn')) },
  { name: 'a last message of the assistant is continued', body: { ...whole, messages: [...messages, { role: 'assistant', content: 'I am' }] }, expect: { content: [said(/^ Hadal/)] } },
  { name: 'a history with thinking blocks is accepted', body: { messages: [...messages, { role: 'assistant', content: [{ type: 'thinking', thinking: 'They ask.', signature: '' }, say('A model.')] }, ...messages] } },
  { name: 'a history with redacted thinking is accepted', body: { messages: [...messages, { role: 'assistant', content: [{ type: 'redacted_thinking', data: 'x' }, say('A model.')] }, ...messages] } },
  { name: 'a history of thinking is not shown again', path: '/v1/messages/count_tokens', body: { messages: [...messages, { role: 'assistant', content: [{ type: 'thinking', thinking: 'word '.repeat(50), signature: '' }, say('A.')] }, ...messages] }, expect: { input_tokens: range(10, 40) } },
  { name: 'a call that must come', body: forced, doc: { en: 'A tool that must be used.', zh: '必须使用工具。' }, expect: { content: [used()], stop_reason: 'tool_use' } },
  { name: 'a call that must come while thinking', body: { ...forced, ...thinks }, expect: { content: [thought(), used()], stop_reason: 'tool_use' } },
  { name: 'a named tool', body: { ...forced, tools: [tool('a'), tool('weather')], tool_choice: { type: 'tool', name: 'weather' } }, expect: { content: listOf(used(), 1), stop_reason: 'tool_use' } },
  { name: 'a call in a stream', body: { ...forced, stream: true }, events: inOrder(start, opens(0, used('weather', exactly({}))), some(delta(0, { type: 'input_json_delta', partial_json: string })), closes(0), ...ends('tool_use')) },
  { name: 'tool_choice none never calls', body: { tools: [tool()], tool_choice: { type: 'none' }, max_tokens: 40 }, expect: { content: [said()], stop_reason: oneOf('end_turn', 'max_tokens') } },
  { name: 'a result is answered', body: { tools: [tool()], messages: [...messages, call('a'), { role: 'user', content: [result('a')] }] }, expect: { content: listOf(any, 1) } },
  { name: 'a result beside a text', body: { messages: [...messages, call('a'), { role: 'user', content: [result('a'), say('And now?')] }] } },
  { name: 'a result of blocks', body: { messages: [...messages, call('a'), { role: 'user', content: [result('a', { content: [say('sunny')] })] }] } },
  { name: 'a result without content', body: { messages: [...messages, call('a'), { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a' }] }] } },
  { name: 'a result that is an error', body: { messages: [...messages, call('a'), { role: 'user', content: [result('a', { is_error: true })] }] } },
  refused('a result without a call is refused', block(result('a')), 'messages[0].content[0].tool_use_id'),
  refused('a result of another call is refused', { messages: [...messages, call('a'), { role: 'user', content: [say('x'), result('b')] }] }, 'messages[2].content[1].tool_use_id'),
  refused('a call without a result is refused', { messages: [...messages, call('a'), ...messages] }, 'messages[1].content'),
  refused('a call whose input is a list is refused', { messages: [...messages, { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f', input: [] }] }] }, 'messages[1].content[0].input'),
  refused('an image is refused', block({ type: 'image', source: { type: 'base64', media_type: 'image/png', data: '' } }), 'messages[0].content[0].type'),
  refused('a document is refused', block({ type: 'document', source: {} }), 'messages[0].content[0].type'),
  refused('a thinking block of the user is refused', block({ type: 'thinking', thinking: 'x' }), 'messages[0].content[0].type'),
  refused('a text that is no string is refused', block({ type: 'text', text: 3 }), 'messages[0].content[0].text'),
  refused('a call must come but there are no tools', { tool_choice: { type: 'any' } }, 'tool_choice'),
  { name: 'a format is enforced', body: { output_config: { format }, max_tokens: 60 }, expect: { content: [said(/^\s*\{\s*"city"\s*:\s*"(Paris|Berlin)"\s*\}$/)], stop_reason: 'end_turn' } },
  { name: 'a format by its older name is enforced', body: { output_format: format, max_tokens: 60 }, expect: { content: [said(/"(Paris|Berlin)"/)] } },
  { name: 'a format while thinking lands in the text', body: { output_config: { format }, ...thinks, ...whole }, expect: { content: [thought(not(/[{}]/)), said(/^\s*\{/)] } },
  refused('two formats are refused', { output_config: { format }, output_format: format }, 'output_format'),
  refused('a prompt beyond the context is refused with both counts', { messages: long }, 'prompt is too long', { says: /\d{4,}.*4096/, doc: { en: 'A prompt beyond the context.', zh: '超出上下文的提示词。' } }),
  refused('a stream of a prompt beyond the context is a 400', { messages: long, stream: true }, 'prompt is too long'),
  refused('max_tokens beyond the context is refused', { max_tokens: 4096 }, 'max_tokens', { says: /4096.*4088/ }),
  { name: 'truncation auto leaves out turns and says so', body: { messages: [...turns(20, 150), ...question], truncation: 'auto', max_tokens: 20 }, expect: { truncation: { dropped_messages: range(2, 40), dropped_tokens: range(100, 9000) } } },
  { name: 'an unknown model is a 404', body: { model: 'claude-3' }, status: 404, expect: { error: { type: 'not_found_error', message: /claude-3/ } } },
  { name: 'metadata, service_tier and cache_control change nothing', body: { metadata: { user_id: 'u' }, service_tier: 'auto', cache_control: { type: 'ephemeral' } } },
  { name: 'an unknown field is ignored by default', body: { context_management: {} } },
  refused('an unknown field is refused when the server says so', { context_management: {} }, 'context_management', { server: 'strict' }),
  refused('mcp_servers are refused', { mcp_servers: [{ url: 'x' }] }, 'mcp_servers'),
  refused('a container is refused', { container: 'x' }, 'container'),
  { name: 'anthropic-version and anthropic-beta are accepted', headers: { 'anthropic-version': '2023-06-01', 'anthropic-beta': 'x' } },
  { name: 'the prompt again comes from the cache', body: { messages: [{ role: 'user', content: 'cached for Anthropic '.repeat(70) }, { role: 'assistant', content: 'ok' }, ...messages] }, expect: { usage: { input_tokens: range(1, 600) } } },
  { name: 'the prompt once more is counted as read from the cache', body: { messages: [{ role: 'user', content: 'cached for Anthropic '.repeat(70) }, { role: 'assistant', content: 'ok' }, ...messages] }, expect: { usage: { cache_read_input_tokens: range(64, 600), input_tokens: range(0, 63) } } },
  { name: 'control tokens in a text stay text', body: { messages: [{ role: 'user', content: '<｜end▁of▁sentence｜></think>' }] } },
];

export default [{
  dialect: 'anthropic', endpoint: 'POST /v1/messages', also: ['/anthropic/v1/messages'],
  purpose: { en: 'Anthropic\'s Messages API; DeepSeek\'s base address `/anthropic` serves it too.', zh: 'Anthropic 的 Messages API；DeepSeek 的基础地址 `/anthropic` 同样可用。' },
  base, fields, rows: rows.filter((r) => !r.path),
}, {
  dialect: 'anthropic', endpoint: 'POST /v1/messages/count_tokens', also: ['/anthropic/v1/messages/count_tokens'],
  purpose: { en: 'The tokens of a message\'s prompt. Takes the body of a message; max_tokens may be left out.', zh: '消息提示词的 token 数。请求体与 messages 相同，可省略 max_tokens。' },
  base: { model: 'hadal-demo', messages },
  rows: [
    { name: 'counts', expect: { input_tokens: 8 }, doc: { en: '', zh: '' } },
    { name: 'counts a system prompt', body: { system: 'Be brief.' }, expect: { input_tokens: range(9, 20) } },
    { name: 'counts tools', body: { tools: [tool()] }, expect: { input_tokens: range(50, 400) } },
    { name: 'counts a last message of the assistant', body: { messages: [...messages, { role: 'assistant', content: 'I am' }] }, expect: { input_tokens: range(9, 20) } },
    { name: 'counts what max_tokens would not fit', body: { max_tokens: 4096 }, expect: { input_tokens: 8 } },
    refused('an image is refused', block({ type: 'image' }), 'messages[0].content[0].type'),
    rows.find((r) => r.path),
  ],
}, {
  dialect: 'anthropic', endpoint: 'GET /anthropic/v1/models',
  purpose: { en: 'The served models as Anthropic lists them.', zh: '以 Anthropic 格式列出的模型。' },
  rows: [
    { name: 'lists', expect: { data: [{ type: 'model', id: 'hadal-demo', display_name: text, created_at: /^\d{4}-/ }], has_more: false, first_id: 'hadal-demo', last_id: 'hadal-demo' }, doc: { en: '', zh: '' } },
    { name: 'shows one', path: '/anthropic/v1/models/hadal-demo', expect: { type: 'model', id: 'hadal-demo' } },
    { name: 'an unknown one is a 404', path: '/anthropic/v1/models/x', status: 404 },
    { name: 'an unknown path answers as Anthropic does', path: '/anthropic/nothing', status: 404 },
  ],
}];
