// OpenAI's Responses API, stateless.
import { any, inOrder, json, listOf, not, oneOf, range, some, string, text } from './matcher.mjs';

const base = { model: 'hadal-demo', input: 'who are you?', max_output_tokens: 2, temperature: 0, reasoning: { effort: 'none' } };
const whole = { max_output_tokens: 200 };
const thinks = { reasoning: { effort: 'high' } };
const question = 'I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?';
const said = (t = text, more = {}) => ({ type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: t, annotations: [] }], ...more });
const thought = (t = text) => ({ type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: t }] });
const schema = { type: 'object', properties: { city: { enum: ['Paris', 'Berlin'] } }, required: ['city'], additionalProperties: false };
const inParis = json({ city: oneOf('Paris', 'Berlin') });
const tool = (name = 'weather', more = {}) => ({ type: 'function', name, description: 'The weather.', parameters: schema, strict: true, ...more });
const forced = { tools: [tool()], tool_choice: 'required', parallel_tool_calls: false, max_output_tokens: 300 };
const called = (more = {}) => ({ type: 'function_call', id: text, call_id: text, name: 'weather', arguments: inParis, status: 'completed', ...more });
const format = { format: { type: 'json_schema', name: 'answer', schema } };
const call = (call_id, args = '{"city":"Paris"}') => ({ type: 'function_call', call_id, name: 'weather', arguments: args });
const output = (call_id, out = 'sunny') => ({ type: 'function_call_output', call_id, output: out });
const user = { role: 'user', content: 'who are you?' };
const refused = (name, body, refuse, more = {}) => ({ name, body, refuse, ...more });
const event = (type, more = {}) => ({ type: `response.${type}`, ...more });
const begins = [event('created', { response: { status: 'in_progress', output: [] } }), event('in_progress')];
const textEvents = (output_index, t = text) => [
  event('output_item.added', { output_index, item: { type: 'message', status: 'in_progress', content: [] } }), event('content_part.added', { output_index, content_index: 0, part: { type: 'output_text', text: '' } }),
  some(event('output_text.delta', { output_index, content_index: 0, delta: text })), event('output_text.done', { output_index, text: t }), event('content_part.done', { part: { text: t } }), event('output_item.done', { output_index, item: { content: [{ text: t }] } })];
const turns = (n, size) => [...Array(n).keys()].flatMap((i) => [{ role: 'user', content: `${i} `.repeat(size) }, { role: 'assistant', content: 'ok' }]);
const long = 'word '.repeat(5000);

