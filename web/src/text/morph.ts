// Makes the children of `parent`, from the `from`th on, equal to `next`, keeping every node that is
// equal already: what a reader selected or scrolled inside a growing answer stays.

function sameElement(a: Node, b: Node): a is Element {
  if (!(a instanceof Element) || !(b instanceof Element) || a.tagName !== b.tagName) return false;
  return a.attributes.length === b.attributes.length &&
    [...a.attributes].every((attribute) => b.getAttribute(attribute.name) === attribute.value);
}

export function morph(parent: Node, next: readonly Node[], from = 0): void {
  let old: ChildNode | null = parent.childNodes[from] ?? null;
  for (const node of next) {
    if (!old) {
      parent.appendChild(node);
      continue;
    }
    const after: ChildNode | null = old.nextSibling;
    if (!old.isEqualNode(node)) {
      if (sameElement(old, node)) morph(old, [...node.childNodes]);
      else if (old instanceof Text && node instanceof Text) grow(old, node.data);
      else parent.replaceChild(node, old);
    }
    old = after;
  }
  while (old) {
    const after: ChildNode | null = old.nextSibling;
    old.remove();
    old = after;
  }
}

function grow(text: Text, data: string): void {
  if (data.startsWith(text.data)) text.appendData(data.slice(text.data.length));
  else text.data = data;
}
