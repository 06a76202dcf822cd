// The small language in which a row says what an answer must look like.
//
// A value matches itself; an object matches by the members that it names; an array matches element by
// element, so its length counts; a regular expression matches a string. What follows stands for more
// than one value. Every matcher returns the differences that it found, as sentences.
import { isDeepStrictEqual } from 'node:util';

const show = (v) => {
  const text = v === undefined ? 'nothing' : typeof v === 'function' ? v.says ?? 'a matcher' : JSON.stringify(v);
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
};
const matcher = (says, find) => Object.assign(find, { says });
const when = (says, holds) => matcher(says, (v, at) => (holds(v) ? [] : [`${at} is ${show(v)}; it must be ${says}`]));

export function differences(actual, expected, at = 'answer') {
  if (typeof expected === 'function') return expected(actual, at);
  if (expected instanceof RegExp) {
    return typeof actual === 'string' && expected.test(actual) ? [] : [`${at} is ${show(actual)}; it must match ${expected}`];
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) {
      return [`${at} is ${show(actual)}; it must be a list of ${expected.length}`];
    }
    return expected.flatMap((e, i) => differences(actual[i], e, `${at}[${i}]`));
  }
  if (expected !== null && typeof expected === 'object') {
    if (actual === null || typeof actual !== 'object') return [`${at} is ${show(actual)}; it must be an object`];
    return Object.entries(expected).flatMap(([key, e]) => differences(actual[key], e, `${at}.${key}`));
  }
  return isDeepStrictEqual(actual, expected) ? [] : [`${at} is ${show(actual)}; it must be ${show(expected)}`];
}
const matches = (v, e) => differences(v, e).length === 0;

export const absent = when('left out', (v) => v === undefined);
export const any = when('there', (v) => v !== undefined);
export const string = when('a string', (v) => typeof v === 'string');
export const text = when('a string that is not empty', (v) => typeof v === 'string' && v !== '');
export const boolean = when('a boolean', (v) => typeof v === 'boolean');
export const number = when('a number', (v) => typeof v === 'number' && Number.isFinite(v));
export const integer = when('an integer', Number.isInteger);
export const range = (min, max) => when(`from ${min} to ${max}`, (v) => typeof v === 'number' && v >= min && v <= max);
export const listOf = (each, min = 0, max = Infinity) => matcher('a list', (v, at) => {
  if (!Array.isArray(v) || v.length < min || v.length > max) return [`${at} is ${show(v)}; it must be a list of ${min} to ${max}`];
  return v.flatMap((x, i) => differences(x, each, `${at}[${i}]`));
});
export const mapOf = (each, min = 0) => matcher('an object', (v, at) => {
  if (v === null || typeof v !== 'object' || Object.keys(v).length < min) return [`${at} is ${show(v)}; it must be an object of ${min} or more`];
  return Object.entries(v).flatMap(([k, x]) => differences(x, each, `${at}.${k}`));
});
export const oneOf = (...options) => when(`one of ${options.map(show).join(', ')}`, (v) => options.some((o) => matches(v, o)));
export const all = (...parts) => matcher('all of these', (v, at) => parts.flatMap((p) => differences(v, p, at)));
export const not = (e) => when(`anything but ${e instanceof RegExp ? e : show(e)}`, (v) => !matches(v, e));
// Nothing but these members, each as said; the optional ones may be left out.
export const exactly = (members, optional = {}) => matcher('an object', (v, at) => [
  ...differences(v, members, at),
  ...Object.keys(v ?? {}).filter((k) => !(k in members) && !(k in optional)).map((k) => `${at}.${k} is ${show(v[k])}; it must be left out`),
  ...Object.entries(optional).flatMap(([k, e]) => (v?.[k] === undefined ? [] : differences(v[k], e, `${at}.${k}`))),
]);
// A string whose text is JSON.
export const json = (expected) => matcher('JSON', (v, at) => {
  let value;
  try { value = JSON.parse(v); } catch { return [`${at} is ${show(v)}; it must be JSON`]; }
  return differences(value, expected, `${at} (as JSON)`);
});

// Events in order: plain ones once, `some` once or more, `many` any number of times.
export const some = (event) => ({ event, min: 1, max: Infinity, repeats: true });
export const many = (event) => ({ event, min: 0, max: Infinity, repeats: true });
export const inOrder = (...steps) => matcher('events in order', (events, at) => {
  const rows = steps.map((s) => (s?.repeats ? s : { event: s, min: 1, max: 1 }));
  let furthest = { i: -1 };
  const walk = (i, row, count) => {
    if (i > furthest.i) furthest = { i, row };
    if (row === rows.length) return i === events.length;
    const { event, min, max } = rows[row];
    if (i < events.length && count < max && matches(events[i], event) && walk(i + 1, row, count + 1)) return true;
    return count >= min && walk(i, row + 1, 0);
  };
  if (!Array.isArray(events)) return [`${at} are ${show(events)}; they must be a list`];
  if (walk(0, 0, 0)) return [];
  const { i, row } = furthest;
  if (i === events.length) return [`${at} end after ${i}; there must be more`];
  const expected = rows[Math.min(row, rows.length - 1)].event;
  return [`${at}[${i}] is ${show(events[i])}; step ${row + 1} of ${rows.length} differs: ${differences(events[i], expected, 'it').join('; ')}`];
});
