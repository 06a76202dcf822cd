// One question asked in every dialect, and the answers in one form: what holds "on every dialect" is said
// once. Questions are OpenAI's: messages, thinking, tools, choice, schema, max_tokens, stop, stream.
// Answers: {status, error, text, thinking, calls: [{name, arguments}], finish, prompt, cached, raw}.
import { model } from './hadal.mjs';

const functionOf = (t) => t.function;
const openAiBody = (q) => ({ model, messages: q.messages, max_tokens: q.max_tokens, temperature: q.temperature ?? 0, stream: q.stream, stop: q.stop, seed: q.seed,
  thinking: { type: q.thinking ? 'enabled' : 'disabled' }, tools: q.tools, tool_choice: q.choice,
  ...(q.schema ? { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: q.schema } } } : {}) });

function fromOpenAi({ json }) {
  const { message, finish_reason } = json.choices[0];
  return { text: message.content, thinking: message.reasoning_content ?? '', finish: finish_reason,
    calls: (message.tool_calls ?? []).map((c) => ({ name: c.function.name, arguments: c.function.arguments })),
    prompt: json.usage.prompt_tokens, cached: json.usage.prompt_tokens_details.cached_tokens };
}
function fromOpenAiStream(events) {
  const out = { text: '', thinking: '', finish: null, calls: [], pieces: [] };
  for (const { choices, usage } of events) {
    if (usage) Object.assign(out, { prompt: usage.prompt_tokens, cached: usage.prompt_tokens_details.cached_tokens });
    const delta = choices[0]?.delta ?? {};
    out.text += delta.content ?? '';
    out.thinking += delta.reasoning_content ?? '';
    for (const c of delta.tool_calls ?? []) {
      if (c.id) out.calls[c.index] = { name: c.function.name, arguments: '' };
      out.calls[c.index].arguments += c.function.arguments;
    }
    out.pieces.push(delta.content ?? '', delta.reasoning_content ?? '', ...(delta.tool_calls ?? []).map((c) => c.function.arguments));
    out.finish = choices[0]?.finish_reason ?? out.finish;
  }
  return out;
}
// Text completions, of one choice; Ollama's generate is one too.
const textWhole = ({ json }) => ({ text: json.choices[0].text, finish: json.choices[0].finish_reason });
const textStream = (events) => ({ text: events.map((e) => e.choices[0]?.text ?? '').join(''), finish: events.map((e) => e.choices[0]?.finish_reason).find(Boolean) });
const generateStream = (events) => ({ text: events.map((e) => e.response).join(''), thinking: events.map((e) => e.thinking ?? '').join(''), finish: events.at(-1).done_reason });

const openAi = (path) => ({ path, body: openAiBody, whole: fromOpenAi, stream: fromOpenAiStream, error: (json) => json.error.message });

const responses = {
  path: '/v1/responses',
  body: (q) => ({ model, input: q.messages, max_output_tokens: q.max_tokens, temperature: q.temperature ?? 0, stream: q.stream,
    reasoning: { effort: q.thinking ? 'high' : 'none' }, tools: q.tools?.map((t) => ({ type: 'function', ...functionOf(t) })),
    tool_choice: typeof q.choice === 'object' ? { type: 'function', name: q.choice.function.name } : q.choice,
    ...(q.schema ? { text: { format: { type: 'json_schema', name: 'answer', schema: q.schema } } } : {}) }),
  whole({ json }) {
    const of = (type) => json.output.filter((o) => o.type === type);
    const texts = (items) => items.flatMap((o) => o.content.map((c) => c.text)).join('');
    return { text: texts(of('message')), thinking: texts(of('reasoning')), finish: json.incomplete_details ? 'length' : 'stop',
      calls: of('function_call').map((c) => ({ name: c.name, arguments: c.arguments })),
      prompt: json.usage.input_tokens, cached: json.usage.input_tokens_details.cached_tokens };
  },
  stream(events) {
    const last = events.at(-1).response;
    const out = this.whole({ json: last });
    const joined = (type) => events.filter((e) => e.type === type).map((e) => e.delta);
    out.text = joined('response.output_text.delta').join('');
    out.thinking = joined('response.reasoning_text.delta').join('');
    const pieces = (i) => events.filter((e) => e.type === 'response.function_call_arguments.delta' && e.output_index === i);
    const added = events.filter((e) => e.type === 'response.output_item.added' && e.item.type === 'function_call');
    out.calls = added.map((e) => ({ name: e.item.name, arguments: pieces(e.output_index).map((p) => p.delta).join('') }));
    out.pieces = events.filter((e) => e.delta !== undefined).map((e) => e.delta);
    return out;
  },
  error: (json) => json.error.message,
};

