// TeX to HTML with MathML beside it for screen readers. A chunk of its own, loaded with the first
// formula; its style sheet and fonts come from this server too.
import katex from 'katex';

const maxKept = 500;
const kept = new Map<string, string>(); // a growing answer asks for the same formulas every frame

export function math(tex: string, display: boolean): string {
  const key = (display ? 'd' : 'i') + tex;
  const known = kept.get(key);
  if (known !== undefined) return known;
  const html = katex
    .renderToString(tex, {
      displayMode: display, throwOnError: false, strict: 'ignore', trust: false, maxSize: 30,
      maxExpand: 500, errorColor: '#b3261e',
    })
    .replaceAll(' style="', ' data-style="'); // texts are escaped, so this is an attribute
  if (kept.size >= maxKept) kept.delete(kept.keys().next().value!);
  kept.set(key, html);
  return html;
}

export function loadStyles(href: string): Promise<void> {
  const link = document.createElement('link');
  link.rel = 'stylesheet';
  link.href = href;
  const loaded = new Promise<void>((resolve, reject) => {
    link.onload = () => resolve();
    link.onerror = () => reject(new Error(href));
  });
  document.head.append(link);
  return loaded;
}
