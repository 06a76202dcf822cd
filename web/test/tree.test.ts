import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addTurn, choose, neighbour, newConversation, patchTurn, pathTo, removeTurn, shownTurns, siblings,
  titleOf,
} from '../src/model/tree';
import { type Conversation, type Turn, defaultSettings } from '../src/model/types';

const turn = (id: string, parent: string | null, role: Turn['role'] = 'user'): Turn =>
  ({ id, parent, role, created: 1, content: id });
const build = (...turns: Turn[]): Conversation =>
  turns.reduce(addTurn, newConversation(defaultSettings, 0));
const ids = (turns: Turn[]) => turns.map((t) => t.id).join(' ');

const branched = build(turn('a', null), turn('b', 'a', 'assistant'), turn('c', 'b'),
  turn('d', 'c', 'assistant'), turn('c2', 'b'), turn('d2', 'c2', 'assistant'));

test('the newest branch is shown, and an older one when it is chosen', () => {
  assert.equal(ids(shownTurns(branched)), 'a b c2 d2');
  assert.equal(ids(shownTurns(choose(branched, branched.turns.c!))), 'a b c d');
});

test('a root can have siblings too', () => {
  const two = addTurn(branched, turn('a2', null));
  assert.equal(ids(shownTurns(two)), 'a2');
  assert.equal(ids(shownTurns(choose(two, two.turns.a!))), 'a b c2 d2');
  assert.equal(siblings(two, two.turns.a2!).length, 2);
});

test('neighbours are the versions before and after', () => {
  assert.equal(neighbour(branched, branched.turns.c!, 1)?.id, 'c2');
  assert.equal(neighbour(branched, branched.turns.c!, -1), undefined);
  assert.equal(neighbour(branched, branched.turns.c2!, 1), undefined);
});

test('the path to a turn goes through its own branch, whatever is shown', () => {
  assert.equal(ids(pathTo(branched, 'd')), 'a b c d');
  assert.equal(ids(pathTo(branched, null)), '');
});

test('a change leaves the old conversation and other turns as they are', () => {
  const next = patchTurn(branched, 'd2', { content: 'new' });
  assert.equal(branched.turns.d2!.content, 'd2');
  assert.equal(next.turns.d2!.content, 'new');
  assert.equal(next.turns.a, branched.turns.a);
  assert.equal(patchTurn(branched, 'none', { content: 'x' }), branched);
});

test('when a chosen turn is removed its sibling is shown', () => {
  assert.equal(ids(shownTurns(removeTurn(branched, 'c2'))), 'a b c d');
});

test('a loop of parents ends', () => {
  const loop: Conversation = { ...branched,
    turns: { a: turn('a', 'b'), b: turn('b', 'a'), r: turn('r', null), s: turn('s', 'r') } };
  assert.equal(ids(shownTurns(loop)), 'r s');
  assert.ok(pathTo(loop, 'a').length <= 2);
});

test('a title is the first line, cut between whole characters', () => {
  assert.equal(titleOf('  hello\nworld'), 'hello');
  assert.equal([...titleOf('𝒳'.repeat(100))].length, 60);
  assert.ok(titleOf('𝒳'.repeat(100)).endsWith('𝒳…'));
});
