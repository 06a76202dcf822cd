// An answer while it streams: chunks are folded in, the turn's fields come out. Time is passed in.
import type { Failure, Figures, Finish, ToolCall, Turn } from './types';

interface CallPiece {
  index?: number;
  id?: string;
  function?: { name?: string; arguments?: string };
}

export interface Chunk {
  model?: string;
  choices?: {
    delta?: { content?: string | null; reasoning_content?: string | null; tool_calls?: CallPiece[] };
    finish_reason?: string | null;
  }[];
  usage?: {
    prompt_tokens?: number;
    completion_tokens?: number;
    prompt_tokens_details?: { cached_tokens?: number };
    completion_tokens_details?: { reasoning_tokens?: number };
  } | null;
  error?: { message?: string; type?: string; param?: string | null; code?: string | null };
}

export function failureOf(error: Chunk['error'], status?: number, retryAfter?: string | null): Failure {
  const failure: Failure = { message: error?.message || `HTTP ${status ?? ''}`.trim() };
  if (error?.code) failure.code = error.code;
  if (error?.param) failure.field = error.param;
  if (status !== undefined) failure.status = status;
  if (Number(retryAfter) > 0) failure.retryAfterSeconds = Number(retryAfter);
  return failure;
}

// Pieces that come closer together than this were waiting in a queue: they tell no speed.
const burstMs = 100;

export class Answer {
  #content = '';
  #reasoning = '';
  #calls: ToolCall[] = [];
  #finish: Finish | undefined;
  #failure: Failure | undefined;
  #usage: Chunk['usage'];
  #pieces = 0;
  #reasoningPieces = 0;
  #firstMs: number | undefined;
  #lastMs = 0;
  #reasoningEndMs = 0;

  constructor(readonly startMs: number) {}

  get done(): boolean {
    return this.#finish !== undefined;
  }

  get started(): boolean {
    return this.#pieces > 0;
  }

  add(chunk: Chunk, nowMs: number): void {
    if (chunk.error) return this.fail(failureOf(chunk.error));
    if (chunk.usage) this.#usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    const { content, reasoning_content: reasoning, tool_calls: calls } = choice.delta ?? {};
    if (content || reasoning || calls?.length) {
      this.#firstMs ??= nowMs;
      this.#lastMs = nowMs;
      this.#pieces++;
    }
    if (reasoning) {
      this.#reasoning += reasoning;
      this.#reasoningPieces++;
      this.#reasoningEndMs = nowMs;
    }
    if (content) this.#content += content;
    for (const piece of calls ?? []) this.#addCall(piece);
    if (choice.finish_reason) this.#finish = finishOf(choice.finish_reason);
  }

  #addCall(piece: CallPiece): void {
    const index = piece.index ?? Math.max(0, this.#calls.length - 1);
    if (index > this.#calls.length) return; // a gap: not the shape that was agreed on
    const call = (this.#calls[index] ??= { id: '', name: '', arguments: '' });
    this.#calls[index] = {
      id: piece.id || call.id,
      name: call.name + (piece.function?.name ?? ''),
      arguments: call.arguments + (piece.function?.arguments ?? ''),
    };
  }

  fail(failure: Failure): void {
    this.#failure = failure;
    this.#finish = 'failed';
  }

  stop(): void {
    this.#finish = 'stopped';
  }

  // The fields that changed since the turn was made.
  fields(nowMs: number): Partial<Turn> {
    const out: Partial<Turn> = { content: this.#content };
    if (this.#reasoning) {
      out.reasoning = this.#reasoning;
      const thinking = !this.#content && !this.#calls.length && !this.#finish;
      out.reasoningMs = (thinking ? nowMs : this.#reasoningEndMs) - this.startMs;
    }
    if (this.#calls.length) out.toolCalls = this.#calls.slice();
    if (this.#pieces || this.#usage) out.figures = this.#figures();
    if (this.#finish) out.finish = this.#finish;
    if (this.#failure) out.failure = this.#failure;
    return out;
  }

  #figures(): Figures {
    const usage = this.#usage;
    const completionTokens = usage?.completion_tokens ?? this.#pieces;
    const figures: Figures = { exact: usage?.completion_tokens !== undefined, completionTokens };
    const reasoning = usage?.completion_tokens_details?.reasoning_tokens ?? this.#reasoningPieces;
    if (this.#reasoning) figures.reasoningTokens = reasoning;
    if (usage?.prompt_tokens !== undefined) {
      figures.promptTokens = usage.prompt_tokens;
      figures.cachedTokens = usage.prompt_tokens_details?.cached_tokens ?? 0;
    }
    if (this.#firstMs !== undefined) {
      figures.firstTokenMs = this.#firstMs - this.startMs;
      const decodeMs = this.#lastMs - this.#firstMs;
      if (decodeMs >= burstMs && completionTokens > 1) {
        figures.tokensPerSecond = ((completionTokens - 1) * 1000) / decodeMs;
      } else if (this.#lastMs > this.startMs) {
        figures.tokensPerSecond = (completionTokens * 1000) / (this.#lastMs - this.startMs);
        figures.burst = true;
      }
    }
    return figures;
  }
}

function finishOf(reason: string): Finish {
  if (reason === 'length' || reason === 'tool_calls') return reason;
  return reason === 'cancelled' ? 'stopped' : reason === 'error' ? 'failed' : 'stop';
}
