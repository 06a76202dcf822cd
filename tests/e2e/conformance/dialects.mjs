// What holds for every answer of a dialect, whatever was asked: the shape of a whole answer, of a
// stream's events and of an error. The runner checks it on every row, so rows say only what is special.
import { absent, all, exactly, integer, listOf, mapOf, oneOf, range, string, text } from './matcher.mjs';

const nothing = oneOf(null, absent);
const count = range(0, 1e6);
const model = 'hadal-demo';

// ---------------------------------------------------------------- OpenAI and DeepSeek
export const usage = exactly({
  prompt_tokens: count, completion_tokens: count, total_tokens: count,
  prompt_cache_hit_tokens: count, prompt_cache_miss_tokens: count,
  prompt_tokens_details: { cached_tokens: count }, completion_tokens_details: { reasoning_tokens: count } });
const toolCall = exactly({ id: text, type: 'function', function: exactly({ name: text, arguments: string }) }, { index: integer });
const finish = oneOf('stop', 'length', 'tool_calls');
const token = { token: string, logprob: range(-9999, 0), bytes: listOf(range(0, 255)) };
const tokens = oneOf(null, listOf({ ...token, top_logprobs: listOf(token, 0, 20) }));
const chatLogprobs = oneOf(null, exactly({ content: tokens }, { refusal: null, reasoning_content: tokens }));
const textLogprobs = oneOf(null, exactly({ tokens: listOf(string), token_logprobs: listOf(oneOf(null, range(-9999, 0))),
  top_logprobs: oneOf(null, listOf(mapOf(range(-9999, 0)))), text_offset: listOf(count) }));
const head = { id: text, created: range(1.7e9, 1e10), model, system_fingerprint: text };
const truncation = exactly({ dropped_messages: count, dropped_tokens: count });
const openAiChat = exactly({ ...head, object: 'chat.completion', usage, choices: listOf(exactly({
  index: integer, finish_reason: finish, logprobs: chatLogprobs,
  message: exactly({ role: 'assistant', content: string },
    { reasoning_content: oneOf(null, string), tool_calls: listOf(toolCall, 1), refusal: null }) }), 1) }, { truncation });
const openAiText = exactly({ ...head, object: 'text_completion', usage, choices: listOf(exactly({
  index: integer, text: string, finish_reason: finish, logprobs: textLogprobs }), 1) });
const delta = exactly({}, { role: 'assistant', content: oneOf(null, string), reasoning_content: oneOf(null, string),
  tool_calls: listOf(exactly({ index: integer, function: exactly({ arguments: string }, { name: text }) }, { id: text, type: 'function' }), 1) });
const openAiChunk = oneOf('[DONE]',
  exactly({ ...head, object: 'chat.completion.chunk', choices: listOf(exactly({
    index: integer, delta, finish_reason: oneOf(null, finish), logprobs: chatLogprobs })) }, { usage: oneOf(null, usage), truncation }),
  exactly({ ...head, object: 'text_completion', choices: listOf(exactly({
    index: integer, text: string, finish_reason: oneOf(null, finish), logprobs: textLogprobs })) }, { usage: oneOf(null, usage) }));
const embeddings = exactly({ object: 'list', model, pooling: text, usage: exactly({ prompt_tokens: count, total_tokens: count }),
  data: listOf(exactly({ object: 'embedding', index: integer, embedding: oneOf(text, listOf(range(-1, 1), 1)) }), 1) });
const models = exactly({ object: 'list', data: listOf({ id: model, object: 'model' }, 1) });
const openAi = {
  whole: { 'chat.completion': openAiChat, text_completion: openAiText, list: oneOf(embeddings, models) },
  kindOf: (body) => body.object,
  event: openAiChunk,
  // The last line tells a whole answer from one that broke off.
  ends: (events) => events.at(-1) === '[DONE]',
  error: exactly({ error: exactly({ message: text, type: text, param: oneOf(null, text), code: text }) }),
  refuses: (field) => ({ error: { type: 'invalid_request_error', param: field } }),
  message: (body) => body.error.message,
  unauthorised: { error: { type: 'invalid_request_error', code: 'invalid_api_key' } },
  notFound: { error: { type: 'invalid_request_error', param: null } },
};

// ---------------------------------------------------------------- Anthropic
const anthropicUsage = exactly({ input_tokens: count, cache_creation_input_tokens: count, cache_read_input_tokens: count,
  output_tokens: count }, { output_tokens_details: { thinking_tokens: count } });
const block = oneOf(
  exactly({ type: 'text', text: string }), exactly({ type: 'thinking', thinking: string, signature: string }),
  exactly({ type: 'tool_use', id: text, name: text, input: mapOf(oneOf(absent, null, () => [])) }, { partial_json: string }));
const message = (content, stop, used) => exactly({ id: /^msg_/, type: 'message', role: 'assistant', model, content,
  stop_reason: stop, stop_sequence: oneOf(null, text), usage: used }, { truncation });
