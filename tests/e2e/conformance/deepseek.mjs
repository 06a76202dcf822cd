// DeepSeek's own shapes, as its API sends them: streams with null beside what is there, thinking and
// effort, chat prefix completion, strict tools, usage.
import { absent, all, any, inOrder, json, not, oneOf, range, some, string, text } from './matcher.mjs';

const off = { thinking: { type: 'disabled' } };
const messages = [{ role: 'user', content: 'who are you?' }];
const base = { model: 'hadal-demo', messages, temperature: 0, max_tokens: 200 };
const question = [{ role: 'user', content: 'I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?' }];
const first = (choice) => ({ choices: [choice] });
const chunk = (delta, finish_reason = null, more = {}) => ({ object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason, logprobs: null }], usage: null, ...more });
const usage = { prompt_tokens: any, completion_tokens: any, prompt_cache_hit_tokens: any, prompt_cache_miss_tokens: any, completion_tokens_details: { reasoning_tokens: any } };
const thought = (min, max) => ({ usage: { completion_tokens_details: { reasoning_tokens: range(min, max) } } });
const prefix = (content, more = {}) => [...messages, { role: 'assistant', content, prefix: true, ...more }];
const strict = { type: 'function', function: { name: 'weather', strict: true, parameters: { type: 'object',
  properties: { city: { enum: ['Paris', 'Berlin'] }, days: { type: 'integer', minimum: 1, maximum: 3 } }, required: ['city', 'days'], additionalProperties: false } } };
const forced = { tools: [strict], tool_choice: 'required', parallel_tool_calls: false };
const call = { id: text, type: 'function', function: { name: 'weather', arguments: json({ city: oneOf('Paris', 'Berlin'), days: oneOf(1, 2, 3) }) } };

