// Markdown of an answer to HTML. Raw HTML is text, links lead to http, https and mailto only,
// pictures are shown when they are in the text itself (data:) and are links otherwise: nothing that
// a model writes makes the page fetch anything. sanitize.ts is the second wall behind this one.
//
// Highlighting and math are large and come later, when an answer needs them: until `engines` has
// them code and formulas are plain text, and onWanted is told.
import MarkdownIt, { type RendererRule, type Token } from 'markdown-it';
import cjkFriendly from 'markdown-it-cjk-friendly';
import { mathRule } from './math_rule';

export interface Env {
  open?: boolean; // the text still grows
  copyLabel?: string;
  references?: Record<string, { title: string; href: string }>;
  [key: string | symbol]: unknown;
}

export type Engine = 'highlight' | 'math';
export const engines: {
  highlight: ((code: string, language: string) => string | null) | null;
  math: ((tex: string, display: boolean) => string) | null;
  onWanted: (engine: Engine) => void;
} = { highlight: null, math: null, onWanted: () => {} };

// Highlighting again in every frame is affordable up to here; larger code waits for its end.
const maxOpenHighlight = 3000;
const maxHighlight = 100_000;

const isLink = (url: string) => /^(https?:\/\/|mailto:)/i.test(url.trim());
const isPicture = (url: string) => /^data:image\/(png|gif|jpeg|webp);base64,/i.test(url.trim());

const md = new MarkdownIt({ html: false, linkify: true });
const escape = md.utils.escapeHtml;
md.use(mathRule);
md.use(cjkFriendly); // **bold** beside Chinese punctuation
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
md.validateLink = (url: string) => isLink(url) || isPicture(url);

const openLink = (href: string) =>
  isLink(href)
    ? `<a href="${escape(href)}" target="_blank" rel="noopener noreferrer nofollow">`
    : '<a>';

md.renderer.rules.link_open = (tokens, i) => openLink(String(tokens[i]!.attrGet('href') ?? ''));

md.renderer.rules.image = (tokens, i, options, env, self) => {
  const token = tokens[i]!;
  const source = String(token.attrGet('src') ?? '');
  const text = self.renderInlineAsText(token.children ?? [], options, env);
  if (isPicture(source)) return `<img src="${escape(source)}" alt="${escape(text)}">`;
  const inLink = tokens.slice(0, i).reduce(
    (depth, t) => depth + (t.type === 'link_open' ? 1 : t.type === 'link_close' ? -1 : 0), 0);
  const label = `<span class="picture">${escape(text || source)}</span>`;
  return inLink ? label : `${openLink(source)}${label}</a>`;
};

function highlighted(code: string, language: string, env: Env): string {
  const limit = env.open ? maxOpenHighlight : maxHighlight;
  if (!language || code.length > limit) return escape(code);
  if (!engines.highlight) {
    engines.onWanted('highlight');
    return escape(code);
  }
  return engines.highlight(code, language) ?? escape(code);
}

const codeBlock: RendererRule = (tokens, i, _options, given) => {
  const env = (given ?? {}) as Env;
  const token = tokens[i]!;
  const language = /^[\w+#.-]{1,30}/.exec(token.info.trim())?.[0] ?? '';
  const body = highlighted(token.content, language.toLowerCase(), env);
  return `<div class="code"><div class="code-head"><span>${escape(language)}</span>` +
    `<button type="button" class="copy-code">${escape(env.copyLabel ?? 'Copy')}</button></div>` +
    `<pre tabindex="0"><code>${body}</code></pre></div>\n`;
};
md.renderer.rules.fence = codeBlock;
md.renderer.rules.code_block = codeBlock;

const math: RendererRule = (tokens, i) => {
  const { content, block } = tokens[i]!;
  const { display, closed } = tokens[i]!.meta as { display: boolean; closed?: boolean };
  const tag = block ? 'div' : 'span';
  const pending = closed === false;
  if (!engines.math && !pending) engines.onWanted('math');
  const body = engines.math && !pending ? engines.math(content, display)
    : `<code>${escape(content)}</code>`;
  return `<${tag} class="${display ? 'math math-display' : 'math'}">${body}</${tag}>`;
};
md.renderer.rules.math_inline = math;
md.renderer.rules.math_block = math;

// Column alignment as a class: the page's policy allows no style attributes.
const cell: RendererRule = (tokens, i) => {
  const { tag } = tokens[i]!;
  const side = /text-align:(left|center|right)/.exec(String(tokens[i]!.attrGet('style') ?? ''))?.[1];
  return side ? `<${tag} class="${side}">` : `<${tag}>`;
};
md.renderer.rules.th_open = cell;
md.renderer.rules.td_open = cell;
md.renderer.rules.table_open = () => '<div class="table" tabindex="0"><table>\n';
md.renderer.rules.table_close = () => '</table></div>\n';

// "- [x] done" as in issue trackers.
md.core.ruler.push('tasks', (state) => {
  state.tokens.forEach((token, i, tokens) => {
    const first = token.children?.[0];
    if (tokens[i - 2]?.type !== 'list_item_open' || first?.type !== 'text') return;
    const mark = /^\[([ xX])\] /.exec(first.content);
    if (!mark) return;
    first.content = (mark[1] === ' ' ? '☐ ' : '☑ ') + first.content.slice(4);
    tokens[i - 2]!.attrSet('class', 'task');
  });
});

export function parse(source: string, env: Env): Token[] {
  return md.parse(source, env);
}

export function render(tokens: Token[], env: Env): string {
  return md.renderer.render(tokens, md.options, env);
}

export function toHtml(source: string, env: Env = {}): string {
  return render(parse(source, env), env);
}
