// Math in Markdown: $x$, $$x$$, \(x\), \[x\]. Prices stay prices: a dollar opens only before
// something that is no space, closes only after such, and not before a digit.
import type { MarkdownIt, StateBlock, StateInline } from 'markdown-it';

const maxLength = 5000;
// "$5, or 10$" is about money.
const looksLikeMoney = /^\d[\d.,]*\s+\p{L}{2,}/u;

interface Pair {
  open: string;
  close: string;
  display: boolean;
}
const pairs: readonly Pair[] = [
  { open: '$$', close: '$$', display: true },
  { open: '\\[', close: '\\]', display: true },
  { open: '\\(', close: '\\)', display: false },
  { open: '$', close: '$', display: false },
];

const isSpace = (c: string | undefined) => c === undefined || /\s/.test(c);

function isInlineMath(pair: Pair, tex: string, after: string | undefined): boolean {
  if (!tex.trim() || tex.length > maxLength || tex.includes('\n\n')) return false;
  if (pair.open !== '$') return true;
  return !isSpace(tex[0]) && !isSpace(tex[tex.length - 1]) && !/\d/.test(after ?? '') &&
    !looksLikeMoney.test(tex);
}

function inlineMath(state: StateInline, silent: boolean): boolean {
  const { src, pos } = state;
  const first = src[pos];
  if (first !== '$' && first !== '\\') return false;
  const pair = pairs.find((p) => src.startsWith(p.open, pos));
  if (!pair) return false;
  const begin = pos + pair.open.length;
  let end = src.indexOf(pair.close, begin);
  // A dollar after a backslash is part of the formula.
  while (end > 0 && pair.open[0] === '$' && src[end - 1] === '\\') {
    end = src.indexOf(pair.close, end + 1);
  }
  if (end < 0 || end > state.posMax) return false;
  const after = end + pair.close.length;
  const tex = src.slice(begin, end);
  if (!isInlineMath(pair, tex, src[after])) return false;
  if (!silent) {
    const token = state.push('math_inline', 'span', 0);
    token.content = tex.trim();
    token.meta = { display: pair.display };
  }
  state.pos = after;
  return true;
}

// A block: the opening mark begins a line, the closing one ends a line, no empty line between.
function blockMath(state: StateBlock, start: number, end: number, silent: boolean): boolean {
  const lineOf = (n: number) => state.src.slice(state.bMarks[n]! + state.tShift[n]!, state.eMarks[n]!);
  if (state.sCount[start]! - state.blkIndent >= 4) return false;
  const firstLine = lineOf(start);
  const pair = pairs.find((p) => p.display && firstLine.startsWith(p.open));
  if (!pair) return false;
  const lines: string[] = [];
  let closed = false;
  let next = start;
  for (; next < end && !closed; next++) {
    let line = next === start ? firstLine.slice(pair.open.length) : lineOf(next);
    if (next > start && (!line.trim() || state.sCount[next]! < state.blkIndent)) return false;
    line = line.trimEnd();
    closed = line.endsWith(pair.close);
    if (!closed && line.includes(pair.close)) return false; // text follows: the inline rule reads it
    lines.push(closed ? line.slice(0, -pair.close.length) : line);
  }
  // What still streams in may be closed later; until then it ends no paragraph, so that the blocks
  // before it do not depend on it.
  if (!closed && (silent || !state.env.open)) return false;
  const tex = lines.join('\n').trim();
  if (tex.length > maxLength || tex.includes(pair.close)) return false;
  if (silent) return true;
  const token = state.push('math_block', 'div', 0);
  token.block = true;
  token.content = tex;
  token.meta = { display: true, closed };
  token.map = [start, next];
  state.line = next;
  return true;
}

export function mathRule(md: MarkdownIt): void {
  md.inline.ruler.before('escape', 'math_inline', inlineMath);
  md.block.ruler.before('fence', 'math_block', blockMath, {
    alt: ['paragraph', 'blockquote', 'list'],
  });
}
