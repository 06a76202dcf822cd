// What comes back of a chat: lengths, stops, choices, seeds, probabilities, streams, overflow.
import { absent, all, any, inOrder, integer, listOf, many, not, oneOf, range, some, string, text } from './matcher.mjs';
import { chatBase } from './openai_fields.mjs';

const off = { thinking: { type: 'disabled' } };
const first = (choice) => ({ choices: [choice] });
const chunk = (delta, finish_reason = null, more = {}) => ({ choices: [{ index: 0, delta, finish_reason }], ...more });
const role = chunk({ role: 'assistant' });
const thinks = chunk({ reasoning_content: text, content: oneOf(null, absent) });
const speaks = chunk({ content: text, reasoning_content: oneOf(null, absent) });
const nothing = { content: oneOf('', null, absent), reasoning_content: oneOf('', null, absent), tool_calls: absent };
const ends = (reason, more = {}) => chunk(nothing, reason, more);
const whole = { max_tokens: 200 };
const token = { token: string, logprob: range(-9999, 0), bytes: listOf(range(0, 255)) };
const likeliest = { ...token, logprob: range(-1, 0) };
const choices = (n, choice = {}) => ({ choices: [...Array(n).keys()].map((index) => ({ index, ...choice })) });
const question = [{ role: 'user', content: 'I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?' }];
const long = [{ role: 'user', content: 'word '.repeat(5000) }];
const turns = (n, size) => [...Array(n).keys()].flatMap((i) => [{ role: 'user', content: `${i} `.repeat(size) }, { role: 'assistant', content: 'ok' }]);

