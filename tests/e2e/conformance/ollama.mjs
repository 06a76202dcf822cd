// Ollama's API: chat, generate, and what tells of the models.
import { absent, all, any, inOrder, json, listOf, not, oneOf, range, some, string, text } from './matcher.mjs';

const messages = [{ role: 'user', content: 'who are you?' }];
const options = { temperature: 0, num_predict: 2 };
const opt = (more) => ({ options: { ...options, ...more } });
const chat = { model: 'hadal-demo', messages, stream: false, think: false, options };
const full = { options: { temperature: 0, num_predict: 200 } };
const question = [{ role: 'user', content: 'I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?' }];
const schema = { type: 'object', properties: { city: { enum: ['Paris', 'Berlin'] } }, required: ['city'], additionalProperties: false };
const inParis = json({ city: oneOf('Paris', 'Berlin') });
const tool = (name = 'weather') => ({ type: 'function', function: { name, description: 'The weather.', parameters: schema } });
const call = (args = { city: 'Paris' }, more = {}) => ({ function: { name: 'weather', arguments: args }, ...more });
const asked = (...tool_calls) => ({ role: 'assistant', content: '', tool_calls });
const result = (more = { tool_name: 'weather' }) => ({ role: 'tool', content: 'sunny', ...more });
const long = 'word '.repeat(5000);
const refused = (name, body, refuse, more = {}) => ({ name, body, refuse, ...more });
const says = (content, done = false) => ({ message: { role: 'assistant', content, thinking: absent }, done });
const ends = (done_reason, more = {}) => ({ done: true, done_reason, eval_count: range(1, 4096), ...more });
const turns = (n, size) => [...Array(n).keys()].flatMap((i) => [{ role: 'user', content: `${i} `.repeat(size) }, { role: 'assistant', content: 'ok' }]);
const option = (name, type, en, zh, good, bad, more = {}) => (
  { name: `options.${name}`, path: `options.${name}`, type, default: 'as in chat completions', en, zh, good: [...good, null], bad, ...more });

const optionFields = [
  option('num_predict', 'integer, 1 or more, or -1 or -2: no limit', 'longest answer', '回答的最大 token 数', [1, 5], [0, -3, 1.5, 'x'], { default: 'no limit' }),
  option('num_ctx', 'integer, 1 to the server\'s context', 'context of this request; more than the server has is refused, never ignored', '本次请求的上下文；超过服务器上限则拒绝，绝不忽略', [64, 4096], [0, -1, 'x', 4097, 1e9], { default: 'the server\'s' }),
  option('temperature', 'number, 0 to 2', '0 is greedy', '0 为贪心解码', [0, 2], [-1, 2.1, 'x']),
  option('top_p', 'number, above 0, at most 1', 'nucleus sampling', '核采样', [0.5, 1], [0, 2, 'x']),
  option('top_k', 'integer, -1 or more', 'keeps the k likeliest tokens', '只保留概率最高的 k 个 token', [0, 40], [-2, 'x']),
  option('min_p', 'number, 0 to 1', 'drops unlikely tokens', '丢弃低概率 token', [0, 0.1], [-1, 2]),
  option('repeat_penalty', 'number, above 0, at most 10', 'divides the likelihood of tokens that have come', '降低已出现 token 的概率', [1, 1.1], [0, 'x']),
  option('presence_penalty', 'number, -2 to 2', 'as in chat completions', '同 chat completions', [1], [3]),
  option('frequency_penalty', 'number, -2 to 2', 'as in chat completions', '同 chat completions', [1], [3]),
  option('seed', 'integer', 'the same seed gives the same answer; -1: a random one', '相同 seed 得到相同回答；-1 表示随机', [0, 7, -1], ['x', 1.5]),
  option('stop', 'string or array of at most 16 strings', 'the answer ends before the first of these', '回答在首次出现这些字符串之前结束', ['x', ['a', 'b']], ['', 3]),
  option('mirostat', '0', 'only what asks for nothing', '仅接受不改变结果的值', [0], [1, 2], { default: '0' }),
  option('num_gpu', 'any', 'where the model runs is not a request\'s to say: without effect, as `num_thread`, `num_batch`, `use_mmap` and the like', '运行位置不由请求决定：无作用，`num_thread`、`num_batch`、`use_mmap` 等同理', [99], [], { default: '' }),
];