export default {
  dialect: 'responses', endpoint: 'POST /v1/responses',
  purpose: { en: 'OpenAI\'s Responses API without stored state: the whole input comes with every request.', zh: 'OpenAI 的 Responses API，无存储状态：每次请求都带上完整输入。' },
  base,
  fields: [
    { name: 'model', type: 'string', required: true, en: 'a served model or an alias', zh: '已提供的模型名或别名', bad: [3, ''] },
    { name: 'input', type: 'string or array of 1 to 4096 items', required: true, en: 'a text, or items: message, function_call, function_call_output, reasoning', zh: '文本，或条目：message、function_call、function_call_output、reasoning',
      good: ['x', [user], [{ type: 'message', ...user }], [{ role: 'user', content: [{ type: 'input_text', text: 'x' }] }], [{ role: 'system', content: 'x' }, user], [{ role: 'developer', content: 'x' }, user]],
      bad: [3, [], {}, { value: ['x'], param: 'input[0]' }, { value: [{}], param: 'input[0].type' }, { value: [{ type: 'file' }], param: 'input[0].type' }, { value: [{ type: 'item_reference', id: 'x' }], param: 'input[0].type' }, { value: [{ role: 'bot', content: 'x' }], param: 'input[0].role' }, { value: [{ role: 'user' }], param: 'input[0].content' },
        { value: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }], param: 'input[0].content[0].type' }, { value: [{ role: 'user', content: [{ type: 'input_text' }] }], param: 'input[0].content[0].text' }] },
    { name: 'instructions', type: 'string', default: 'none', en: 'the system prompt', zh: '系统提示词', good: ['Be brief.', null], bad: [3] },
    { name: 'max_output_tokens', type: 'integer, 1 or more', default: 'to the end of the context', en: 'longest answer, thinking included', zh: '回答（含思考）的最大 token 数', good: [1, 5, null], bad: [0, -1, 'x'] },
    { name: 'temperature', type: 'number, 0 to 2', default: 'the model\'s own, else 1', en: '0 is greedy', zh: '0 为贪心解码', good: [0, 2, null], bad: [-1, 3, 'x'] },
    { name: 'top_p', type: 'number, above 0, at most 1', default: 'the model\'s own, else 1', en: 'nucleus sampling', zh: '核采样', good: [0.5, 1], bad: [0, 2] },
    { name: 'top_logprobs', type: 'integer, 0 to 20', default: '0', en: 'the likeliest alternatives of every token', zh: '每个 token 的若干最可能候选', good: [0, 3, 20], bad: [-1, 21, 'x'] },
    { name: 'stream', type: 'boolean', default: 'false', en: 'events as they come', zh: '流式返回', good: [true, false, null], bad: ['x'] },
    { name: 'reasoning', type: 'object: `effort`', default: '{}', en: '`effort` as `reasoning_effort` of chat completions', zh: '`effort` 与 chat completions 的 `reasoning_effort` 相同', good: [{}, { effort: 'low' }, { effort: 'none', summary: 'auto' }, null], bad: ['x', { value: { effort: 'huge' }, param: 'reasoning.effort' }] },
    { name: 'text', type: 'object: `format`', default: '{}', en: '`format`: {"type":"json_schema","schema":...}, {"type":"json_object"} or {"type":"text"}', zh: '`format`：{"type":"json_schema","schema":...}、{"type":"json_object"} 或 {"type":"text"}', good: [{}, { format: { type: 'text' } }, { format: { type: 'json_object' } }, format, { verbosity: 'low' }, null],
      bad: ['x', { value: { format: 'x' }, param: 'text.format' }, { value: { format: {} }, param: 'text.format.type' }, { value: { format: { type: 'json_schema' } }, param: 'text.format.schema' }, { value: { format: { type: 'json_schema', schema: 'x' } }, param: 'text.format.schema' }, { value: { format: { type: 'json_schema', schema: { type: 'x' } } }, param: 'text.format' }] },
    { name: 'tools', type: 'array of at most 128 functions', default: '[]', en: '`type` "function", `name`, `description`, `parameters`, `strict`', zh: '`type` 为 "function"，以及 `name`、`description`、`parameters`、`strict`', good: [[], [tool()], null],
      bad: ['x', { value: ['x'], param: 'tools[0]' }, { value: [{ type: 'web_search' }], param: 'tools[0].type' }, { value: [{ type: 'function' }], param: 'tools[0].name' }, { value: [tool('a b')], param: 'tools[0].name' }, { value: [tool(), tool()], param: 'tools[1].name' }, { value: [tool('f', { parameters: { type: 'string' } })], param: 'tools[0].parameters.type' }] },
    { name: 'tool_choice', type: '"none", "auto", "required", or {"type":"function","name":...}', default: '"auto"', en: 'whether a call must, may or must not come', zh: '是否必须、可以或不得调用', with: { tools: [tool()] }, good: ['none', 'auto', 'required', { type: 'function', name: 'weather' }, null],
      bad: ['any', 3, { value: { type: 'web_search' }, param: 'tool_choice.type' }, { value: { type: 'function' }, param: 'tool_choice.name' }, { value: { type: 'function', name: 'x' }, param: 'tool_choice.name' }] },
    { name: 'parallel_tool_calls', type: 'boolean', default: 'true', en: 'whether one answer may have several calls', zh: '一次回答是否可包含多个调用', good: [true, false], bad: ['x'] },
    { name: 'truncation', type: '"disabled" or "auto"', default: '"disabled"', en: 'leaves out whole turns of a conversation that does not fit, and says so in `truncation_details`', zh: '对话放不下时整轮省略并在 `truncation_details` 中说明', good: ['auto', 'disabled', null], bad: ['x', true] },
    { name: 'metadata', type: 'object of at most 16 strings', default: '{}', en: 'sent back', zh: '原样返回', good: [{ a: 'b' }, {}, null], bad: ['x', { value: { a: 1 }, param: 'metadata.a' }] },
    { name: 'include', type: 'array of strings', default: '[]', en: '`message.output_text.logprobs`: the probability of every token', zh: '`message.output_text.logprobs`：返回每个 token 的概率', good: [[], ['reasoning.encrypted_content'], ['message.output_text.logprobs']], bad: ['x', { value: [3], param: 'include[0]' }] },
    { name: 'store', type: 'boolean', default: 'false', en: 'without effect: nothing is stored', zh: '无作用：不存储任何内容', good: [true, false], bad: ['x'] },
    { name: 'previous_response_id', good: [null], bad: ['resp_x'] },
    { name: 'conversation', good: [null], bad: ['conv_x'] },
    { name: 'background', good: [false, null], bad: [true] },
  ],
  rows: [
    { name: 'a text is answered', body: whole, doc: { en: 'A question.', zh: '一个问题。' }, expect: { status: 'completed', output: [said(/^I am Hadal/)], incomplete_details: null, error: null, usage: { input_tokens: 8 } } },
    { name: 'reasoning is an item before the message', body: { ...whole, ...thinks }, expect: { status: 'completed', output: [thought('The topic is who I am.'), said(/^I am Hadal/)], usage: { output_tokens_details: { reasoning_tokens: range(1, 20) } } } },
    { name: 'effort low bounds the reasoning', body: { input: question, max_output_tokens: 40, reasoning: { effort: 'low' } }, expect: { output: [thought(), said(text, { status: any })], usage: { output_tokens_details: { reasoning_tokens: range(1, 10) } } } },
    { name: 'max_output_tokens reached is incomplete', expect: { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' }, usage: { output_tokens: 2 } } },
    { name: 'max_output_tokens reached in a stream is incomplete', body: { stream: true }, events: inOrder(...begins, some({ type: /^response\.(output|content)/ }), event('incomplete', { response: { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } } })) },
    { name: 'a stream of a message', body: { ...whole, stream: true }, doc: { en: 'A stream.', zh: '流式回答。' }, events: inOrder(...begins, ...textEvents(0, /^I am Hadal/), event('completed', { response: { status: 'completed', output: [said(/^I am Hadal/)], usage: any } })) },
    { name: 'a stream of reasoning and a message', body: { ...whole, ...thinks, stream: true },
      events: inOrder(...begins, event('output_item.added', { output_index: 0, item: { type: 'reasoning' } }), event('content_part.added', { part: { type: 'reasoning_text' } }), some(event('reasoning_text.delta', { output_index: 0 })), event('reasoning_text.done'), event('content_part.done'), event('output_item.done', { output_index: 0 }),
        ...textEvents(1), event('completed')) },
    { name: 'events are numbered from 0', body: { stream: true }, events: (events, at) => (events.every((e, i) => e.sequence_number === i) ? [] : [`${at} are not numbered`]) },
    { name: 'a stream does not end in [DONE]', body: { stream: true }, events: listOf({ type: string }, 3) },
    { name: 'a call that must come', body: forced, doc: { en: 'A call that must come.', zh: '必须调用工具。' }, expect: { status: 'completed', output: [called()] } },
    { name: 'a call that must come after reasoning', body: { ...forced, ...thinks }, expect: { output: [thought(), called()] } },
    { name: 'a named call', body: { ...forced, tools: [tool('a'), tool()], tool_choice: { type: 'function', name: 'weather' } }, expect: { output: listOf(called(), 1) } },
    { name: 'a call in a stream', body: { ...forced, stream: true },
      events: inOrder(...begins, event('output_item.added', { output_index: 0, item: { type: 'function_call', name: 'weather', arguments: '', call_id: text } }), some(event('function_call_arguments.delta', { delta: text })), event('function_call_arguments.done', { arguments: inParis }), event('output_item.done', { item: called() }), event('completed', { response: { output: [called()] } })) },
    { name: 'tool_choice none never calls', body: { tools: [tool()], tool_choice: 'none', max_output_tokens: 30 }, expect: { output: [{ type: 'message' }] } },
    { name: 'no text shows markup', body: { ...forced, tool_choice: 'auto' }, expect: (body, at) => (/tool▁|DSML/.test(JSON.stringify(body.output)) ? [`${at} shows markup`] : []) },
    { name: 'a result is answered', body: { tools: [tool()], input: [user, call('a'), output('a')] }, expect: { output: listOf(any, 1) } },
    { name: 'a result of parts', body: { input: [user, call('a'), output('a', [{ type: 'input_text', text: 'sunny' }])] } },
    { name: 'what came back may be sent again', body: { input: [user, { type: 'reasoning', id: 'rs_1', summary: [], content: [{ type: 'reasoning_text', text: 'They ask.' }] }, { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'A model.', annotations: [], logprobs: [] }] }, user] } },
    refused('a result without a call is refused', { input: [user, output('a')] }, 'input[1].call_id'),
    refused('a call without a result is refused', { input: [user, call('a'), user] }, 'input[1]'),
    refused('arguments that are not JSON are refused', { input: [user, call('a', '{'), output('a')] }, 'input[1].arguments'),
    refused('a call without call_id is refused', { input: [user, { type: 'function_call', name: 'f', arguments: '{}' }] }, 'input[1].call_id'),
    { name: 'a format is enforced', body: { text: format, max_output_tokens: 60 }, expect: { status: 'completed', output: [said(inParis)] } },
    { name: 'a format after reasoning lands in the message', body: { text: format, ...thinks, ...whole }, expect: { output: [thought(not(/[{}]/)), said(inParis)] } },
    { name: 'instructions are sent back', body: { instructions: 'Be brief.' }, expect: { instructions: 'Be brief.', usage: { input_tokens: range(9, 20) } } },
    { name: 'what was used is sent back', body: { metadata: { a: 'b' }, temperature: 0.5, top_p: 0.9 }, expect: { metadata: { a: 'b' }, temperature: 0.5, top_p: 0.9, max_output_tokens: 2, truncation: 'disabled', parallel_tool_calls: true, tools: [], tool_choice: 'auto', store: false, previous_response_id: null } },
    refused('an input beyond the context is refused with both counts', { input: long }, 'input', { says: /\d{4,}.*4096/, expect: { error: { code: 'context_length_exceeded' } }, doc: { en: 'An input beyond the context.', zh: '超出上下文的输入。' } }),
    refused('a stream of an input beyond the context is a 400', { input: long, stream: true }, 'input'),
    refused('max_output_tokens beyond the context is refused', { max_output_tokens: 4096 }, 'max_output_tokens', { says: /max_output_tokens is 4096.*4088/ }),
    { name: 'truncation auto leaves out turns and says so', body: { input: [...turns(20, 150), { role: 'user', content: question }], truncation: 'auto', max_output_tokens: 20 }, expect: { truncation: 'auto', truncation_details: { dropped_messages: range(2, 40), dropped_tokens: range(100, 9000) } } },
    { name: 'logprobs of every token', body: { include: ['message.output_text.logprobs'], top_logprobs: 2 }, expect: { output: [{ content: [{ logprobs: listOf({ token: string, logprob: range(-9999, 0), top_logprobs: [any, any] }, 2, 2) }] }] } },
    { name: 'an unknown model is a 404', body: { model: 'gpt-5' }, status: 404, expect: { error: { code: 'model_not_found', message: /gpt-5/ } } },
    { name: 'an unknown field is ignored by default', body: { other: 1 } },
    refused('an unknown field is refused when the server says so', { other: 1 }, 'other', { server: 'strict' }),
    { name: 'fields without effect are accepted', body: { user: 'u', service_tier: 'auto', prompt_cache_key: 'k', safety_identifier: 's', max_tool_calls: 3 } },
    { name: 'the prompt again comes from the cache', body: { input: 'cached for responses '.repeat(70) }, expect: { usage: { input_tokens: range(70, 600) } } },
    { name: 'the prompt once more is counted as read from the cache', body: { input: 'cached for responses '.repeat(70) }, expect: { usage: { input_tokens_details: { cached_tokens: range(64, 600) } } } },
  ],
};
