// The tree of turns: every change returns a new conversation, so that views compare by identity.
import { type Conversation, type Settings, type Turn, newId } from './types';

const rootKey = '';
const keyOf = (parent: string | null) => parent ?? rootKey;

export function newConversation(settings: Settings, now: number): Conversation {
  return {
    id: newId(), title: '', renamed: false, created: now, updated: now, settings, turns: {},
    chosen: {},
  };
}

export function siblings(c: Conversation, turn: Turn): Turn[] {
  return Object.values(c.turns).filter((other) => other.parent === turn.parent);
}

// The turns that are shown, first to last.
export function shownTurns(c: Conversation): Turn[] {
  const children = new Map<string, Turn[]>();
  for (const turn of Object.values(c.turns)) {
    const key = keyOf(turn.parent);
    const list = children.get(key);
    if (list) list.push(turn);
    else children.set(key, [turn]);
  }
  const path: Turn[] = [];
  for (let key = rootKey; ;) {
    const list = children.get(key);
    if (!list) return path;
    const next = list.find((turn) => turn.id === c.chosen[key]) ?? list[list.length - 1]!;
    path.push(next);
    children.delete(key); // a damaged import cannot loop
    key = next.id;
  }
}

// From the root down to the turn itself.
export function pathTo(c: Conversation, id: string | null): Turn[] {
  const path: Turn[] = [];
  const seen = new Set<string>();
  for (let at = id; at !== null && !seen.has(at);) {
    const turn: Turn | undefined = c.turns[at];
    if (!turn) break;
    seen.add(at);
    path.push(turn);
    at = turn.parent;
  }
  return path.reverse();
}

export function addTurn(c: Conversation, turn: Turn): Conversation {
  return {
    ...c,
    updated: turn.created,
    turns: { ...c.turns, [turn.id]: turn },
    chosen: { ...c.chosen, [keyOf(turn.parent)]: turn.id },
  };
}

export function patchTurn(c: Conversation, id: string, change: Partial<Turn>): Conversation {
  const turn = c.turns[id];
  return turn ? { ...c, turns: { ...c.turns, [id]: { ...turn, ...change } } } : c;
}

export function removeTurn(c: Conversation, id: string): Conversation {
  const { [id]: _removed, ...turns } = c.turns;
  return { ...c, turns };
}

export function choose(c: Conversation, turn: Turn): Conversation {
  return { ...c, chosen: { ...c.chosen, [keyOf(turn.parent)]: turn.id } };
}

// The sibling `step` places away, or none.
export function neighbour(c: Conversation, turn: Turn, step: number): Turn | undefined {
  const list = siblings(c, turn);
  return list[list.findIndex((other) => other.id === turn.id) + step];
}

const maxTitle = 60;

export function titleOf(text: string): string {
  const line = text.trim().split('\n', 1)[0]!.trim();
  const characters = [...line];
  return characters.length <= maxTitle ? line : characters.slice(0, maxTitle - 1).join('') + '…';
}
