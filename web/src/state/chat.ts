// What a person does in a conversation: ask, stop, edit, regenerate, give a tool's results. Each
// answer is a new turn; its text comes in once per animation frame, however fast the server is.
import { batch, signal } from '@preact/signals';
import { Answer } from '../model/answer';
import { requestBody } from '../model/request';
import { addTurn, patchTurn, pathTo, removeTurn, shownTurns, titleOf } from '../model/tree';
import { type Conversation, type ToolResult, type Turn, newId } from '../model/types';
import { change, current, keepCurrent, running, save } from './conversations';
import {
  ServerFailure, brokenFailure, loadModels, models, modelsFailure, networkFailure, streamAnswer,
} from './server';

const saveEveryMs = 2000;
const hiddenFlushMs = 250; // a hidden page has no animation frames

const aborts = new Map<string, AbortController>();
export const sent = signal(0); // counts what the person sent: the view goes to the end

export function modelOf(c: Conversation): string {
  const wanted = c.settings.model;
  if (models.value.some((model) => model.id === wanted)) return wanted;
  return models.value[0]?.id ?? '';
}

function setRunning(id: string, on: boolean): void {
  const next = new Set(running.value);
  if (on) next.add(id);
  else next.delete(id);
  running.value = next;
}

function newTurn(parent: string | null, role: Turn['role'], content: string): Turn {
  return { id: newId(), parent, role, created: Date.now(), content };
}

// Calls `flush` once per frame at most.
function perFrame(flush: () => void): () => void {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    const run = () => {
      waiting = false;
      flush();
    };
    if (document.hidden) setTimeout(run, hiddenFlushMs);
    else requestAnimationFrame(run);
  };
}

async function stream(c: Conversation, turn: Turn, answer: Answer, abort: AbortController) {
  let savedMs = performance.now();
  const flush = () => {
    if (answer.done) return; // the last state is written below
    change(c.id, (all) => patchTurn(all, turn.id, answer.fields(performance.now())));
    if (performance.now() - savedMs < saveEveryMs) return;
    savedMs = performance.now();
    void save(c.id);
  };
  const schedule = perFrame(flush);
  try {
    const body = requestBody(c.settings, turn.model!, pathTo(c, turn.parent));
    await streamAnswer(body, abort.signal, (chunk) => {
      answer.add(chunk, performance.now());
      schedule();
    });
    if (!answer.done) answer.fail(brokenFailure);
  } catch (error) {
    if (abort.signal.aborted) answer.stop();
    else if (error instanceof ServerFailure) answer.fail(error.failure);
    else if (!answer.done) answer.fail(answer.started ? brokenFailure : networkFailure);
  }
}

async function answerTo(id: string, parent: string): Promise<void> {
  if (running.value.has(id)) return;
  const abort = new AbortController();
  aborts.set(id, abort);
  const turn = newTurn(parent, 'assistant', '');
  batch(() => {
    setRunning(id, true);
    change(id, (c) => addTurn(c, turn));
    sent.value++;
  });
  if (!models.value.length) await loadModels();
  const c = change(id, (all) => patchTurn(all, turn.id, { model: modelOf(all) }));
  if (!c) return;
  void save(id);
  const answer = new Answer(performance.now());
  if (modelsFailure.value) answer.fail(modelsFailure.value);
  else await stream(c, c.turns[turn.id]!, answer, abort);
  batch(() => {
    aborts.delete(id);
    setRunning(id, false);
    change(id, (all) => ({
      ...patchTurn(all, turn.id, answer.fields(performance.now())), updated: Date.now(),
    }));
  });
  await save(id);
}

export async function ask(text: string): Promise<void> {
  const c = current.value;
  if (running.value.has(c.id)) return;
  keepCurrent();
  const turn = newTurn(shownTurns(c).at(-1)?.id ?? null, 'user', text);
  change(c.id, (all) => addTurn({ ...all, title: all.title || titleOf(text) }, turn));
  await answerTo(c.id, turn.id);
}

export function stop(id: string = current.value.id): void {
  aborts.get(id)?.abort();
}

export async function editMessage(turn: Turn, text: string): Promise<void> {
  const c = current.value;
  if (running.value.has(c.id)) return;
  const edited = newTurn(turn.parent, 'user', text);
  const first = turn.parent === null && !c.renamed;
  change(c.id, (all) => addTurn({ ...all, title: first ? titleOf(text) : all.title }, edited));
  await answerTo(c.id, edited.id);
}

export async function regenerate(turn: Turn): Promise<void> {
  const c = current.value;
  if (running.value.has(c.id)) return;
  const empty = !turn.content && !turn.reasoning && !turn.toolCalls;
  if (turn.finish === 'failed' && empty) change(c.id, (all) => removeTurn(all, turn.id));
  await answerTo(c.id, turn.parent!);
}

export async function sendResults(turn: Turn, results: ToolResult[]): Promise<void> {
  const c = current.value;
  if (running.value.has(c.id)) return;
  const tool: Turn = { ...newTurn(turn.id, 'tool', ''), results };
  change(c.id, (all) => addTurn(all, tool));
  await answerTo(c.id, tool.id);
}