const stopReason = oneOf('end_turn', 'max_tokens', 'stop_sequence', 'tool_use');
const anthropic = {
  whole: { message: message(listOf(block), stopReason, anthropicUsage), message_tokens_count: exactly({ input_tokens: count }) },
  kindOf: (body) => body.type ?? (body.input_tokens !== undefined ? 'message_tokens_count' : 'other'),
  event: oneOf(
    exactly({ type: 'message_start', message: message([], null, anthropicUsage) }), exactly({ type: 'ping' }),
    exactly({ type: 'content_block_start', index: integer, content_block: block }),
    exactly({ type: 'content_block_delta', index: integer, delta: oneOf(
      exactly({ type: 'text_delta', text }), exactly({ type: 'thinking_delta', thinking: text }),
      exactly({ type: 'signature_delta', signature: string }), exactly({ type: 'input_json_delta', partial_json: string })) }),
    exactly({ type: 'content_block_stop', index: integer }),
    exactly({ type: 'message_delta', delta: exactly({ stop_reason: stopReason, stop_sequence: oneOf(null, text) }), usage: anthropicUsage }, { truncation }),
    exactly({ type: 'message_stop' })),
  ends: (events) => events.at(-1)?.type === 'message_stop',
  error: exactly({ type: 'error', error: exactly({ type: text, message: text }) }, { request_id: text }),
  refuses: (field) => ({ error: { type: 'invalid_request_error', message: mentions(field) } }),
  message: (body) => body.error.message,
  unauthorised: { error: { type: 'authentication_error' } },
  notFound: { error: { type: 'not_found_error' } },
};

// ---------------------------------------------------------------- Ollama
const ollamaEnd = { done_reason: oneOf('stop', 'length'), total_duration: range(0, 1e12), load_duration: range(0, 1e12),
  prompt_eval_count: count, prompt_eval_duration: range(0, 1e12), eval_count: count, eval_duration: range(0, 1e12) };
const ollamaHead = { model, created_at: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/ };
const ollamaCall = { function: { name: text, arguments: mapOf(() => []) } };
const ollamaChat = (done) => ({ ...ollamaHead, done, message: exactly({ role: 'assistant', content: string },
  { thinking: text, tool_calls: listOf(ollamaCall, 1) }) });
const ollamaText = (done) => ({ ...ollamaHead, done, response: string });
const ollama = {
  whole: { chat: all(ollamaChat(true), ollamaEnd), generate: all(ollamaText(true), ollamaEnd) },
  kindOf: (body) => (body.message ? 'chat' : body.response !== undefined ? 'generate' : 'other'),
  event: oneOf(all(ollamaChat(false), { done_reason: absent }), all(ollamaText(false), { done_reason: absent }),
    all(ollamaChat(true), ollamaEnd), all(ollamaText(true), ollamaEnd)),
  ends: (events) => events.at(-1)?.done === true && events.filter((e) => e.done).length === 1,
  error: exactly({ error: text }),
  refuses: (field) => ({ error: mentions(field) }),
  message: (body) => body.error,
  unauthorised: { error: text },
  notFound: { error: text },
};

// ---------------------------------------------------------------- OpenAI's Responses
const outputItem = oneOf(
  { type: 'reasoning', id: text, summary: listOf({ type: 'summary_text', text: string }), content: listOf({ type: 'reasoning_text', text: string }) },
  { type: 'message', id: text, role: 'assistant', status: oneOf('in_progress', 'completed', 'incomplete'),
    content: listOf({ type: 'output_text', text: string, annotations: [] }) },
  { type: 'function_call', id: text, call_id: text, name: text, arguments: string, status: oneOf('in_progress', 'completed', 'incomplete') });
const response = { id: /^resp_/, object: 'response', created_at: range(1.7e9, 1e10), model,
  status: oneOf('in_progress', 'completed', 'incomplete', 'failed', 'queued'), output: listOf(outputItem), error: nothing };
const responsesUsage = { input_tokens: count, output_tokens: count, total_tokens: count,
  input_tokens_details: { cached_tokens: count }, output_tokens_details: { reasoning_tokens: count } };
const responses = {
  whole: { response: all(response, { status: oneOf('completed', 'incomplete'), usage: responsesUsage }) },
  kindOf: (body) => body.object,
  event: { type: /^response\./, sequence_number: integer },
  ends: (events) => ['response.completed', 'response.incomplete'].includes(events.at(-1)?.type),
  error: openAi.error, refuses: openAi.refuses, message: openAi.message, unauthorised: openAi.unauthorised, notFound: openAi.notFound,
};

// The error names the field as the client wrote it.
function mentions(field) {
  return (v, at) => (typeof v === 'string' && v.includes(field) ? [] : [`${at} is ${JSON.stringify(v)}; it must name ${field}`]);
}

// ---------------------------------------------------------------- Hadal's own
const ids = listOf(integer);
const piece = oneOf(exactly({ text: string }), exactly({ control: text, id: integer }));
const own = { ...openAi,
  whole: {
    render: exactly({ model, prompt: text, pieces: listOf(piece, 1), ids, count: count, max_tokens: count, context: count }, { truncation }),
    tokenize: exactly({ model, ids, tokens: ids, count: count }), detokenize: exactly({ model, text: string, content: string }) },
  kindOf: (body) => (body.pieces ? 'render' : body.ids ? 'tokenize' : body.content !== undefined ? 'detokenize' : 'other') };

export const dialects = { openai: openAi, deepseek: openAi, own, anthropic, ollama, responses };
