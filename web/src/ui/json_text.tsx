// JSON as coloured text: keys, strings, other values. Every piece is a text node.
const piece = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g;

export function highlightJson(json: string) {
  const out: preact.ComponentChild[] = [];
  let at = 0;
  for (const match of json.matchAll(piece)) {
    out.push(json.slice(at, match.index));
    const kind = match[2] !== undefined ? 'hljs-attr' : match[1] ? 'hljs-string' : 'hljs-number';
    out.push(<span class={kind}>{match[1] ?? match[0]}</span>, match[2] ?? '');
    at = match.index + match[0].length;
  }
  out.push(json.slice(at));
  return out;
}