const anthropicMessages = (messages) => messages.filter((m) => m.role !== 'system').map((m) => ({ role: m.role, content: m.content }));
const anthropic = {
  path: '/v1/messages',
  body: (q) => ({ model, messages: anthropicMessages(q.messages), max_tokens: q.max_tokens ?? 200, temperature: Math.min(q.temperature ?? 0, 1), stream: q.stream,
    system: q.messages.filter((m) => m.role === 'system').map((m) => ({ type: 'text', text: m.content })), stop_sequences: q.stop,
    thinking: { type: q.thinking ? 'adaptive' : 'disabled' }, tools: q.tools?.map(functionOf).map((f) => ({ name: f.name, description: f.description, input_schema: f.parameters })),
    tool_choice: q.choice && (typeof q.choice === 'object' ? { type: 'tool', name: q.choice.function.name } : { type: { required: 'any' }[q.choice] ?? q.choice }),
    ...(q.schema ? { output_config: { format: { type: 'json_schema', schema: q.schema } } } : {}) }),
  whole({ json }) {
    const of = (type) => json.content.filter((b) => b.type === type);
    return { text: of('text').map((b) => b.text).join(''), thinking: of('thinking').map((b) => b.thinking).join(''),
      calls: of('tool_use').map((b) => ({ name: b.name, arguments: JSON.stringify(b.input) })),
      finish: { max_tokens: 'length', tool_use: 'tool_calls' }[json.stop_reason] ?? 'stop',
      prompt: json.usage.input_tokens + json.usage.cache_read_input_tokens, cached: json.usage.cache_read_input_tokens };
  },
  stream(events) {
    const blocks = [], pieces = [];
    for (const e of events) {
      if (e.type === 'content_block_start') blocks[e.index] = { ...e.content_block, json: '' };
      if (e.type !== 'content_block_delta') continue;
      const { text = '', thinking = '', partial_json = '' } = e.delta;
      const block = blocks[e.index];
      if (text) block.text += text;
      if (thinking) block.thinking += thinking;
      block.json += partial_json;
      pieces.push(text, thinking, partial_json);
    }
    for (const b of blocks) if (b.type === 'tool_use') b.input = JSON.parse(b.json);
    const { delta, usage } = events.find((e) => e.type === 'message_delta');
    return { ...this.whole({ json: { content: blocks, stop_reason: delta.stop_reason, usage } }), pieces };
  },
  error: (json) => json.error.message,
};

const ollama = {
  path: '/api/chat',
  body: (q) => ({ model, messages: q.messages, stream: q.stream ?? false, think: Boolean(q.thinking), tools: q.tools, format: q.schema,
    options: { temperature: q.temperature ?? 0, num_predict: q.max_tokens, stop: q.stop, seed: q.seed } }),
  whole: ({ json }) => ollama.stream([json]),
  stream(events) {
    const last = events.at(-1);
    const calls = events.flatMap((e) => e.message.tool_calls ?? []);
    return { text: events.map((e) => e.message.content).join(''), thinking: events.map((e) => e.message.thinking ?? '').join(''),
      calls: calls.map((c) => ({ name: c.function.name, arguments: JSON.stringify(c.function.arguments) })),
      finish: calls.length > 0 ? 'tool_calls' : last.done_reason, prompt: last.prompt_eval_count, cached: undefined,
      pieces: events.flatMap((e) => [e.message.content, e.message.thinking ?? '']) };
  },
  error: (json) => json.error,
};

export const dialects = { openai: openAi('/v1/chat/completions'), deepseek: openAi('/chat/completions'), responses, anthropic, ollama };

function eventsOf(text) {
  const lines = text.split('\n');
  const data = text.includes('data: ') ? lines.filter((l) => l.startsWith('data: {')).map((l) => l.slice(6)) : lines.filter(Boolean);
  return data.map((l) => JSON.parse(l));
}

// How an answer of a path is read, whole and as a stream.
export function readerOf(path) {
  if (path.endsWith('/chat/completions')) return dialects.openai;
  if (path.endsWith('/completions')) return { whole: textWhole, stream: textStream };
  if (path.endsWith('/api/generate')) return { whole: ({ json }) => generateStream([json]), stream: generateStream };
  return Object.values(dialects).find((d) => path.endsWith(d.path));
}

// `more` goes into the body as it is.
export async function ask(server, name, question, more = {}) {
  const d = dialects[name];
  const r = await server.request('POST', d.path, { ...d.body(question), ...more });
  if (r.status !== 200) return { status: r.status, error: d.error(r.json), raw: r };
  const answer = question.stream ? d.stream(eventsOf(r.text)) : d.whole(r);
  return { status: 200, ...answer, raw: r };
}
