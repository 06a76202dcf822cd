// A conversation to the body of POST /v1/chat/completions.
import type { Settings, Turn } from './types';

interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
  reasoning_content?: string;
  tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: string } }[];
  tool_call_id?: string;
}

function messagesOf(turn: Turn): Message[] {
  if (turn.role === 'user') return [{ role: 'user', content: turn.content }];
  if (turn.role === 'tool') {
    return (turn.results ?? []).map((r) => ({
      role: 'tool', tool_call_id: r.callId, content: r.content,
    }));
  }
  if (!turn.content && !turn.reasoning && !turn.toolCalls?.length) return []; // it failed
  const message: Message = { role: 'assistant', content: turn.content };
  if (turn.reasoning) message.reasoning_content = turn.reasoning;
  if (turn.toolCalls?.length) {
    message.tool_calls = turn.toolCalls.map((call) => ({
      id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments },
    }));
  }
  return [message];
}

export interface ToolList {
  tools: unknown[];
  problem: '' | 'json' | 'list' | 'function'; // what is wrong with the text
  detail?: string;
}

// What a person typed as tools. A bare function object becomes {type: "function", function}.
export function readTools(text: string): ToolList {
  if (!text.trim()) return { tools: [], problem: '' };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { tools: [], problem: 'json', detail: (error as Error).message };
  }
  const list = Array.isArray(value) ? value : [value];
  const tools: unknown[] = [];
  for (const item of list) {
    if (typeof item !== 'object' || item === null) return { tools: [], problem: 'list' };
    const tool = 'function' in item ? item : { type: 'function', function: item };
    const name = (tool as { function?: { name?: unknown } }).function?.name;
    if (typeof name !== 'string' || !name) return { tools: [], problem: 'function' };
    tools.push(tool);
  }
  return { tools, problem: '' };
}

export function requestBody(
  settings: Settings, model: string, path: readonly Turn[],
): Record<string, unknown> {
  const messages: Message[] = path.flatMap(messagesOf);
  if (settings.system.trim()) messages.unshift({ role: 'system', content: settings.system });
  const body: Record<string, unknown> = {
    model, messages, stream: true, stream_options: { include_usage: true },
  };
  if (settings.temperature !== null) body.temperature = settings.temperature;
  if (settings.topP !== null) body.top_p = settings.topP;
  if (settings.maxTokens !== null) body.max_tokens = settings.maxTokens;
  if (settings.seed !== null) body.seed = settings.seed;
  if (settings.thinking !== 'default') body.thinking = { type: settings.thinking };
  if (settings.effort) body.reasoning_effort = settings.effort;
  const { tools } = readTools(settings.tools);
  if (tools.length) body.tools = tools;
  return body;
}
