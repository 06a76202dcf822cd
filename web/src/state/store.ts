// Conversations in the browser's IndexedDB: short heads for the list, whole bodies beside them. A
// browser that refuses to store keeps them in memory for as long as the page is open.
import type { Conversation } from '../model/types';

export interface Head {
  id: string;
  title: string;
  created: number;
  updated: number;
}

const headOf = ({ id, title, created, updated }: Conversation): Head =>
  ({ id, title, created, updated });

const textOf = (c: Conversation) => [c.title, ...Object.values(c.turns).map((t) => t.content)];

export function matches(c: Conversation, words: readonly string[]): boolean {
  const texts = textOf(c).map((text) => text.toLowerCase());
  return words.every((word) => texts.some((text) => text.includes(word)));
}

export const wordsOf = (query: string) => query.toLowerCase().split(/\s+/).filter(Boolean);

function finished<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export interface Store {
  readonly keeps: boolean; // survives the page
  heads(): Promise<Head[]>;
  get(id: string): Promise<Conversation | undefined>;
  put(c: Conversation): Promise<void>;
  delete(id: string): Promise<void>;
  all(): Promise<Conversation[]>;
  search(query: string): Promise<Set<string>>; // ids
}

class BrowserStore implements Store {
  readonly keeps = true;
  constructor(private db: IDBDatabase) {}

  #open(mode: IDBTransactionMode): [IDBObjectStore, IDBObjectStore, Promise<void>] {
    const transaction = this.db.transaction(['heads', 'bodies'], mode);
    const done = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    done.catch(() => {}); // reads wait for their request instead
    return [transaction.objectStore('heads'), transaction.objectStore('bodies'), done];
  }
  heads() {
    return finished<Head[]>(this.#open('readonly')[0].getAll());
  }
  get(id: string) {
    return finished<Conversation | undefined>(this.#open('readonly')[1].get(id));
  }
  put(c: Conversation) {
    const [heads, bodies, done] = this.#open('readwrite');
    heads.put(headOf(c));
    bodies.put(c);
    return done;
  }
  delete(id: string) {
    const [heads, bodies, done] = this.#open('readwrite');
    heads.delete(id);
    bodies.delete(id);
    return done;
  }
  all() {
    return finished<Conversation[]>(this.#open('readonly')[1].getAll());
  }
  search(query: string) {
    const words = wordsOf(query);
    const ids = new Set<string>();
    const request = this.#open('readonly')[1].openCursor();
    return new Promise<Set<string>>((resolve, reject) => {
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) return resolve(ids);
        const c = cursor.value as Conversation;
        if (matches(c, words)) ids.add(c.id);
        cursor.continue();
      };
    });
  }
}

export class MemoryStore implements Store {
  readonly keeps = false;
  #bodies = new Map<string, Conversation>();
  heads = async () => [...this.#bodies.values()].map(headOf);
  get = async (id: string) => this.#bodies.get(id);
  put = async (c: Conversation) => void this.#bodies.set(c.id, c);
  delete = async (id: string) => void this.#bodies.delete(id);
  all = async () => [...this.#bodies.values()];
  search = async (query: string) => {
    const words = wordsOf(query);
    return new Set((await this.all()).filter((c) => matches(c, words)).map((c) => c.id));
  };
}

export async function openStore(): Promise<Store> {
  try {
    const request = indexedDB.open('hadal', 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('heads', { keyPath: 'id' });
      request.result.createObjectStore('bodies', { keyPath: 'id' });
    };
    return new BrowserStore(await finished(request));
  } catch {
    return new MemoryStore();
  }
}
