import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { BlockStream } from '../src/text/block_stream';
import { highlight } from '../src/text/highlight';
import { engines, toHtml } from '../src/text/markdown';
import { math } from '../src/text/math';

engines.highlight = highlight;
engines.math = math;

const hostile: string[] = JSON.parse(fs.readFileSync(path.resolve('test/hostile.json'), 'utf8'));

// What the renderer may write. Attributes of formulas are KaTeX's; sanitize.ts lists them.
const tags = new Set(('p br hr em strong s code pre blockquote ul ol li a img h1 h2 h3 h4 h5 h6 table ' +
  'thead tbody tr th td div span button svg path line math semantics annotation mrow mi mo mn ms mtext ' +
  'mspace msup msub msubsup mfrac msqrt mroot mover munder munderover mtable mtr mtd mstyle mpadded ' +
  'mphantom menclose').split(' '));
const safeHref = /^(https?:\/\/|mailto:)[^\s"'<>`]*$/;
const safeSrc = /^data:image\/(png|gif|jpeg|webp);base64,[^\s"'<>`]*$/;

// Reads HTML the way the renderer writes it; anything else is a failure.
function checkHtml(html: string): void {
  const piece = /<(\/?)([a-zA-Z0-9]+)((?:\s+[a-zA-Z0-9-]+="[^"<>]*")*)\s*\/?>|[^<>]+/y;
  while (piece.lastIndex < html.length) {
    const at = piece.lastIndex;
    const match = piece.exec(html);
    assert.ok(match, `not HTML of ours at ${at}: ${html.slice(at, at + 80)}`);
    if (match[2] === undefined) continue;
    assert.ok(tags.has(match[2]), `<${match[2]}>`);
    for (const [, name, value] of match[3]!.matchAll(/([a-zA-Z0-9-]+)="([^"]*)"/g)) {
      assert.ok(!/^on/i.test(name!) && name !== 'style' && name !== 'id', `${name}="${value}"`);
      const plain = value!.replace(/&quot;/g, '"').replace(/&amp;/g, '&');
      if (name === 'href') assert.match(plain, safeHref);
      if (name === 'src') assert.match(plain, safeSrc);
      if (name === 'data-style') assert.doesNotMatch(plain, /url|position:fixed|expression/i);
    }
  }
}

for (const text of hostile) {
  test(`stays text: ${JSON.stringify(text).slice(0, 70)}`, () => {
    checkHtml(toHtml(text));
    checkHtml(toHtml(`before ${text} after`));
    const stream = new BlockStream('Copy');
    for (let end = 1; end <= text.length; end++) {
      const { finished, open } = stream.update(text.slice(0, end));
      checkHtml(finished + open);
    }
  });
}

test('there are at least sixty hostile strings', () => assert.ok(hostile.length >= 60));

test('what Markdown is for: headings, lists, tables, code, links', () => {
  assert.equal(toHtml('# T\n\n- a\n- *b*'), '<h1>T</h1>\n<ul>\n<li>a</li>\n<li><em>b</em></li>\n</ul>\n');
  assert.match(toHtml('| a | b |\n|:-:|--:|\n| 1 | 2 |'),
    /<table>[^]*<th class="center">a<\/th>[^]*<td class="right">2<\/td>/);
  assert.match(toHtml('```python\nx = 1\n```', { copyLabel: '复制' }),
    /<span>python<\/span><button type="button" class="copy-code">复制<\/button>[^]*hljs-number/);
  assert.match(toHtml('see https://a.example/x'),
    /<a href="https:\/\/a.example\/x" target="_blank" rel="noopener noreferrer nofollow">/);
  assert.match(toHtml('- [x] done\n- [ ] open'), /☑ done[^]*☐ open/);
});

test('pictures of other hosts are links, pictures in the text are shown', () => {
  assert.doesNotMatch(toHtml('![cat](https://a.example/cat.png)'), /<img/);
  assert.match(toHtml('![cat](https://a.example/cat.png)'), /<a href="https:\/\/a.example\/cat.png"/);
  assert.match(toHtml('![dot](data:image/png;base64,iVBORw0KGgo=)'), /<img src="data:image\/png/);
});

test('bold beside Chinese punctuation is bold', () => {
  assert.match(toHtml('**注意：**请看'), /<strong>注意：<\/strong>/);
});

test('math in all four notations; prices stay prices', () => {
  for (const text of ['$x^2$', '\\(x^2\\)', '$$x^2$$', '\\[x^2\\]', 'a $x^2$ b', '- $$\n  x^2\n  $$',
    '$$\nx^2\n$$', '\\[\nx^2\n\\]', 'so \\[x^2\\].', '$\\$5 x^2$']) {
    assert.match(toHtml(text), /class="katex"/, text);
  }
  for (const text of ['$5 and $10', 'costs $5, or 10$ more', 'a $ b $ c', '$x', '\\$x$', '`$x$`',
    '$$', 'echo $$ and\n\nmore $$', 'US$5/US$6']) {
    assert.doesNotMatch(toHtml(text), /class="katex"/, text);
  }
});

test('math has MathML for screen readers and no style attribute', () => {
  const html = toHtml('$$\\fcolorbox{red}{#eee}{\\pmb{x}} \\frac12 \\undefined$$');
  assert.match(html, /<math xmlns=/);
  assert.match(html, /data-style="/);
  assert.doesNotMatch(html, / style="/);
});

test('a formula that TeX refuses is shown, not thrown', () => {
  assert.match(toHtml('$\\frac{$'), /\\frac/);
  assert.match(toHtml(`$${'x'.repeat(6000)}$`), /x{6000}/);
});

const sample = `# Title

A paragraph with *emphasis* and a
second line.

1. one
2. two

   with a paragraph

   \`\`\`js
   const a = 1;
   \`\`\`
3. three
* other
*not a list* text

| a | b |
|---|---|
| 1 | 2 |

> quote
lazy
- item

\`\`\`python
def f():

    return 1
\`\`\`

Text
===
[ref] and more

[ref]: https://a.example/ "title"

---
$$
x^2
$$
last`;

test('a growing text has, at every character, the blocks of the whole text so far', () => {
  const stream = new BlockStream('Copy');
  let kept = '';
  for (let end = 1; end <= sample.length; end++) {
    const { finished, open } = stream.update(sample.slice(0, end));
    kept += finished;
    const soFar = toHtml(sample.slice(0, end), { open: true, copyLabel: 'Copy' });
    if (!sample.slice(0, end).includes('[ref]')) assert.equal(kept + open, soFar, sample.slice(0, end));
  }
});

test('the end of a growing text is the whole text, whatever was open before', () => {
  for (const text of [sample.slice(0, sample.indexOf('[ref]')), 'para\n$$\nx\n\nmore', 'a\n$$x', '$$\nx\n$$',
    '```js\nx', '- a\n*b*', '\\[ x\n\ny', 'a | b\n-|-', '# a\n$$\ny\n$$\nb']) {
    const stream = new BlockStream('Copy');
    let kept = '';
    for (let end = 1; end < text.length; end++) kept += stream.update(text.slice(0, end)).finished;
    const { finished, open } = stream.update(text, false);
    assert.equal(kept + finished + open, toHtml(text), text);
    assert.equal(stream.dependsOnLaterText, false);
  }
  const stream = new BlockStream('Copy');
  stream.update('[a]\n\n[a]: https://a.example/\n', false);
  assert.equal(stream.dependsOnLaterText, true);
});

test('blocks that are finished are not parsed again', () => {
  const stream = new BlockStream('Copy');
  const line = 'A line of text with **bold**.\n\n';
  stream.update(line.repeat(3));
  const { finished, open } = stream.update(line.repeat(4));
  assert.equal(open.match(/<p>/g)?.length, 1);
  assert.ok((finished.match(/<p>/g)?.length ?? 0) <= 2);
});

test('carriage returns are line ends', () => {
  const stream = new BlockStream('Copy');
  stream.update('a\r\n\r');
  const { open } = stream.update('a\r\n\r\n# b');
  assert.match(open, /<h1>b<\/h1>/);
});

test('large code is highlighted once it is whole', () => {
  const code = `\`\`\`js\n${'let a = 1;\n'.repeat(400)}`;
  assert.doesNotMatch(toHtml(code, { open: true }), /hljs/);
  assert.match(toHtml(`${code}\`\`\``), /hljs/);
});
