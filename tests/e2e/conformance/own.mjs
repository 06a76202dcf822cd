// What is Hadal's own, and what OpenAI's and DeepSeek's clients read: models, prompts as they are
// rendered, tokens, health.
import { absent, all, any, integer, listOf, oneOf, range, string, text } from './matcher.mjs';

const card = { id: 'hadal-demo', object: 'model', created: range(1.7e9, 1e10), owned_by: 'hadal', context_length: 4096, chat: true };
const get = (endpoint, purpose, rows, more = {}) => ({ dialect: 'own', endpoint: `GET ${endpoint}`, purpose, rows, ...more });
const user = { role: 'user', content: 'hi' };
const render = { model: 'hadal-demo', messages: [user] };
const bos = '<｜begin▁of▁sentence｜>';
const ids = listOf(integer, 1);
const pieces = listOf(oneOf({ text }, { control: text, id: integer }), 1);

export default [
  get('/health', { en: 'Whether the process lives. Needs no key.', zh: '进程是否存活。无需 key。' }, [{ name: 'lives', expect: { status: 'ok' }, doc: { en: '', zh: '' } }]),
  get('/ready', { en: 'Whether requests are taken; 503 while the server drains. Needs no key.', zh: '是否接受请求；退出过程中为 503。无需 key。' }, [{ name: 'takes requests', expect: { status: 'ready' }, doc: { en: '', zh: '' } }]),
  get('/version', { en: 'What was built from what.', zh: '版本与构建信息。' }, [{ name: 'says what it is', expect: { version: /^\d+\.\d+\.\d+/, commit: string, compiler: text } }]),
  get('/metrics', { en: 'Prometheus metrics.', zh: 'Prometheus 指标。' }, [{ name: 'counts', expect: all(/^hadal_http_requests_total\{/m, /^hadal_kv_blocks \d+/m), answerHeaders: { 'content-type': /^text\/plain/ } }]),
  get('/v1/models', { en: 'The served models.', zh: '已提供的模型。' }, [{ name: 'lists', expect: { object: 'list', data: [card] }, doc: { en: '', zh: '' } }], { also: ['/models'] }),
  get('/v1/models/{name}', { en: 'One model.', zh: '单个模型。' }, [
    { name: 'shows one', path: '/v1/models/hadal-demo', expect: card },
    { name: 'an unknown one is a 404', path: '/v1/models/other', status: 404, expect: { error: { code: 'model_not_found', param: 'model', message: /other/ } } },
    { name: 'an empty name is a 404', path: '/v1/models/', status: 404 },
  ]),
  {
    dialect: 'own', endpoint: 'POST /v1/chat/completions/render',
    purpose: { en: 'The prompt that a chat completion becomes: text, pieces and token ids. Takes the body of a chat completion and generates nothing.',
      zh: '对话请求实际生成的提示词：文本、片段与 token id。请求体与 chat completions 相同，不生成回答。' },
    base: render,
    fields: [
      { name: 'messages', required: true, bad: ['x', [], { value: [{ role: 'x', content: 'y' }], param: 'messages[0].role' }] },
      { name: 'temperature', good: [1], bad: [3] },
      { name: 'stream', good: [true], bad: ['x'] },
      { name: 'thinking', good: [{ type: 'disabled' }], bad: [3] },
    ],
    rows: [
      { name: 'a prompt in pieces and ids', doc: { en: 'A conversation of one message.', zh: '一条消息的对话。' },
        expect: { model: 'hadal-demo', prompt: `${bos}<｜User｜>hi<｜Assistant｜><think>`, pieces: [{ control: bos, id: 0 }, { control: '<｜User｜>', id: integer }, { text: 'hi' }, { control: '<｜Assistant｜>', id: integer }, { control: '<think>', id: integer }],
          ids: listOf(integer, 5, 5), count: 5, max_tokens: 4091, context: 4096, truncation: absent } },
      { name: 'without thinking the tag is closed', body: { thinking: { type: 'disabled' } }, expect: { prompt: /<｜Assistant｜><\/think>$/, count: 5 } },
      { name: 'what a user types never becomes a control token', body: { messages: [{ role: 'user', content: '<｜Assistant｜>' }] }, expect: { pieces: [any, any, { text: '<｜Assistant｜>' }, any, any], count: range(7, 30) } },
      { name: 'a system message', body: { messages: [{ role: 'system', content: 'Be brief.' }, user] }, expect: { prompt: `${bos}Be brief.<｜User｜>hi<｜Assistant｜><think>` } },
      { name: 'max_tokens is shown', body: { max_tokens: 7 }, expect: { max_tokens: 7 } },
      { name: 'tools are part of the prompt', body: { tools: [{ type: 'function', function: { name: 'get_weather', description: 'The weather.' } }] }, expect: { prompt: /get_weather[\s\S]*The weather\./, pieces } },
      { name: 'tools are shown with tool_choice none too', body: { tools: [{ type: 'function', function: { name: 'get_weather' } }], tool_choice: 'none' }, expect: { prompt: /get_weather/ } },
      { name: 'thinking of earlier turns is not repeated', body: { messages: [user, { role: 'assistant', content: 'A.', reasoning_content: 'SECRET' }, user] }, expect: { prompt: /^(?!.*SECRET).*A\./s } },
      { name: 'truncation is shown', body: { truncation: 'auto', max_tokens: 40, messages: [user, ...[...Array(20).keys()].flatMap((i) => [{ role: 'assistant', content: 'ok' }, { role: 'user', content: `${i} `.repeat(200) }])] },
        expect: { truncation: { dropped_messages: range(1, 40), dropped_tokens: range(100, 9000) }, count: range(100, 4056) } },
      { name: 'a prompt beyond the context is refused as the chat would be', body: { messages: [{ role: 'user', content: 'word '.repeat(5000) }] }, refuse: 'messages', says: /\d{4,}.*4096/ },
      { name: 'an unknown model is a 404', body: { model: 'x' }, status: 404 },
    ],
  },
  {
    dialect: 'own', endpoint: 'POST /tokenize',
    purpose: { en: 'Token ids of a text; special tokens written in it are text.', zh: '文本的 token id；文本中的特殊 token 视为普通文本。' },
    base: { text: 'hi there' },
    fields: [
      { name: 'text', type: 'string', en: 'also `prompt` or `content`', zh: '也可写作 `prompt` 或 `content`', required: true, good: ['', 'x', '你好，世界', '🙂', '<｜User｜>'], bad: [3, null, [], {}] },
      { name: 'model', type: 'string', default: 'the only one', en: 'a served model', zh: '已提供的模型', good: ['hadal-demo', null], bad: [3] },
    ],
    rows: [
      { name: 'ids and their number', expect: { model: 'hadal-demo', ids, tokens: ids, count: 2 }, doc: { en: '', zh: '' } },
      { name: 'the text as prompt', only: true, body: { prompt: 'hi there' }, expect: { count: 2 } },
      { name: 'the text as content', only: true, body: { content: 'hi there' }, expect: { count: 2 } },
      { name: 'a special token is several tokens', body: { text: '<｜User｜>' }, expect: { count: range(2, 20) } },
      { name: 'an empty text has no tokens', body: { text: '' }, expect: { ids: [], count: 0 } },
      { name: 'an unknown model is a 404', body: { model: 'x' }, status: 404 },
      { name: 'an unknown field is ignored by default', body: { other: 1 } },
      { name: 'an unknown field is refused when the server says so', server: 'strict', body: { other: 1 }, refuse: 'other' },
    ],
  },
  {
    dialect: 'own', endpoint: 'POST /detokenize',
    purpose: { en: 'The text of token ids.', zh: 'token id 对应的文本。' },
    base: { ids: [2308, 2269] },
    fields: [
      { name: 'ids', type: 'array of at most 1048576 token ids', en: 'also `tokens`', zh: '也可写作 `tokens`', required: true, good: [[], [1]], bad: [3, 'x', {}, [-1], [1.5], ['x'], [4096], [1e12]] },
      { name: 'model', type: 'string', default: 'the only one', en: 'a served model', zh: '已提供的模型', good: [null], bad: [3] },
    ],
    rows: [
      { name: 'a text', expect: { model: 'hadal-demo', text: 'hi there', content: 'hi there' }, doc: { en: '', zh: '' } },
      { name: 'the ids as tokens', only: true, body: { tokens: [2308] }, expect: { text: 'hi' } },
      { name: 'no ids are no text', body: { ids: [] }, expect: { text: '' } },
      { name: 'an unknown model is a 404', body: { model: 'x' }, status: 404 },
    ],
  },
];
