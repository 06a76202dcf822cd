// The data of a conversation, as it is stored and exported. Plain values only.

export interface ToolCall {
  id: string;
  name: string;
  arguments: string; // JSON text as the model wrote it
}

export interface ToolResult {
  callId: string;
  content: string;
}

export interface Failure {
  message: string;
  code?: string; // of the server, or 'network'
  field?: string;
  status?: number;
  retryAfterSeconds?: number;
}

// What one answer cost. Without a usage report (a stopped answer) counts are those of the received
// pieces, and `exact` is false.
export interface Figures {
  exact: boolean;
  promptTokens?: number;
  cachedTokens?: number;
  completionTokens: number;
  reasoningTokens?: number;
  firstTokenMs?: number;
  tokensPerSecond?: number;
  burst?: boolean; // it came all at once: the rate is that of the whole answer, a lower bound
}

export type Finish = 'stop' | 'length' | 'tool_calls' | 'stopped' | 'failed';

// One turn. A node of role 'tool' holds the results of all calls of its parent.
export interface Turn {
  id: string;
  parent: string | null;
  role: 'user' | 'assistant' | 'tool';
  created: number;
  content: string;
  reasoning?: string;
  reasoningMs?: number;
  toolCalls?: ToolCall[];
  results?: ToolResult[];
  model?: string;
  finish?: Finish; // of answers; none while it is written
  failure?: Failure;
  figures?: Figures;
}

export type Effort = '' | 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max';

// What is sent with every request of a conversation; null leaves the server's default.
export interface Settings {
  model: string; // '': the first one that the server lists
  system: string;
  temperature: number | null;
  topP: number | null;
  maxTokens: number | null;
  seed: number | null;
  thinking: 'default' | 'enabled' | 'disabled';
  effort: Effort;
  tools: string; // JSON text; '': none
}

export const defaultSettings: Settings = {
  model: '', system: '', temperature: null, topP: null, maxTokens: null, seed: null,
  thinking: 'default', effort: '', tools: '',
};

// Turns form a forest: edits and regenerations are siblings. `chosen` says which child is shown;
// the key '' stands for the roots.
export interface Conversation {
  id: string;
  title: string;
  renamed: boolean; // titles that a person chose are kept
  created: number;
  updated: number;
  settings: Settings;
  turns: Record<string, Turn>;
  chosen: Record<string, string>;
}

export function newId(): string {
  // crypto.randomUUID exists only on HTTPS and loopback; the page also serves plain addresses.
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return 't' + Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}
