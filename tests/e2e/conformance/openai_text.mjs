// Text completions: continuing a text or token ids, filling a gap, echo, probabilities.
import { absent, any, inOrder, listOf, many, oneOf, range, some, string, text } from './matcher.mjs';

const base = { model: 'hadal-demo', prompt: 'Hadal serves', temperature: 0, max_tokens: 8 };
const first = (choice) => ({ choices: [{ index: 0, ...choice }] });
const refused = (name, body, refuse, more = {}) => ({ name, body, refuse, ...more });
const chunk = (t, finish_reason = null, more = {}) => ({ choices: [{ index: 0, text: t, finish_reason }], ...more });
const logprobs = (n, tops) => ({ tokens: listOf(string, n, n), token_logprobs: listOf(range(-9999, 0), n, n), top_logprobs: tops, text_offset: listOf(range(0, 500), n, n) });

export default [{
  dialect: 'openai',
  endpoint: 'POST /v1/completions',
  also: ['/completions', '/beta/completions'],
  purpose: { en: 'Continues a text, or fills the gap between `prompt` and `suffix` (DeepSeek\'s FIM, base address `/beta`). Sampling and format fields are those of chat completions.',
    zh: '续写文本，或填充 `prompt` 与 `suffix` 之间的空缺（DeepSeek 的 FIM，基础地址 `/beta`）。采样与格式字段与 chat completions 相同。' },
  base,
  fields: [
    { name: 'model', type: 'string', required: true, en: 'a served model or an alias', zh: '已提供的模型名或别名', bad: [3, ''] },
    { name: 'prompt', type: 'string, array of token ids, or an array with one of these', required: true, en: 'the beginning; special tokens written in a string are text', zh: '文本开头；字符串中的特殊 token 视为普通文本',
      good: ['x', ['x'], [300, 301], [[300, 301]], '<｜User｜>', '你好'],
      bad: [7, {}, [], [[]], true, ['a', 'b'], [1.5], [-1], [999999], [{}]] },
    { name: 'suffix', type: 'string', default: 'none', en: 'the end: the model writes what stands between', zh: '结尾：模型写出两者之间的内容', good: [' models.', '', null], bad: [3, []] },
    { name: 'echo', type: 'boolean', default: 'false', en: 'the answer begins with the prompt', zh: '回答以提示词开头', good: [true, false, null], bad: ['x', 1] },
    { name: 'logprobs', type: 'integer, 0 to 20', default: 'none', en: 'the probability of every token and of so many alternatives', zh: '返回每个 token 及若干候选的概率', good: [0, 3, 20, null], bad: [-1, 21, true, 'x'] },
    { name: 'max_tokens', type: 'integer, 1 or more', default: 'to the end of the context', en: 'longest answer', zh: '回答的最大 token 数', good: [1, null], bad: [0, -1, 'x'] },
    { name: 'best_of', type: 'integer, equal to `n`', default: '`n`', en: 'only what asks for nothing', zh: '仅接受与 `n` 相同的值', good: [1, null], bad: [0, 'x', 2] },
    { name: 'temperature', bad: [-1, 3, 'x'] },
    { name: 'top_p', bad: [0, 2] },
    { name: 'n', good: [3], bad: [0, 9] },
    { name: 'stop', good: ['x', ['y', 'z']], bad: ['', 3] },
    { name: 'seed', good: [1], bad: ['x'] },
    { name: 'stream', good: [true], bad: ['x'] },
  ],
  rows: [
    { name: 'a text is continued', expect: first({ text, finish_reason: oneOf('stop', 'length') }), doc: { en: 'A text.', zh: '续写文本。' } },
    { name: 'max_tokens reached is length', body: { max_tokens: 2 }, expect: { ...first({ finish_reason: 'length' }), usage: { completion_tokens: 2 } } },
    { name: 'token ids are continued', body: { prompt: [300, 301, 302], max_tokens: 3 }, expect: { usage: { prompt_tokens: range(3, 4) } } },
    { name: 'echo gives the prompt back', body: { echo: true }, expect: first({ text: /^Hadal serves/ }) },
    { name: 'echo of token ids gives their text back', body: { echo: true, prompt: [2308, 2269], max_tokens: 1 }, expect: first({ text: /^hi there/ }) },
    { name: 'echo in a stream comes first', body: { echo: true, stream: true }, events: inOrder(chunk('Hadal serves'), many(chunk(text)), chunk('', oneOf('stop', 'length')), '[DONE]') },
    refused('echo with logprobs is refused', { echo: true, logprobs: 1 }, 'echo'),
    { name: 'a stop string ends the text', body: { stop: 'e', max_tokens: 60, prompt: 'The weights need' }, expect: first({ finish_reason: 'stop', text: /^[^e]*$/ }) },
    { name: 'a stream of text', body: { stream: true }, events: inOrder(some(chunk(text)), chunk('', oneOf('stop', 'length')), '[DONE]'), doc: { en: 'A stream.', zh: '流式返回。' } },
    { name: 'the last chunk carries the usage', body: { stream: true }, events: inOrder(some(chunk(text)), chunk('', any, { usage: { prompt_tokens: any, completion_tokens: any } }), '[DONE]') },
    { name: 'include_usage puts it into a chunk without choices', body: { stream: true, stream_options: { include_usage: true } }, events: inOrder(some({ choices: [any], usage: null }), { choices: [], usage: { total_tokens: any } }, '[DONE]') },
    refused('stream_options without stream are refused', { stream_options: { include_usage: true } }, 'stream_options'),
    { name: 'n texts by their index', body: { n: 2, temperature: 1.5, seed: 2 }, expect: { choices: [{ index: 0 }, { index: 1 }] } },
    { name: 'logprobs of every token', body: { logprobs: 2, max_tokens: 3, prompt: 'The weights' }, expect: first({ logprobs: logprobs(3, listOf(any, 3, 3)) }), doc: { en: 'Probabilities.', zh: '概率。' } },
    { name: 'logprobs 0 has no alternatives', body: { logprobs: 0, max_tokens: 2, prompt: 'The weights' }, expect: first({ logprobs: logprobs(2, any) }) },
    { name: 'logprobs in a stream', body: { logprobs: 1, max_tokens: 2, stream: true, prompt: 'The weights' }, events: inOrder(some({ choices: [{ text, logprobs: { tokens: listOf(string, 1) } }] }), any, '[DONE]') },
    refused('top_logprobs belong to chat', { top_logprobs: 2 }, 'top_logprobs'),
    { name: 'a gap is filled', body: { prompt: 'Hadal ', suffix: ' models.', max_tokens: 12 }, expect: first({ text: string }), doc: { en: 'A gap (FIM).', zh: '填充空缺（FIM）。' } },
    { name: 'a gap in a stream', body: { suffix: ' models.', stream: true }, events: inOrder(many(chunk(text)), chunk('', oneOf('stop', 'length')), '[DONE]') },
    { name: 'echo with a suffix gives the beginning back', body: { suffix: ' models.', echo: true }, expect: first({ text: /^Hadal serves/ }) },
    refused('a suffix behind token ids is refused', { prompt: [300, 301], suffix: 'x' }, /^(suffix|prompt)$/),
    { name: 'a regular expression of the text', body: { guided_regex: '[0-9]{3}' }, expect: first({ finish_reason: 'stop', text: /^[0-9]{3}$/ }) },
    { name: 'JSON of the text', body: { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { enum: [1, 2] } } } }, expect: first({ text: oneOf('1', '2') }) },
    refused('a text beyond the context is refused with both counts', { prompt: 'word '.repeat(5000) }, 'prompt', { says: /\d{4,}.*4096/, expect: { error: { code: 'context_length_exceeded' } } }),
    refused('max_tokens beyond the context is refused', { max_tokens: 4096 }, 'max_tokens', { expect: { error: { code: 'context_length_exceeded' } } }),
    { name: 'an unknown model is a 404', body: { model: 'x' }, status: 404, expect: { error: { code: 'model_not_found' } } },
    { name: 'a field of chat is unknown here and ignored', body: { messages: [] } },
    { name: 'a field of chat is unknown here and refused when the server says so', server: 'strict', body: { messages: [] }, refuse: 'messages' },
    { name: 'a chunk of text has no role', body: { stream: true, max_tokens: 1 }, events: inOrder(some({ choices: [{ delta: absent }] }), '[DONE]') },
  ],
}, {
  dialect: 'openai',
  endpoint: 'POST /v1/embeddings',
  purpose: { en: 'Vectors of texts: the mean of the last layer\'s hidden states, of length 1. A language model\'s, not an embedding model\'s: the answer says so in `pooling`.',
    zh: '文本向量：最后一层隐藏状态的均值，长度归一。来自语言模型而非专用嵌入模型：回答的 `pooling` 会说明。' },
  base: { model: 'hadal-demo', input: 'hi there' },
  fields: [
    { name: 'model', type: 'string', required: true, en: 'a served model or an alias', zh: '已提供的模型名或别名', bad: [3] },
    { name: 'input', type: 'string, array of strings, array of token ids, or array of arrays of token ids', required: true, en: 'the texts', zh: '文本',
      good: ['x', ['x', 'y'], [300, 301], [[300], [301, 302]], '你好'],
      bad: ['', 3, {}, [], { value: [''], param: 'input[0]' }, { value: [[]], param: 'input[0]' }, { value: ['x', 3], param: 'input[1]' }, { value: [-1], param: 'input[0]' }, { value: [999999], param: /^input/ }] },
    { name: 'encoding_format', type: '"float" or "base64"', default: '"float"', en: 'base64: float32, little-endian', zh: 'base64：小端 float32', good: ['float', 'base64', null], bad: ['x', 3] },
    { name: 'dimensions', good: [null], bad: [64] },
  ],
  rows: [
    { name: 'a vector of length 1', expect: { object: 'list', model: 'hadal-demo', pooling: /mean/, data: [{ object: 'embedding', index: 0, embedding: (v, at) => (
      v?.length === 256 && Math.abs(v.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3 ? [] : [`${at} is no vector of 256 numbers and length 1`]) }], usage: { prompt_tokens: range(2, 3), total_tokens: range(2, 3) } } },
    { name: 'a vector for each text, by its index', body: { input: ['a', 'b', 'c'] }, expect: { data: [{ index: 0 }, { index: 1 }, { index: 2 }] } },
    { name: 'base64 is as long as 256 numbers', body: { encoding_format: 'base64' }, expect: { data: [{ embedding: /^[A-Za-z0-9+/]{1366}==$/ }] } },
    refused('a text beyond the context is refused with both counts', { input: 'word '.repeat(5000) }, 'input', { says: /\d{4,}.*4096/ }),
    { name: 'an unknown model is a 404', body: { model: 'x' }, status: 404, expect: { error: { code: 'model_not_found' } } },
    { name: 'user is accepted', body: { user: 'u' } },
  ],
}];
