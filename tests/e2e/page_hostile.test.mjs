// What a model, a server or a file says stays text on the page; and an answer of 10,000 tokens
// stays smooth while it comes and when it is scrolled.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { answered, ask, launch, openPage } from './browser.mjs';
import { Server, root } from './hadal.mjs';
import { ScriptedModel, pause } from './scripted_model.mjs';

const hostile = JSON.parse(fs.readFileSync(path.join(root, 'web/test/hostile.json'), 'utf8'));

let server, front, browser;
before(async () => {
  server = await Server.start('--set', 'server.access_log=off');
  front = await ScriptedModel.start(server);
  browser = await launch();
});
after(async () => {
  await browser.close();
  front.stop();
  await server.stop();
});

// What is in an answer that does not belong there. The page's own policy would stop most of it
// once more: here it must not even exist.
const findings = (page) => page.evaluate(() => {
  const bad = [];
  const allowed = new Set(('P BR HR EM STRONG S CODE PRE BLOCKQUOTE UL OL LI A IMG H1 H2 H3 H4 H5 H6 ' +
    'TABLE THEAD TBODY TR TH TD DIV SPAN BUTTON').split(' '));
  for (const e of document.querySelectorAll('.markdown *')) {
    const formula = e.closest('.katex') && /^(svg|path|line|math|semantics|annotation|m[a-z]+)$/.test(e.tagName);
    if (!allowed.has(e.tagName) && !formula) bad.push(`<${e.tagName}>`);
    for (const { name, value } of e.attributes) {
      if (/^on|^id$|^name$|^action$|^formaction$|^srcdoc$|xlink/.test(name)) bad.push(`${name}=${value}`);
      if (name === 'style' && !e.closest('.math')) bad.push(`style=${value}`);
      if (name === 'style' && /url\(|fixed/.test(value)) bad.push(`style=${value}`);
    }
    if (e.tagName === 'A' && e.hasAttribute('href')) {
      if (!/^(https?:\/\/|mailto:)/.test(e.getAttribute('href'))) bad.push(`href=${e.getAttribute('href')}`);
      if (e.target !== '_blank' || !e.relList.contains('noopener')) bad.push('a link that opens here');
    }
    if (e.tagName === 'IMG' && !/^data:image\/(png|gif|jpeg|webp)/.test(e.src)) bad.push(`src=${e.src}`);
    const box = e.getBoundingClientRect();
    if (box.width > 5000) bad.push(`${e.tagName} is ${box.width} px wide`);
  }
  return bad;
});

test(`${hostile.length} hostile answers stay text: no script, no dialog, no request, no element`, async () => {
  assert.ok(hostile.length >= 60);
  const page = await openPage(browser, front.url);
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  front.answer = async (body, send) => {
    const text = hostile[Number(body.messages.at(-1).content)];
    for (const part of text.match(/[^]{1,7}/gu)) send({ content: part });
  };
  for (let i = 0; i < hostile.length; i++) {
    await page.keyboard.press('Control+Shift+O');
    await page.waitForSelector('.empty');
    await ask(page, String(i));
    await answered(page, 1);
    assert.deepEqual(await findings(page), [], hostile[i]);
    assert.deepEqual(page.sins, [], hostile[i]);
  }
  const unexpected = asked.filter((p) => !/^\/(v1\/chat\/completions|assets\/[\w.-]+)$/.test(p));
  assert.deepEqual(unexpected, []);
  await page.reload(); // from the store, as one whole text
  await page.waitForSelector('.chat-entry');
  assert.deepEqual(await findings(page), []);
  assert.deepEqual(page.sins, []);
  await page.context().close();
});

test('everything else that comes from outside stays text too', async () => {
  const evil = '<img src=x onerror=alert(1)><script>alert(2)</script>';
  const page = await openPage(browser, front.url);
  await page.route('**/v1/models', (route) => route.fulfill({
    json: { data: [{ id: evil, context_length: 9 }] } }));
  await page.reload();
  await page.waitForFunction((text) => document.querySelector('select.model')?.value === text, evil);
  front.answer = async (body, send) => {
    send({ reasoning_content: evil });
    send({ tool_calls: [{ index: 0, id: evil, function: { name: evil, arguments: `{"x": ${JSON.stringify(evil)}}` } }] });
  };
  await ask(page, evil);
  await answered(page, 1);
  await page.click('summary');
  await page.locator('.call textarea').fill(evil);
  front.answer = () => { throw { status: 400, error: { message: evil, param: evil, code: evil } }; };
  await page.getByRole('button', { name: 'Send results' }).click();
  await page.waitForSelector('.failure');
  const conversation = { format: 'hadal-conversations', version: 1, conversations: [{
    title: evil, turns: {
      a: { role: 'user', content: evil },
      b: { role: 'assistant', parent: 'a', content: evil, model: evil, reasoning: evil, finish: 'stop' } } }] };
  page.once('filechooser', (chooser) => chooser.setFiles({
    name: 'x.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(conversation)) }));
  await page.click('.sidebar-foot .menu .icon-button');
  await page.getByRole('menuitem', { name: 'Import JSON' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.chat-entry').length === 2);
  await page.waitForFunction((text) => document.title.includes(text), evil);
  assert.equal(await page.locator('#page img:not(.brand img), #page script').count(), 0);
  assert.ok((await page.locator('#page').innerText()).includes(evil));
  assert.deepEqual(page.sins, []);
  await page.context().close();
});

// About 10,000 tokens: prose, lists, tables, formulas, code.
function longAnswer() {
  const parts = [];
  for (let i = 1; i <= 40; i++) {
    parts.push(`## Part ${i}\n\n`);
    for (let k = 0; k < 4; k++) {
      parts.push(`A paragraph of plain prose with **bold**, \`code\` and a [link](https://example.com/${i}), `,
        'long enough to wrap over several lines on the screen and to be read for a while, ',
        `as answers are, and with a formula $x_${k} = \\frac{${i}}{${k + 1}}$ in it. `.repeat(2), '\n\n');
    }
    parts.push('| a | b | c |\n|---|:-:|--:|\n', `| ${i} | two | three |\n`.repeat(5), '\n');
    parts.push('1. first\n2. second\n   - inner\n   - more\n3. third\n\n');
    parts.push('```python\n', `def f_${i}(x):\n    return x * ${i}  # a comment\n\n`.repeat(4), '```\n\n');
    parts.push(`$$\\sum_{k=1}^{${i}} k^2$$\n\n`);
  }
  return parts.join('').match(/\s*\S{1,6}|\s+/g); // pieces of the size of tokens
}

// Intervals of animation frames and long tasks while `action` runs.
async function measure(page, action) {
  await page.evaluate(() => {
    const m = (window.measured = { frames: [], tasks: [], on: true });
    let last = performance.now();
    const frame = (now) => {
      m.frames.push(now - last);
      last = now;
      if (m.on) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    m.observer = new PerformanceObserver((list) => m.tasks.push(...list.getEntries().map((e) => e.duration)));
    m.observer.observe({ entryTypes: ['longtask'] });
  });
  await action();
  const { frames, tasks } = await page.evaluate(() => {
    const m = window.measured;
    m.on = false;
    m.observer.disconnect();
    return { frames: m.frames.slice(2), tasks: m.tasks };
  });
  frames.sort((a, b) => a - b);
  const at = (q) => frames[Math.min(frames.length - 1, Math.floor(q * frames.length))];
  return { frames: frames.length, median: at(0.5), p95: at(0.95), longest: frames.at(-1),
    longestTask: Math.max(0, ...tasks) };
}
const shown = (m) => `${m.frames} frames, median ${m.median.toFixed(1)} ms, ` +
  `95 % ${m.p95.toFixed(1)} ms, longest ${m.longest.toFixed(0)} ms, longest task ${m.longestTask.toFixed(0)} ms`;

test('an answer of 10,000 tokens: smooth while it comes, smooth to scroll', async (t) => {
  const page = await openPage(browser, front.url);
  const pieces = longAnswer();
  assert.ok(pieces.length >= 10000, `${pieces.length} pieces`);
  front.answer = async (body, send) => {
    for (let i = 0; i < pieces.length; i++) {
      send({ content: pieces[i] });
      if (i % 15 === 14) await pause(10); // about 1,000 tokens a second
    }
  };
  const streaming = await measure(page, async () => {
    await ask(page, 'long');
    await answered(page, 1);
  });
  t.diagnostic(`${pieces.length} tokens streaming: ${shown(streaming)}`);
  const distance = await page.evaluate(() => {
    const s = document.querySelector('.scroller');
    return s.scrollHeight - s.scrollTop - s.clientHeight;
  });
  assert.ok(distance < 50, `the page stayed ${distance} px behind the end`);

  await page.hover('.scroller');
  const scrolling = await measure(page, async () => {
    for (let i = 0; i < 240; i++) {
      await page.mouse.wheel(0, i < 120 ? -350 : 350);
      await pause(12);
    }
  });
  t.diagnostic(`scrolling: ${shown(scrolling)}`);
  for (const m of [streaming, scrolling]) {
    assert.ok(m.median <= 20, shown(m));
    assert.ok(m.longestTask <= 500, shown(m));
  }
  assert.deepEqual(page.sins, []);
  await page.context().close();
});

test('one block of 10,000 tokens does not hold the page up', async (t) => {
  for (const [name, line] of [['code', 'let value = compute(1, 2, 3);\n'], ['list', '- an item with **bold** text\n'],
    ['table', '| one | two | three |\n']]) {
    const page = await openPage(browser, front.url);
    const head = { code: '```js\n', list: '', table: '| a | b | c |\n|---|---|---|\n' }[name];
    front.answer = async (body, send) => {
      send({ content: head });
      for (let i = 0; i < 1200; i++) {
        send({ content: line });
        if (i % 5 === 4) await pause(10);
      }
    };
    const streaming = await measure(page, async () => {
      await ask(page, name);
      await answered(page, 1);
    });
    t.diagnostic(`${name}: ${shown(streaming)}`);
    assert.ok(streaming.median <= 20, shown(streaming));
    assert.ok(streaming.longestTask <= 500, shown(streaming));
    await page.context().close();
  }
});

test('a reader who scrolled up is left alone, and can go back to the end', async () => {
  const page = await openPage(browser, front.url);
  const top = () => page.evaluate(() => document.querySelector('.scroller').scrollTop);
  let more = true;
  front.answer = async (body, send) => {
    for (let i = 0; more && i < 2000; i++) {
      send({ content: `Line ${i} of an answer that goes on.\n\n` });
      await pause(8);
    }
  };
  await ask(page, 'go');
  await page.waitForFunction(() => document.querySelector('.scroller')?.scrollTop > 600);
  await page.hover('.scroller');
  await page.mouse.wheel(0, -400);
  await page.waitForSelector('.to-latest');
  await pause(200);
  const before = await top();
  await pause(600);
  assert.equal(await top(), before);
  await page.click('.to-latest');
  await page.waitForSelector('.to-latest', { state: 'detached' });
  const followed = await top();
  await page.waitForFunction((from) => document.querySelector('.scroller')?.scrollTop > from + 100, followed);
  more = false;
  await answered(page, 1);
  assert.deepEqual(page.sins, []);
  await page.context().close();
});
