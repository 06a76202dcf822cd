// The two calls that the page makes: the list of models and a streamed answer.
import { signal } from '@preact/signals';
import { type Chunk, failureOf } from '../model/answer';
import { readEvents } from '../model/sse';
import type { Failure } from '../model/types';
import { apiKey } from './preferences';

export interface ModelCard {
  id: string;
  context_length?: number;
}

export const models = signal<ModelCard[]>([]);
export const modelsFailure = signal<Failure | null>(null);

export class ServerFailure extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

// Their texts are the page's own, in its language.
export const networkFailure: Failure = { message: 'network', code: 'network' };
export const brokenFailure: Failure = { message: 'broken', code: 'broken' };

function headers(): Record<string, string> {
  return apiKey.value ? { Authorization: `Bearer ${apiKey.value}` } : {};
}

async function refused(response: Response): Promise<Failure> {
  let body: Chunk = {};
  try {
    body = (await response.json()) as Chunk;
  } catch {
    // Not JSON: the status says what there is to say.
  }
  return failureOf(body.error, response.status, response.headers.get('Retry-After'));
}

let newestLoad = 0;
export async function loadModels(): Promise<void> {
  const load = ++newestLoad;
  let list: ModelCard[] = [];
  let failure: Failure | null = null;
  try {
    const response = await fetch('/v1/models', { headers: headers() });
    if (response.ok) list = ((await response.json()) as { data: ModelCard[] }).data;
    else failure = await refused(response);
  } catch {
    failure = networkFailure;
  }
  if (load !== newestLoad) return; // a later key was tried meanwhile
  models.value = list;
  modelsFailure.value = failure;
}

export async function streamAnswer(
  body: Record<string, unknown>, signal: AbortSignal, onChunk: (chunk: Chunk) => void,
): Promise<void> {
  const response = await fetch('/v1/chat/completions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers() },
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw new ServerFailure(await refused(response));
  for await (const data of readEvents(response.body!)) {
    if (data === '[DONE]') return;
    onChunk(JSON.parse(data) as Chunk);
  }
}
