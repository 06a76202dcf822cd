// Conversations out of the browser and back: Markdown to read, JSON to keep.
import { shownTurns } from './tree';
import {
  type Conversation, type Effort, type Finish, type Settings, type Turn, defaultSettings, newId,
} from './types';

const format = 'hadal-conversations';
const version = 1;

export interface Headings {
  user: string;
  assistant: string;
  tool: string;
  system: string;
  thinking: string;
  toolCall: string;
}

// A fence longer than any in the text, so that the text cannot close it.
function fenced(text: string, language: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((m) => m[0].length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

function turnToMarkdown(turn: Turn, headings: Headings): string {
  const parts = [`## ${headings[turn.role]}${turn.model ? ` (${turn.model})` : ''}`];
  if (turn.reasoning) {
    const quoted = turn.reasoning.trim().split('\n').map((line) => `> ${line}`.trimEnd());
    parts.push([`> **${headings.thinking}**`, '>', ...quoted].join('\n'));
  }
  if (turn.content) parts.push(turn.content.trim());
  for (const call of turn.toolCalls ?? []) {
    parts.push(`**${headings.toolCall}**: \`${call.name}\``, fenced(call.arguments, 'json'));
  }
  for (const result of turn.results ?? []) parts.push(fenced(result.content, ''));
  if (turn.failure) parts.push(`*${turn.failure.message}*`);
  return parts.join('\n\n');
}

// The shown branch, readable anywhere.
export function toMarkdown(c: Conversation, headings: Headings): string {
  const parts = [`# ${c.title}`];
  if (c.settings.system.trim()) {
    parts.push(`## ${headings.system}`, c.settings.system.trim());
  }
  parts.push(...shownTurns(c).map((turn) => turnToMarkdown(turn, headings)));
  return parts.join('\n\n') + '\n';
}

// Every branch.
export function toJson(conversations: readonly Conversation[]): string {
  return JSON.stringify({ format, version, conversations }, null, 2) + '\n';
}

type Bag = Record<string, unknown>;
const isBag = (v: unknown): v is Bag => typeof v === 'object' && v !== null && !Array.isArray(v);
const text = (v: unknown, otherwise = '') => (typeof v === 'string' ? v : otherwise);
const number = (v: unknown) => (typeof v === 'number' && Number.isFinite(v) ? v : null);
const oneOf = <T extends string>(v: unknown, list: readonly T[], otherwise: T): T =>
  list.includes(v as T) ? (v as T) : otherwise;
const bags = (v: unknown): Bag[] => (Array.isArray(v) ? v.filter(isBag) : []);

const finishes: readonly Finish[] = ['stop', 'length', 'tool_calls', 'stopped', 'failed'];
const efforts: readonly Effort[] = ['', 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'];

export function readSettings(value: unknown): Settings {
  const v = isBag(value) ? value : {};
  return {
    ...defaultSettings,
    model: text(v.model),
    system: text(v.system),
    temperature: number(v.temperature),
    topP: number(v.topP),
    maxTokens: number(v.maxTokens),
    seed: number(v.seed),
    thinking: oneOf(v.thinking, ['default', 'enabled', 'disabled'], 'default'),
    effort: oneOf(v.effort, efforts, ''),
    tools: text(v.tools),
  };
}

function readFigures(v: unknown): Turn['figures'] {
  if (!isBag(v)) return undefined;
  const figures: NonNullable<Turn['figures']> = {
    exact: v.exact === true, completionTokens: number(v.completionTokens) ?? 0,
  };
  if (v.burst === true) figures.burst = true;
  for (const key of ['promptTokens', 'cachedTokens', 'reasoningTokens', 'firstTokenMs',
    'tokensPerSecond'] as const) {
    const n = number(v[key]);
    if (n !== null) figures[key] = n;
  }
  return figures;
}

function readTurn(id: string, v: Bag): Turn {
  const turn: Turn = {
    id,
    parent: typeof v.parent === 'string' ? v.parent : null,
    role: oneOf(v.role, ['user', 'assistant', 'tool'], 'user'),
    created: number(v.created) ?? 0,
    content: text(v.content),
  };
  if (turn.role === 'assistant') {
    turn.finish = oneOf(v.finish, finishes, 'stopped');
    if (text(v.model)) turn.model = text(v.model);
    if (text(v.reasoning)) turn.reasoning = text(v.reasoning);
    if (number(v.reasoningMs) !== null) turn.reasoningMs = number(v.reasoningMs)!;
    const calls = bags(v.toolCalls).map((c) => ({
      id: text(c.id), name: text(c.name), arguments: text(c.arguments),
    }));
    if (calls.length) turn.toolCalls = calls;
    const figures = readFigures(v.figures);
    if (figures) turn.figures = figures;
    if (isBag(v.failure)) turn.failure = { message: text(v.failure.message) };
  } else if (turn.role === 'tool') {
    turn.results = bags(v.results).map((r) => ({
      callId: text(r.callId), content: text(r.content),
    }));
  }
  return turn;
}

function readConversation(v: Bag): Conversation {
  const turns: Record<string, Turn> = {};
  for (const [id, turn] of Object.entries(isBag(v.turns) ? v.turns : {})) {
    if (/^[a-z][\w-]{0,63}$/.test(id) && isBag(turn)) turns[id] = readTurn(id, turn);
  }
  for (const turn of Object.values(turns)) {
    if (turn.parent !== null && !Object.hasOwn(turns, turn.parent)) turn.parent = null;
  }
  const chosen: Record<string, string> = {};
  for (const [key, id] of Object.entries(isBag(v.chosen) ? v.chosen : {})) {
    if (typeof id === 'string' && Object.hasOwn(turns, id)) chosen[key] = id;
  }
  return {
    id: newId(), // an import never overwrites
    title: text(v.title).slice(0, 200),
    renamed: v.renamed === true,
    created: number(v.created) ?? 0,
    updated: number(v.updated) ?? 0,
    settings: readSettings(v.settings),
    turns,
    chosen,
  };
}

// The conversations of an export, or null when the text is not one. Every field is checked: the
// file may come from anyone.
export function fromJson(json: string): Conversation[] | null {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  if (!isBag(value) || value.format !== format || value.version !== version) return null;
  return bags(value.conversations).map(readConversation).filter((c) => Object.keys(c.turns).length);
}

export function fileName(title: string, extension: string): string {
  const safe = title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '').slice(0, 60);
  return `${safe || 'conversation'}.${extension}`;
}