export default {
  dialect: 'openai',
  endpoint: 'POST /v1/chat/completions',
  base: chatBase,
  rows: [
    { name: 'a question is thought about and answered', body: { messages: question, max_tokens: undefined },
      doc: { en: 'A question.', zh: '一个问题。' },
      expect: first({ index: 0, finish_reason: 'stop', logprobs: null, message: { content: /RTX 3060/, reasoning_content: /7\.6/, tool_calls: absent } }) },
    { name: 'without thinking there is no reasoning_content', body: { ...off, ...whole },
      expect: { ...first({ message: { content: /^I am Hadal/, reasoning_content: oneOf(null, absent) } }), usage: { completion_tokens_details: { reasoning_tokens: 0 } } } },
    { name: 'no think tag shows in the texts', body: whole, expect: first({ message: { content: not(/think>/), reasoning_content: not(/think>/) } }) },
    { name: 'max_tokens reached is length', body: { max_tokens: 3 }, expect: { ...first({ finish_reason: 'length' }), usage: { completion_tokens: 3 } } },
    { name: 'max_tokens reached without thinking is length', body: { max_tokens: 1, ...off }, expect: { ...first({ finish_reason: 'length', message: { content: 'I' } }), usage: { completion_tokens: 1 } } },
    { name: 'max_tokens reached in a stream is length', body: { max_tokens: 3, stream: true }, events: inOrder(role, some(thinks), ends('length'), '[DONE]') },
    { name: 'max_tokens and max_completion_tokens may be equal', body: { max_completion_tokens: 2 } },
    { name: 'max_tokens and another max_completion_tokens are refused', body: { max_completion_tokens: 3 }, refuse: 'max_tokens', says: /2.*3/ },
    { name: 'a stop string ends the answer and does not show', body: { ...off, ...whole, stop: ['demo'] },
      doc: { en: 'A stop string.', zh: '停止字符串。' },
      expect: first({ finish_reason: 'stop', message: { content: "I am Hadal's built-in " } }) },
    { name: 'the first of several stop strings ends the answer', body: { ...off, ...whole, stop: ['small', 'built', 'nothing'] }, expect: first({ finish_reason: 'stop', message: { content: "I am Hadal's " } }) },
    { name: 'a stop string of half a token ends the answer', body: { ...off, ...whole, stop: 'ilt' }, expect: first({ finish_reason: 'stop', message: { content: "I am Hadal's bu" } }) },
    { name: 'a stop string is not searched in the thinking', body: { ...whole, stop: 'topic' }, expect: first({ message: { reasoning_content: /topic/, content: /^I am Hadal/ } }) },
    { name: 'a stop string ends a stream and no part of it shows', body: { ...off, ...whole, stop: 'built-in', stream: true },
      events: inOrder(role, many(chunk({ content: not(/built|-in/) })), ends('stop'), '[DONE]') },
    { name: 'n choices, each by its index', body: { n: 3, temperature: 1, seed: 5 }, expect: choices(3, { finish_reason: 'length' }), doc: { en: 'Three choices.', zh: '三个回答。' } },
    { name: 'the tokens of n choices are counted together', body: { n: 4, max_tokens: 3 }, expect: { usage: { completion_tokens: 12, prompt_tokens: 8 } } },
    { name: 'n choices in a stream', body: { n: 2, stream: true, max_tokens: 1 },
      events: inOrder(some({ choices: [{ index: oneOf(0, 1) }] }), '[DONE]') },
    { name: 'a temperature of 2 with a seed is answered', body: { temperature: 2, seed: 3, max_tokens: 20 } },
    { name: 'a stop token ends the answer', body: { ...off, ...whole, stop_token_ids: [1] }, expect: first({ finish_reason: 'stop' }) },
    { name: 'ignore_eos goes on to max_tokens', body: { ...off, ignore_eos: true, max_tokens: 120 }, expect: { ...first({ finish_reason: 'length' }), usage: { completion_tokens: 120 } } },
    { name: 'a token of bias -100 does not come', body: { ...off, ...whole, logit_bias: { 300: -100 } } },
    { name: 'logprobs of the answer', body: { ...off, max_tokens: 3, logprobs: true }, doc: { en: 'Probabilities.', zh: '概率。' },
      expect: first({ logprobs: { content: listOf({ ...likeliest, top_logprobs: [] }, 3, 3) } }) },
    { name: 'top_logprobs are sorted and the greedy token is the first', body: { ...off, max_tokens: 1, logprobs: true, top_logprobs: 3 },
      expect: first({ logprobs: { content: [{ token: 'I', bytes: [73], top_logprobs: [{ token: 'I', logprob: range(-1, 0) }, token, token] }] } }) },
    { name: 'logprobs of the thinking stand apart', body: { max_tokens: 3, logprobs: true, top_logprobs: 1 },
      expect: first({ logprobs: { content: oneOf(null, []), reasoning_content: listOf({ ...token, top_logprobs: [token] }, 3, 3) } }) },
    { name: 'logprobs in a stream', body: { ...off, max_tokens: 2, logprobs: true, stream: true },
      events: inOrder(role, some({ choices: [{ delta: { content: text }, logprobs: { content: listOf(token, 1) } }] }), ends('length'), '[DONE]') },
    { name: 'top_logprobs without logprobs are refused', body: { top_logprobs: 3 }, refuse: 'top_logprobs' },
    { name: 'top_logprobs 0 without logprobs is accepted', body: { top_logprobs: 0 } },
    { name: 'a stream has the role first, then thinking, then the answer, then the reason', body: { ...whole, stream: true },
      doc: { en: 'A stream.', zh: '流式回答。' }, events: inOrder(role, some(thinks), some(speaks), ends('stop'), '[DONE]') },
    { name: 'a stream without thinking has no thinking', body: { ...whole, ...off, stream: true }, events: inOrder(role, some(speaks), ends('stop'), '[DONE]') },
    { name: 'the chunks of a stream have one id and one time', body: { stream: true },
      events: all(listOf(any, 3), (events, at) => (new Set(events.slice(0, -1).map((e) => `${e.id} ${e.created}`)).size === 1 ? [] : [`${at} have several ids`])) },
    { name: 'without include_usage the last chunk carries the usage', body: { stream: true },
      events: inOrder(role, many(chunk(any, null, { usage: oneOf(null, absent) })), ends('length', { usage: { prompt_tokens: 8, completion_tokens: 2 } }), '[DONE]') },
    { name: 'include_usage puts the usage into a chunk without choices', body: { stream: true, stream_options: { include_usage: true } },
      doc: { en: 'A stream with its usage as OpenAI sends it.', zh: '按 OpenAI 方式返回用量的流。' },
      events: inOrder(some({ choices: [any], usage: null }), { choices: [], usage: { prompt_tokens: 8, completion_tokens: 2, total_tokens: 10 } }, '[DONE]') },
    { name: 'include_usage false sends no chunk without choices', body: { stream: true, stream_options: { include_usage: false } },
      events: inOrder(some({ choices: [any] }), '[DONE]') },
    { name: 'stream_options without stream are refused', body: { stream_options: { include_usage: true } }, refuse: 'stream_options' },
    { name: 'a stream may not be cached or collected on the way', body: { stream: true }, answerHeaders: { 'cache-control': /no-store|no-cache/, 'x-accel-buffering': 'no', 'content-type': /^text\/event-stream/ } },
    { name: 'the prompt is counted, and again from the cache', body: { messages: [{ role: 'user', content: 'cached '.repeat(70) }] },
      expect: { usage: { prompt_tokens: range(70, 400) } } },
    { name: 'the same long prompt again hits the prefix cache', body: { messages: [{ role: 'user', content: 'cached '.repeat(70) }] },
      expect: { usage: { prompt_cache_hit_tokens: range(32, 400), prompt_tokens_details: { cached_tokens: range(32, 400) } } } },
    { name: 'a prompt beyond the context is refused with both counts', body: { messages: long, max_tokens: undefined }, refuse: 'messages', says: /\d{4,}.*4096/,
      expect: { error: { code: 'context_length_exceeded' } }, doc: { en: 'A prompt beyond the context. Nothing is ever cut unasked.', zh: '超出上下文的提示词。未经要求绝不截断。' } },
    { name: 'a prompt far beyond the context is refused with a count', body: { messages: [{ role: 'user', content: 'word '.repeat(500000) }] }, refuse: 'messages', says: /\d{4,}.*4096/, expect: { error: { code: 'context_length_exceeded' } } },
    { name: 'a stream of a prompt beyond the context is a 400, not an event', body: { messages: long, stream: true }, refuse: 'messages', expect: { error: { code: 'context_length_exceeded' } } },
    { name: 'max_tokens beyond the context is refused with the counts', body: { max_tokens: 4096 }, refuse: 'max_tokens', says: /4096.*8.*4088/, expect: { error: { code: 'context_length_exceeded' } } },
    { name: 'max_completion_tokens beyond the context is refused by its name', body: { max_tokens: undefined, max_completion_tokens: 5000 }, refuse: 'max_completion_tokens', says: /max_completion_tokens/ },
    { name: 'truncation auto leaves out turns in the middle and says so', body: { messages: [...turns(20, 150), ...question], truncation: 'auto', max_tokens: 40 },
      doc: { en: 'Truncation that was asked for.', zh: '按要求省略。' }, expect: { truncation: { dropped_messages: range(2, 40), dropped_tokens: range(500, 9000) }, usage: { prompt_tokens: range(1000, 4056) } } },
    { name: 'truncation front leaves out the first turns', body: { messages: [...turns(20, 150), ...question], truncation: { type: 'auto', strategy: 'front' }, max_tokens: 40 },
      expect: { truncation: { dropped_messages: range(2, 40) } } },
    { name: 'truncation in a stream is said in the last chunk', body: { messages: [...turns(20, 150), ...question], truncation: 'auto', max_tokens: 4, stream: true },
      events: inOrder(role, some(chunk(any)), ends('length', { truncation: { dropped_messages: integer } }), '[DONE]') },
    { name: 'truncation of what fits drops nothing', body: { truncation: 'auto' }, expect: { truncation: absent } },
    { name: 'truncation cannot cut the last turn', body: { messages: long, truncation: 'auto' }, refuse: 'messages', expect: { error: { code: 'context_length_exceeded' } } },
    { name: 'an unknown model is a 404 that names it', body: { model: 'gpt-4o' }, status: 404, expect: { error: { code: 'model_not_found', param: 'model', message: /gpt-4o/ } },
      doc: { en: 'A model that is not served.', zh: '未提供的模型。' } },
    { name: 'fields without effect are accepted', body: { user: 'u', metadata: { a: 'b' }, store: false, service_tier: 'auto', safety_identifier: 's', prompt_cache_key: 'k', verbosity: 'low', user_id: 'u' } },
    { name: 'an unknown field is ignored by default', body: { no_such_field: 1 } },
    { name: 'an unknown field is refused when the server says so', server: 'strict', body: { no_such_field: 1 }, refuse: 'no_such_field' },
    { name: 'an unknown field of a message is refused when the server says so', server: 'strict', body: { messages: [{ role: 'user', content: 'x', mood: 'good' }] }, refuse: 'messages[0].mood' },
    { name: 'an unknown stream option is refused when the server says so', server: 'strict', body: { stream: true, stream_options: { other: 1 } }, refuse: 'stream_options.other' },
    { name: 'known fields are accepted where unknown ones are refused', server: 'strict', body: { user: 'u', temperature: 1, seed: 1, thinking: { type: 'disabled' } } },
    ...['audio', 'chat_template', 'prediction', 'web_search_options'].map((field) => (
      { name: `${field} would change the answer and is refused`, body: { [field]: { type: 'x' } }, refuse: field })),
    { name: 'modalities text is accepted', body: { modalities: ['text'] } },
    { name: 'modalities audio is refused', body: { modalities: ['text', 'audio'] }, refuse: 'modalities' },
    { name: 'functions of older clients are refused', body: { functions: [{ name: 'f' }] }, refuse: 'functions' },
    { name: 'function_call of older clients is refused', body: { function_call: { name: 'f' } }, refuse: 'function_call' },
    { name: 'a request id is taken over', headers: { 'x-request-id': 'row-7' }, answerHeaders: { 'x-request-id': 'row-7' } },
    { name: 'an answer has a request id', answerHeaders: { 'x-request-id': /^req-/, 'content-type': 'application/json' } },
  ],
};
