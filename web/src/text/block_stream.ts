// Markdown that grows: blocks that later text cannot change are rendered once, only the rest is
// parsed again. Markdown is read line by line, so a block is finished when a later block begins on
// a whole line.
import type { Token } from 'markdown-it';
import { type Env, parse, render } from './markdown';

export interface Update {
  finished: string; // HTML that is new and final
  open: string; // HTML of the rest, to be replaced by the next update
}

interface Block {
  tokens: Token[];
  line: number; // where it begins
}

function blocksOf(tokens: Token[]): Block[] {
  const blocks: Block[] = [];
  let depth = 0;
  for (const token of tokens) {
    if (depth === 0 && token.nesting >= 0) {
      blocks.push({ tokens: [], line: token.map?.[0] ?? 0 });
    }
    blocks[blocks.length - 1]!.tokens.push(token);
    depth += token.nesting;
  }
  return blocks;
}

function offsetOfLine(text: string, line: number): number {
  let at = 0;
  for (let i = 0; i < line; i++) at = text.indexOf('\n', at) + 1;
  return at;
}

export class BlockStream {
  #env: Env;
  #finishedTo = 0; // characters of the source

  constructor(copyLabel: string) {
    this.#env = { open: true, copyLabel, references: {} };
  }

  // A definition at the end can give a link to any block: then all have to be rendered again.
  get dependsOnLaterText(): boolean {
    return Object.keys(this.#env.references!).length > 0;
  }

  // `source` is the last one with more at its end; `growing`: more may come.
  update(source: string, growing = true): Update {
    this.#env.open = growing;
    const text = source.includes('\r') ? source.replace(/\r\n?/g, '\n') : source;
    const tail = text.slice(this.#finishedTo);
    const blocks = blocksOf(parse(tail, this.#env));
    const lastLine = tail.split('\n').length - 1; // not whole yet
    let open = blocks.length - 1;
    while (open > 0 && blocks[open]!.line >= lastLine) open--;
    let finished = '';
    if (open > 0) {
      this.#finishedTo += offsetOfLine(tail, blocks[open]!.line);
      finished = this.#render(blocks.slice(0, open), false);
    }
    return { finished, open: this.#render(blocks.slice(Math.max(0, open)), growing) };
  }

  #render(blocks: Block[], open: boolean): string {
    return render(blocks.flatMap((block) => block.tokens), { ...this.#env, open });
  }
}