export default [{
  dialect: 'ollama', endpoint: 'POST /api/chat',
  purpose: { en: 'Answers a conversation, one JSON object a line while `stream` is on.', zh: '回答一段对话；`stream` 开启时每行一个 JSON 对象。' },
  base: chat,
  fields: [
    { name: 'model', type: 'string', required: true, en: 'a served model, also with `:latest`', zh: '已提供的模型，可带 `:latest`', good: ['hadal-demo', 'hadal-demo:latest'], bad: [3, []] },
    { name: 'messages', type: 'array of 1 to 4096 messages', required: true, en: '`role`: system, user, assistant or tool; `content`; of an assistant `thinking` and `tool_calls`; of a tool `tool_name` or `tool_call_id`; a last message of the assistant is continued',
      zh: '`role`：system、user、assistant 或 tool；`content`；assistant 可带 `thinking`、`tool_calls`；tool 带 `tool_name` 或 `tool_call_id`；最后一条 assistant 消息会被续写',
      good: [messages, [{ role: 'system', content: 'Be brief.' }, ...messages], [{ role: 'user', content: 'x', images: [] }]],
      bad: ['x', [], {}, { value: ['x'], param: 'messages[0]' }, { value: [{ content: 'x' }], param: 'messages[0].role' }, { value: [{ role: 'bot', content: 'x' }], param: 'messages[0].role' }, { value: [{ role: 'user' }], param: 'messages[0].content' }, { value: [{ role: 'user', content: 3 }], param: 'messages[0].content' }, { value: [{ role: 'user', content: 'x', images: ['aGk='] }], param: 'messages[0].images' }] },
    { name: 'stream', type: 'boolean', default: 'true', en: 'objects as they come', zh: '流式返回', good: [true, false], bad: ['x', 1] },
    { name: 'think', type: 'boolean, or "low", "medium", "high", "max"', default: 'the model\'s own', en: 'whether the model thinks first, and how much', zh: '是否先思考及程度', good: [true, false, 'low', 'medium', 'high', 'max', null], bad: ['x', 1, {}] },
    { name: 'format', type: '"json" or a JSON Schema', default: 'none', en: 'what the answer must be', zh: '回答必须满足的格式', good: ['json', schema, '', null], bad: ['xml', 3, [], { type: 'strin' }] },
    { name: 'tools', type: 'array of at most 128 functions', default: '[]', en: 'as in chat completions', zh: '同 chat completions', good: [[], [tool()], null], bad: ['x', { value: ['x'], param: 'tools[0]' }, { value: [{ type: 'x', function: {} }], param: 'tools[0].type' }, { value: [{ type: 'function' }], param: 'tools[0].function' }, { value: [tool('a b')], param: 'tools[0].function.name' }] },
    { name: 'truncate', type: 'boolean', default: 'false', en: 'leaves out the first turns of a conversation that does not fit, and says so in `truncation`; without it such a prompt is a 400', zh: '对话放不下时省略最早的整轮并在 `truncation` 中说明；未设置时返回 400', good: [true, false, null], bad: ['x'] },
    { name: 'logprobs', type: 'boolean', default: 'false', en: 'the probability of every token', zh: '返回每个 token 的概率', good: [true, false], bad: ['x'] },
    { name: 'keep_alive', type: 'any', default: '', en: 'without effect: the model stays loaded', zh: '无作用：模型常驻', good: ['5m', 0, -1, null] },
    { name: 'options', type: 'object', default: '{}', en: 'see the rows that begin with `options.`', zh: '见以 `options.` 开头的各行', good: [{}, null], bad: ['x', []] },
    ...optionFields,
  ],
  rows: [
    { name: 'a chat is answered', body: full, doc: { en: 'A question.', zh: '一个问题。' }, expect: { ...says(/^I am Hadal/, true), ...ends('stop', { prompt_eval_count: 8 }) } },
    { name: 'thinking stands apart', body: { ...full, think: true }, expect: { message: { thinking: 'The topic is who I am.', content: /^I am Hadal/ }, done_reason: 'stop' } },
    { name: 'think low bounds the thinking', body: { messages: question, think: 'low', options: { temperature: 0, num_predict: 40 } }, expect: { message: { thinking: text, content: text } } },
    { name: 'no think tag shows', body: { ...full, think: true }, expect: { message: { thinking: not(/think>/), content: not(/think>/) } } },
    { name: 'num_predict reached is length', expect: ends('length', { eval_count: 2 }) },
    { name: 'num_predict reached in a stream is length', body: { stream: true }, events: inOrder(some(says(text)), { ...says('', true), ...ends('length') }) },
    { name: 'streaming is on when it is left out', body: { ...full, stream: undefined }, doc: { en: 'A stream.', zh: '流式回答。' }, events: inOrder(some(says(text)), { ...says('', true), ...ends('stop') }), answerHeaders: { 'content-type': /^application\/x-ndjson/ } },
    { name: 'a stream of thinking and an answer', body: { ...full, stream: true, think: true }, events: inOrder(some({ message: { thinking: text, content: '' }, done: false }), some(says(text)), ends('stop')) },
    { name: 'a stop string ends the answer', body: opt({ num_predict: 200, stop: ['demo'] }), expect: { message: { content: "I am Hadal's built-in " }, done_reason: 'stop' } },
    { name: 'num_ctx that holds the prompt and the answer', body: opt({ num_ctx: 12 }), expect: ends('length') },
    { name: 'num_ctx is the end of the answer', body: opt({ num_ctx: 16, num_predict: -1 }), expect: ends('length', { eval_count: 8, prompt_eval_count: 8 }) },
    refused('num_ctx that the prompt does not fit is refused with both counts', { ...opt({ num_ctx: 4 }) }, '8', { says: /4/ }),
    refused('a prompt beyond the context is refused with both counts', { messages: [{ role: 'user', content: long }] }, '4096', { says: /\d{4,}.*4096/, doc: { en: 'A prompt beyond the context.', zh: '超出上下文的提示词。' } }),
    refused('a stream of a prompt beyond the context is a 400', { messages: [{ role: 'user', content: long }], stream: true }, '4096'),
    refused('num_predict beyond the context is refused', opt({ num_predict: 4096 }), 'options.num_predict', { says: /4096.*4088/ }),
    { name: 'truncate leaves out turns and says so', body: { messages: [...turns(20, 150), ...question], truncate: true, options: { num_predict: 20 } }, expect: { truncation: { dropped_messages: range(2, 40), dropped_tokens: range(100, 9000) } } },
    { name: 'a format is enforced', body: { format: schema, options: { temperature: 0, num_predict: 60 } }, expect: { message: { content: inParis }, done_reason: 'stop' } },
    { name: 'a format while thinking lands in content', body: { format: schema, think: true, ...full }, expect: { message: { content: inParis, thinking: not(/[{}]/) } } },
    { name: 'format json is an object', body: { format: 'json', options: { temperature: 0, num_predict: 30 } }, expect: { message: { content: /^\s*\{/ } } },
    { name: 'tools may be called', body: { tools: [tool()], options: { temperature: 0, num_predict: 40 } }, expect: { message: { content: not(/<｜tool|DSML/) } } },
    { name: 'a result named by its tool is accepted', body: { messages: [...messages, asked(call()), result()], tools: [tool()] } },
    { name: 'a result named by its call is accepted', body: { messages: [...messages, asked(call({}, { id: 'c1' })), result({ tool_call_id: 'c1' })] } },
    { name: 'a result named by nothing is that of the next call', body: { messages: [...messages, asked(call(), call()), result({}), result({})] } },
    { name: 'a history with thinking is accepted', body: { messages: [...messages, { role: 'assistant', content: 'A.', thinking: 'They ask.' }, ...messages] } },
    { name: 'a last message of the assistant is continued', body: { ...full, messages: [...messages, { role: 'assistant', content: 'I am' }] }, expect: { message: { content: /^ Hadal/ } } },
    refused('a result without a call is refused', { messages: [...messages, result()] }, 'messages[1]'),
    refused('a call without a result is refused', { messages: [...messages, asked(call()), ...messages] }, 'messages[1].tool_calls'),
    refused('arguments as text are refused', { messages: [...messages, asked(call('{}')), result()] }, 'messages[1].tool_calls[0].function.arguments'),
    refused('a call without a name is refused', { messages: [...messages, asked({ function: {} }), result()] }, 'messages[1].tool_calls[0].function.name'),
    { name: 'logprobs of every token', body: { logprobs: true, top_logprobs: 2 }, expect: { logprobs: listOf({ token: string, logprob: range(-9999, 0), top_logprobs: [any, any] }, 2, 2) } },
    { name: 'an unknown model is a 404', body: { model: 'llama3' }, status: 404, expect: { error: /llama3/ } },
    { name: 'an unknown field is ignored by default', body: { other: 1, ...opt({ other: 1 }) } },
    refused('an unknown field is refused when the server says so', { other: 1 }, 'other', { server: 'strict' }),
    refused('an unknown option is refused when the server says so', opt({ other: 1 }), 'options.other', { server: 'strict' }),
    refused('shift is refused', { shift: true }, 'shift'),
    refused('options that would change the answer are refused', opt({ typical_p: 0.5 }), 'options.typical_p'),
  ],
}, {
  dialect: 'ollama', endpoint: 'POST /api/generate',
  purpose: { en: 'Answers one prompt, continues a raw text, or fills the gap before `suffix`.', zh: '回答单个提示词、续写原始文本，或填充 `suffix` 之前的空缺。' },
  base: { model: 'hadal-demo', prompt: 'who are you?', stream: false, think: false, options },
  fields: [
    { name: 'prompt', type: 'string', required: true, en: 'the question, or the beginning', zh: '问题或文本开头', good: ['x'], bad: ['', 3, []] },
    { name: 'system', type: 'string', default: 'none', en: 'the system prompt', zh: '系统提示词', good: ['Be brief.', '', null], bad: [3] },
    { name: 'suffix', type: 'string', default: 'none', en: 'the end: the model writes what stands between', zh: '结尾：模型写出两者之间的内容', good: ['', ' models.'], bad: [3] },
    { name: 'raw', type: 'boolean', default: 'false', en: 'the prompt is the whole text, without the chat format', zh: '提示词即全文，不套用对话格式', good: [true, false], bad: ['x'] },
    { name: 'images', good: [[], null], bad: [['aGk=']] },
    { name: 'template', good: ['', null], bad: ['{{ .Prompt }}'] },
    { name: 'context', good: [[], null], bad: [[1, 2]] },
  ],
  rows: [
    { name: 'a prompt is answered', body: full, doc: { en: 'A prompt.', zh: '一个提示词。' }, expect: { response: /^I am Hadal/, ...ends('stop', { prompt_eval_count: 8 }) } },
    { name: 'thinking stands apart', body: { ...full, think: true }, expect: { thinking: text, response: /^I am Hadal/ } },
    { name: 'a stream', body: { ...full, stream: true }, events: inOrder(some({ response: text, done: false }), { response: '', ...ends('stop') }) },
    { name: 'num_predict reached is length', expect: ends('length', { eval_count: 2 }) },
    { name: 'a raw text is continued', body: { raw: true, prompt: 'Hadal serves' }, expect: { response: string, prompt_eval_count: range(2, 6) } },
    { name: 'a gap is filled', body: { prompt: 'Hadal ', suffix: ' models.' }, expect: { response: string } },
    { name: 'a format is enforced', body: { format: schema, options: { temperature: 0, num_predict: 60 } }, expect: { response: inParis } },
    refused('raw with system is refused', { raw: true, system: 'x' }, 'system'),
    refused('raw with a suffix is refused', { raw: true, suffix: 'x' }, 'raw'),
    refused('a prompt beyond the context is refused with both counts', { prompt: long }, 'prompt', { says: /\d{4,}.*4096/ }),
    refused('truncate has nothing to leave out', { truncate: true }, 'truncate'),
    { name: 'an unknown model is a 404', body: { model: 'x' }, status: 404 },
  ],
}, {
  dialect: 'ollama', endpoint: 'GET /api/tags', purpose: { en: 'The served models.', zh: '已提供的模型。' },
  rows: [{ name: 'lists', doc: { en: '', zh: '' }, expect: { models: [{ name: 'hadal-demo', model: 'hadal-demo', modified_at: /^\d{4}-/, details: { family: text } }] } }],
}, {
  dialect: 'ollama', endpoint: 'GET /api/ps', purpose: { en: 'The loaded models.', zh: '已加载的模型。' },
  rows: [{ name: 'lists', expect: { models: [{ name: 'hadal-demo', context_length: 4096 }] } }],
}, {
  dialect: 'ollama', endpoint: 'GET /api/version', purpose: { en: 'The version.', zh: '版本。' },
  rows: [{ name: 'says it', doc: { en: '', zh: '' }, expect: { version: /^\d+\.\d+\.\d+/ } }, { name: 'an unknown path answers as Ollama does', path: '/api/nothing', status: 404 }],
}, {
  dialect: 'ollama', endpoint: 'POST /api/show', purpose: { en: 'One model: its kind, size and what it can.', zh: '单个模型：类型、大小与能力。' },
  base: { model: 'hadal-demo' },
  fields: [{ name: 'model', type: 'string', required: true, en: 'also `name`', zh: '也可写作 `name`', good: ['hadal-demo:latest'], bad: [3] }],
  rows: [
    { name: 'shows', doc: { en: '', zh: '' }, expect: { details: { family: text, parameter_size: /^12\.\dM$/ }, model_info: { 'general.architecture': text }, capabilities: all(listOf(text, 1), (v, at) => (['completion', 'tools', 'thinking'].every((c) => v?.includes(c)) ? [] : [`${at} lack some`])) } },
    { name: 'by its older field', only: true, body: { name: 'hadal-demo' } },
    { name: 'an unknown model is a 404', body: { model: 'x' }, status: 404 },
  ],
}];