export default [{
  dialect: 'deepseek',
  endpoint: 'POST /chat/completions',
  base,
  rows: [
    { name: 'thinking is on when it is left out', expect: { ...first({ message: { reasoning_content: text, content: text } }), ...thought(1, 100) } },
    { name: 'thinking disabled has none', body: off, expect: { ...first({ message: { reasoning_content: oneOf(null, absent), content: text } }), ...thought(0, 0) } },
    { name: 'thinking enabled thinks', body: { thinking: { type: 'enabled' } }, expect: first({ message: { reasoning_content: text } }) },
    { name: 'thinking disabled wins over reasoning_effort', body: { ...off, reasoning_effort: 'high' }, expect: thought(0, 0) },
    { name: 'thinking enabled wins over reasoning_effort none', body: { thinking: { type: 'enabled' }, reasoning_effort: 'none' }, expect: thought(1, 100) },
    { name: 'reasoning_effort none does not think', body: { reasoning_effort: 'none' }, expect: thought(0, 0) },
    { name: 'reasoning_effort high thinks', body: { reasoning_effort: 'high' }, expect: thought(1, 150) },
    { name: 'reasoning_effort low bounds the thinking to a quarter', body: { messages: question, reasoning_effort: 'low', max_tokens: 40 }, expect: { ...first({ message: { reasoning_content: text, content: text } }), ...thought(1, 10) } },
    { name: 'reasoning_effort max bounds the thinking to fifteen sixteenths', body: { messages: question, reasoning_effort: 'max', max_tokens: 32 }, expect: { ...first({ message: { content: text } }), ...thought(1, 30) } },
    { name: 'budget_tokens bounds the thinking and the answer follows', body: { messages: question, thinking: { type: 'enabled', budget_tokens: 8 } },
      doc: { en: 'Thinking of at most 8 tokens.', zh: '思考至多 8 个 token。' }, expect: { ...first({ message: { content: text, reasoning_content: text } }), ...thought(1, 8) } },
    { name: 'budget_tokens bounds the thinking of a stream', body: { messages: question, thinking: { type: 'enabled', budget_tokens: 8 }, stream: true },
      events: inOrder(chunk({ role: 'assistant' }), some({ choices: [{ delta: { reasoning_content: text } }] }), some({ choices: [{ delta: { content: text } }] }), { choices: [{ finish_reason: oneOf('stop', 'length') }] }, '[DONE]') },
    { name: 'budget_tokens 0 is hardly any thinking', body: { thinking: { type: 'enabled', budget_tokens: 0 } }, expect: { ...first({ message: { content: text } }), ...thought(0, 1) } },
    { name: 'budget_tokens above what is thought changes nothing', body: { thinking: { type: 'enabled', budget_tokens: 150 } }, expect: first({ message: { reasoning_content: 'The topic is who I am.', content: /^I am Hadal/ } }) },
    { name: 'thinking_budget bounds the thinking', body: { messages: question, thinking_budget: 6 }, expect: thought(1, 6) },
    { name: 'enable_thinking false does not think', body: { chat_template_kwargs: { enable_thinking: false } }, expect: thought(0, 0) },
    { name: 'a stream of thinking has null beside what is there', body: { stream: true },
      doc: { en: 'A stream in DeepSeek\'s shape.', zh: 'DeepSeek 格式的流式返回。' },
      events: inOrder(chunk({ role: 'assistant', content: null, reasoning_content: '' }), some(chunk({ content: null, reasoning_content: text })), some(chunk({ content: text, reasoning_content: null })),
        chunk({ content: '', reasoning_content: oneOf(null, absent) }, 'stop', { usage }), '[DONE]') },
    { name: 'a stream without thinking has content only', body: { ...off, stream: true },
      events: inOrder(chunk({ role: 'assistant', content: '' }), some(chunk({ content: text, reasoning_content: absent })), chunk({ content: '' }, 'stop', { usage }), '[DONE]') },
    { name: 'the last content chunk carries the usage beside its choice', body: { stream: true, max_tokens: 4 },
      events: inOrder(some({ choices: [{ finish_reason: null }], usage: null }), { choices: [{ finish_reason: 'length' }], usage: { prompt_tokens: 8, completion_tokens: 4, total_tokens: 12 } }, '[DONE]') },
    { name: 'every chunk but the last has usage null', body: { ...off, stream: true, max_tokens: 3 }, events: inOrder(some({ usage: null }), { usage }, '[DONE]') },
    { name: 'a stream of a call', body: { ...forced, ...off, stream: true },
      events: inOrder(chunk({ role: 'assistant' }), chunk({ tool_calls: [{ index: 0, id: /^call_/, type: 'function', function: { name: 'weather', arguments: '' } }] }),
        some(chunk({ tool_calls: [{ index: 0, function: { arguments: text } }] })), chunk(any, 'tool_calls', { usage }), '[DONE]') },
    { name: 'the content beside a call is a string, not null', body: { ...forced, ...off }, expect: first({ finish_reason: 'tool_calls', message: { content: '', tool_calls: [{ index: 0, ...call, id: /^call_/ }] } }) },
    { name: 'a strict tool while thinking', body: { ...forced, thinking: { type: 'enabled' } }, expect: first({ message: { tool_calls: [call], reasoning_content: text } }) },
    { name: 'a strict tool on the beta address', path: '/beta/chat/completions', body: { ...forced, ...off }, expect: first({ message: { tool_calls: [call] } }) },
    { name: 'json_object without thinking', body: { ...off, response_format: { type: 'json_object' }, max_tokens: 30 }, expect: first({ message: { content: /^\s*\{/ } }) },
    { name: 'json_object while thinking lands in content', body: { response_format: { type: 'json_object' }, max_tokens: 60 }, expect: first({ message: { content: /^\s*\{/, reasoning_content: not(/\{/) } }) },
    { name: 'prompt_tokens are hits and misses', expect: (body, at) => {
      const u = body.usage;
      return u.prompt_tokens === u.prompt_cache_hit_tokens + u.prompt_cache_miss_tokens && u.prompt_cache_hit_tokens === u.prompt_tokens_details.cached_tokens &&
        u.total_tokens === u.prompt_tokens + u.completion_tokens ? [] : [`${at}.usage does not add up: ${JSON.stringify(u)}`];
    } },
    { name: 'a prefix is continued and not repeated', path: '/beta/chat/completions', body: { messages: prefix('I am'), ...off },
      doc: { en: 'Chat prefix completion: the last message begins the answer.', zh: '对话前缀续写：最后一条消息是回答的开头。' }, expect: first({ finish_reason: 'stop', message: { content: /^ Hadal/ } }) },
    { name: 'a prefix of half a word is healed', path: '/beta/chat/completions', body: { messages: prefix('I am Had'), ...off }, expect: first({ message: { content: /^al/ } }) },
    { name: 'a prefix with its thinking', path: '/beta/chat/completions', body: { messages: prefix('I am', { reasoning_content: 'The topic is who I am.' }) }, expect: first({ message: { content: /^ Hadal/, reasoning_content: oneOf('', null, absent) } }) },
    { name: 'an empty prefix is an answer', path: '/beta/chat/completions', body: { messages: prefix(''), ...off }, expect: first({ message: { content: /^I am Hadal/ } }) },
    { name: 'a prefix in a stream', path: '/beta/chat/completions', body: { messages: prefix('I am'), ...off, stream: true }, events: inOrder(chunk(any), chunk({ content: ' Hadal' }), some(chunk(any)), { choices: [{ finish_reason: 'stop' }] }, '[DONE]') },
    { name: 'a prefix with a stop string', path: '/beta/chat/completions', body: { messages: prefix('```\n'), ...off, stop: ['```'], max_tokens: 20 }, expect: first({ message: { content: not(/```/) } }) },
    { name: 'a prefix that is not the last is refused', path: '/beta/chat/completions', body: { messages: [...prefix('I am'), ...messages] }, refuse: 'messages[1].prefix' },
    { name: 'a prefix of the user is refused', path: '/beta/chat/completions', body: { messages: [{ ...messages[0], prefix: true }] }, refuse: 'messages[0].prefix' },
    { name: 'a prefix that is no boolean is refused', path: '/beta/chat/completions', body: { messages: [...messages, { role: 'assistant', content: 'x', prefix: 'yes' }] }, refuse: 'messages[1].prefix' },
    { name: 'prefix false is a message like others', body: { messages: [...messages, { role: 'assistant', content: 'A model.', prefix: false }, ...messages] } },
    { name: 'penalties and temperature are accepted while thinking', body: { temperature: 1.3, top_p: 0.5, presence_penalty: 1, frequency_penalty: 1, seed: 1, max_tokens: 5 } },
    { name: '16 stop strings are accepted', body: { stop: [...Array(16).keys()].map((i) => `stop${i}`), max_tokens: 2 } },
    { name: 'user_id is accepted', body: { user_id: 'someone-1', max_tokens: 1 } },
    { name: 'a tool name of 128 characters is accepted', body: { tools: [{ type: 'function', function: { name: 'x'.repeat(128) } }], max_tokens: 1 } },
  ],
}, {
  dialect: 'deepseek',
  endpoint: 'GET /models',
  rows: [{ name: 'the models, without /v1', expect: { object: 'list', data: [{ id: 'hadal-demo', object: 'model', owned_by: string }] } }],
}, {
  dialect: 'deepseek',
  endpoint: 'POST /beta/completions',
  base: { model: 'hadal-demo', prompt: 'def add(a, b):\n', suffix: '\n    return c\n', temperature: 0, max_tokens: 6 },
  rows: [
    { name: 'fill in the middle', expect: { object: 'text_completion', ...first({ text: string, finish_reason: oneOf('stop', 'length') }) } },
    { name: 'fill in the middle with echo', body: { echo: true }, expect: first({ text: /^def add\(a, b\):\n/ }) },
    { name: 'fill in the middle with logprobs', body: { logprobs: 1 }, expect: first({ logprobs: any }) },
    { name: 'fill in the middle, n texts', body: { n: 2, temperature: 1, seed: 1 }, expect: { choices: [any, any] } },
    { name: 'a beginning alone is continued', body: { suffix: undefined }, expect: first({ text: string }) },
    { name: 'an empty beginning is filled', body: { prompt: '' }, expect: first({ text: string }) },
    { name: 'a gap beyond the context is refused', body: { suffix: 'x '.repeat(9000) }, refuse: /^(prompt|suffix)$/, says: all(/\d{4,}/, /4096/), expect: { error: { code: 'context_length_exceeded' } } },
  ],
}];
