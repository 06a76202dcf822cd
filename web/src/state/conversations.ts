// The conversations of this page: the list, the one that is shown, those that are loaded. Changes
// go to the store; other tabs hear of them.
import { type Signal, computed, signal } from '@preact/signals';
import { fromJson } from '../model/transfer';
import { newConversation, patchTurn } from '../model/tree';
import type { Conversation, Settings } from '../model/types';
import { defaults } from './preferences';
import { type Head, MemoryStore, type Store, openStore } from './store';

let store: Store = new MemoryStore();
export const storageWorks = signal(true);
export const heads = signal<Head[]>([]);
export const running = signal<ReadonlySet<string>>(new Set()); // ids with an answer under way

const loaded = new Map<string, Signal<Conversation>>();
const fresh = () => signal(newConversation(defaults.value, Date.now()));
const shown = signal<Signal<Conversation>>(fresh());
export const current = computed(() => shown.value.value);

const tabs = 'BroadcastChannel' in globalThis ? new BroadcastChannel('hadal') : null;

async function refreshHeads(): Promise<void> {
  heads.value = (await store.heads()).sort((a, b) => b.updated - a.updated);
}

// What was being written when its page closed is stopped.
function settled(c: Conversation): Conversation {
  return Object.values(c.turns).filter((turn) => turn.role === 'assistant' && !turn.finish)
    .reduce((all, turn) => patchTurn(all, turn.id, { finish: 'stopped' }), c);
}

async function load(id: string): Promise<Signal<Conversation> | undefined> {
  const known = loaded.get(id);
  if (known) return known;
  const body = await store.get(id);
  if (!body) return undefined;
  const entry = signal(settled(body));
  loaded.set(id, entry);
  return entry;
}

export async function startConversations(): Promise<void> {
  store = await openStore();
  storageWorks.value = store.keeps;
  await refreshHeads();
  addEventListener('hashchange', () => void openFromAddress());
  tabs?.addEventListener('message', (event: MessageEvent<string>) => void onOtherTab(event.data));
  await openFromAddress();
}

async function onOtherTab(id: string): Promise<void> {
  await refreshHeads();
  const entry = loaded.get(id);
  if (!entry || running.value.has(id)) return;
  const body = await store.get(id);
  if (body) entry.value = settled(body);
}

async function openFromAddress(): Promise<void> {
  const id = location.hash.slice(1);
  if (id === shown.value.value.id) return;
  const entry = id ? await load(id) : undefined;
  shown.value = entry ?? fresh();
}

export async function openChat(id: string): Promise<void> {
  const entry = await load(id);
  if (!entry) return;
  shown.value = entry;
  if (location.hash !== `#${id}`) history.pushState(null, '', `#${id}`);
}

export function newChat(): void {
  shown.value = fresh();
  history.pushState(null, '', location.pathname);
}

// undefined: it was deleted meanwhile.
export function change(
  id: string, edit: (c: Conversation) => Conversation,
): Conversation | undefined {
  const entry = loaded.get(id) ?? (current.value.id === id ? shown.value : undefined);
  if (entry) entry.value = edit(entry.value);
  return entry?.value;
}

export function changeSettings(settings: Settings): void {
  const { id } = current.value;
  change(id, (c) => ({ ...c, settings }));
  if (loaded.has(id)) void save(id);
}

// A new conversation is kept from its first message on.
export function keepCurrent(): void {
  const { id } = current.value;
  if (loaded.has(id)) return;
  loaded.set(id, shown.value);
  history.replaceState(null, '', `#${id}`);
}

export async function save(id: string): Promise<void> {
  const entry = loaded.get(id);
  if (!entry) return;
  try {
    await store.put(entry.value);
  } catch {
    storageWorks.value = false; // full, or taken away
  }
  tabs?.postMessage(id);
  await refreshHeads();
}

export async function rename(id: string, title: string): Promise<void> {
  if (!(await load(id))) return;
  change(id, (c) => ({ ...c, title, renamed: true }));
  await save(id);
}

export async function remove(id: string): Promise<void> {
  await store.delete(id);
  loaded.delete(id);
  if (current.value.id === id) newChat();
  tabs?.postMessage(id);
  await refreshHeads();
}

export async function bodyOf(id: string): Promise<Conversation | undefined> {
  return (await load(id))?.value;
}

export const allBodies = () => store.all();
export const search = (query: string) => store.search(query);

// How many came in; null: the text is no export.
export async function importJson(json: string): Promise<number | null> {
  const conversations = fromJson(json);
  if (!conversations) return null;
  for (const c of conversations) await store.put(c);
  await refreshHeads();
  if (conversations.length === 1) await openChat(conversations[0]!.id);
  return conversations.length;
}
