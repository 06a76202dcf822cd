// A person's session on the chat page, in a real browser, against the real binary and its built-in
// model. Where the content of an answer must be known, scripted_model.mjs answers instead.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { answered, ask, launch, openPage, saved } from './browser.mjs';
import { Server, model, waitFor } from './hadal.mjs';
import { ScriptedModel, pause } from './scripted_model.mjs';

const question = 'I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?';
const result = /RTX 3060/;
const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server, front, browser, page;
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
beforeEach(() => {
  front.answer = null;
  front.paceMs = 0;
  front.bodies.length = 0;
});
// Every test leaves a page that did nothing it must not do.
afterEach(async () => {
  if (!page) return;
  assert.deepEqual(page.sins, []);
  await page.context().close();
  page = null;
});
const open = async (options, url = `${server.url}/`) => (page = await openPage(browser, url, options));
const says = (text) => async (body, send) => {
  for (const part of text.match(/[^]{1,9}/g)) send({ content: part });
};
const turn = (n) => page.locator('article.turn').nth(n);
const choose = async (title, label) => {
  const entry = page.locator('.chat-entry', { hasText: title });
  await entry.hover();
  await entry.locator('.menu .icon-button').click();
  await page.getByRole('menuitem', { name: label }).click();
};

test('ask, and get the answer with thinking folded, tokens and speed', async () => {
  await open();
  await ask(page, question);
  const answer = await answered(page, 1);
  assert.match(await answer.locator('.markdown').innerText(), result);
  const summary = await answer.locator('summary').innerText();
  assert.match(summary, /Thought for [\d.]+ m?s\s+\d+ tokens/);
  assert.equal(await answer.locator('.thoughts').isVisible(), false);
  await answer.locator('summary').click();
  assert.match(await answer.locator('.thoughts').innerText(), /Weights/);
  const figures = await answer.locator('.figures').innerText();
  assert.match(figures, /Prompt \d+[^]*Answer \d+[^]*[\d,.]+ tokens\/s[^]*First token [\d.]+ m?s/);
  assert.match(await page.locator('.context').innerText(), /\d+ \/ 4,096/);
  await answer.locator('.again').click();
  await answered(page, 1);
  await page.waitForSelector('.branches');
  assert.match(await turn(1).locator('.figures').innerText(), /cached/, 'the same prompt is in the cache');
});

test('stop ends the answer here and on the server, and keeps what came', async () => {
  await open({}, front.url);
  front.paceMs = 30;
  await ask(page, question);
  await page.waitForFunction(() => /\d/.test(document.querySelector('summary')?.innerText ?? ''));
  await page.click('.send.stop');
  const answer = await answered(page, 1);
  assert.match(await answer.innerText(), /Stopped/);
  assert.match(await answer.locator('.figures').innerText(), /≈/);
  assert.ok(await waitFor(async () => (await server.metric('hadal_requests_running')) === 0, 2000));
  assert.ok(front.cut > 0);
});

test('edit and branch: both versions stay, each with what followed', async () => {
  await open();
  await ask(page, 'who are you?');
  await answered(page, 1);
  await ask(page, question);
  await answered(page, 2);
  await turn(0).hover();
  await turn(0).locator('.edit').click();
  await page.fill('.editor textarea', 'How much memory do the weights of a 32 B model need in 4-bit?');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('article.turn').length === 2);
  const edited = await answered(page, 1);
  assert.match(await edited.innerText(), /16/);
  assert.equal(await turn(0).locator('.branches').innerText(), '2/2');
  await page.click('.branches [aria-label="Previous version"]');
  assert.equal(await page.locator('article.turn').count(), 4);
  assert.match(await turn(3).innerText(), result);
  await page.click('.branches [aria-label="Next version"]');
  assert.equal(await page.locator('article.turn').count(), 2);
});

test('regenerate: the versions of an answer', async () => {
  await open({}, front.url);
  let n = 0;
  front.answer = (body, send) => says(`Version ${++n}`)(body, send);
  await ask(page, 'say something');
  await answered(page, 1);
  await turn(1).locator('.again').click();
  await page.waitForSelector('.branches');
  assert.match(await turn(1).innerText(), /Version 2[^]*2\/2/);
  await page.click('.branches [aria-label="Previous version"]');
  assert.match(await turn(1).innerText(), /Version 1[^]*1\/2/);
  await ask(page, 'go on');
  await answered(page, 2);
  assert.deepEqual(front.bodies.at(-1).messages.map((m) => m.content),
    ['say something', 'Version 1', 'go on']);
});

test('settings reach the request; what is left alone is not sent', async () => {
  await open({}, front.url);
  front.answer = says('ok');
  await ask(page, 'one');
  await answered(page, 1);
  assert.deepEqual(Object.keys(front.bodies[0]), ['model', 'messages', 'stream', 'stream_options']);
  await page.keyboard.press('Control+Comma');
  await page.fill('#system', 'Be brief.');
  await page.getByRole('spinbutton', { name: 'Temperature' }).fill('0.7');
  await page.getByRole('spinbutton', { name: 'Top P' }).fill('0.9');
  await page.getByLabel('Longest answer').fill('55');
  await page.getByLabel('Seed').fill('7');
  await page.locator('.choice span', { hasText: /^Off$/ }).click();
  await page.getByLabel('Reasoning effort').selectOption('high');
  await page.fill('#tools', '{"name": 1}');
  assert.match(await page.locator('#tools-note').innerText(), /name/);
  await page.fill('#tools', '{"name": "f"}');
  await page.keyboard.press('Escape');
  await ask(page, 'two');
  await answered(page, 2);
  const body = front.bodies.at(-1);
  assert.deepEqual(body.messages[0], { role: 'system', content: 'Be brief.' });
  assert.deepEqual([body.temperature, body.top_p, body.max_tokens, body.seed, body.reasoning_effort],
    [0.7, 0.9, 55, 7, 'high']);
  assert.deepEqual(body.thinking, { type: 'disabled' });
  assert.deepEqual(body.tools, [{ type: 'function', function: { name: 'f' } }]);
});

test('thinking can be turned off on the built-in model', async () => {
  await open();
  await page.click('[aria-label="Settings"]');
  await page.locator('.choice span', { hasText: /^Off$/ }).click();
  await page.keyboard.press('Escape');
  await ask(page, question);
  const answer = await answered(page, 1);
  assert.match(await answer.innerText(), result);
  assert.equal(await answer.locator('.thinking').count(), 0);
});

test('conversations survive a reload; rename, search, export, import, delete', async () => {
  await open();
  await ask(page, question);
  await answered(page, 1);
  await page.keyboard.press('Control+Shift+O');
  await ask(page, 'who are you?');
  await answered(page, 1);
  await page.reload();
  await page.waitForSelector('article.assistant');
  assert.match(await turn(0).innerText(), /who are you/);
  assert.equal(await page.locator('.chat-entry').count(), 2);

  await choose('7.6 B', 'Rename');
  await page.keyboard.type('Which card');
  await page.keyboard.press('Enter');
  await page.click('.chat-entry >> text=Which card');
  assert.match(await turn(1).innerText(), result);

  await page.keyboard.press('Control+k');
  await page.keyboard.type('rtx 3060');
  await page.waitForFunction(() => document.querySelectorAll('.chat-entry').length === 1);
  await page.fill('#search', 'no such words');
  await page.waitForSelector('text=Nothing found.');
  await page.fill('#search', '');
  await page.waitForFunction(() => document.querySelectorAll('.chat-entry').length === 2);

  const markdown = await saved(page, () => choose('Which card', 'Export as Markdown'));
  assert.equal(markdown.name, 'Which-card.md');
  assert.match(markdown.text, /^# Which card\n\n## You\n\nI want to run[^]*> \*\*Thoughts\*\*[^]*RTX 3060/);
  const json = await saved(page, () => choose('Which card', 'Export as JSON'));
  assert.equal(JSON.parse(json.text).conversations[0].title, 'Which card');

  await choose('Which card', 'Delete');
  await page.click('dialog .danger');
  await page.waitForFunction(() => document.querySelectorAll('.chat-entry').length === 1);
  await page.reload();
  await page.waitForSelector('.chat-entry');
  assert.equal(await page.locator('.chat-entry').count(), 1);

  page.once('filechooser', (chooser) => chooser.setFiles({
    name: 'a.json', mimeType: 'application/json', buffer: Buffer.from(json.text) }));
  await page.click('.sidebar-foot .menu .icon-button');
  await page.getByRole('menuitem', { name: 'Import JSON' }).click();
  await page.waitForSelector('.chat-entry >> text=Which card');
  await page.waitForSelector('article.assistant');
  assert.match(await turn(1).innerText(), result);
  const all = await saved(page, async () => {
    await page.click('.sidebar-foot .menu .icon-button');
    await page.getByRole('menuitem', { name: 'Export all' }).click();
  });
  assert.equal(JSON.parse(all.text).conversations.length, 2);
});

test('copy: an answer as Markdown, a code block as code', async () => {
  await open({ permissions: ['clipboard-read', 'clipboard-write'] }, front.url);
  const text = 'Run:\n\n```sh\nls -l\n```\n';
  front.answer = says(text);
  await ask(page, 'how?');
  await answered(page, 1);
  await page.click('.copy-code');
  await page.waitForSelector('.notice[data-shown=true] >> text=Copied');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'ls -l');
  await page.click('article.assistant .copy');
  await page.waitForSelector('article.assistant .copy path[d^="M4.5"]');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
});

const rich = `## Sizes

| model | bits | GB |
|---|:-:|--:|
| small | 8 | 7.6 |

Memory is $m = \\frac{b \\cdot n}{8}$ bytes, so \\[ \\sum_{i=1}^{n} x_i^2 \\] fits.

\`\`\`python
def size(n, bits):
    return n * bits / 8  # bytes
\`\`\`

1. **one** — see https://example.com/docs
2. [x](javascript:alert(1))
`;

test('Markdown, tables, highlighted code and formulas, with nothing from elsewhere', async () => {
  await open({}, front.url);
  front.answer = says(rich);
  await ask(page, 'sizes?');
  const answer = await answered(page, 1);
  await page.waitForSelector('.katex-display .katex-html');
  await page.waitForSelector('.hljs-keyword');
  assert.equal(await answer.locator('td').nth(2).evaluate((e) => getComputedStyle(e).textAlign), 'right');
  assert.equal(await answer.locator('.math').count(), 2);
  assert.ok(await page.evaluate(() => document.fonts.check('16px KaTeX_Main')));
  const height = await page.evaluate(() => document.querySelector('.katex-display').offsetHeight);
  assert.ok(height > 30 && height < 120, `a displayed sum is ${height} px high`);
  const link = answer.locator('a');
  assert.equal(await link.count(), 1);
  assert.equal(await link.getAttribute('rel'), 'noopener noreferrer nofollow');
  assert.equal(await link.getAttribute('target'), '_blank');
});

test('a tool call is shown, its result typed, sent back, and can be changed', async () => {
  await open({}, front.url);
  front.answer = async (body, send) => {
    const last = body.messages.at(-1);
    if (last.role === 'tool') return send({ content: `It is ${last.content}.` });
    send({ reasoning_content: 'I need the weather.' });
    const piece = (p) => send({ tool_calls: [p] });
    piece({ index: 0, id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"ci' } });
    piece({ index: 0, function: { arguments: 'ty": "Kiel"}' } });
  };
  await ask(page, 'weather in Kiel?');
  const asked = await answered(page, 1);
  assert.match(await asked.innerText(), /get_weather[^]*"city": "Kiel"/);
  assert.ok(await page.getByRole('button', { name: 'Send results' }).isDisabled());
  await page.getByLabel('Result of get_weather').fill('windy');
  await page.getByRole('button', { name: 'Send results' }).click();
  const answer = await answered(page, 2);
  assert.match(await answer.innerText(), /It is windy/);
  assert.deepEqual(front.bodies.at(-1).messages.slice(1), [
    { role: 'assistant', content: '', reasoning_content: 'I need the weather.', tool_calls: [
      { id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city": "Kiel"}' } }] },
    { role: 'tool', tool_call_id: 'call_1', content: 'windy' }]);
  await page.getByRole('button', { name: 'Edit results' }).click();
  await page.getByLabel('Result of get_weather').fill('calm');
  await page.getByRole('button', { name: 'Send results' }).click();
  await page.waitForSelector('text=It is calm.');
});

test('a context overflow says what to do, and editing gets out of it', async () => {
  await open();
  await ask(page, 'word '.repeat(6000));
  await page.waitForSelector('.failure');
  const text = await page.locator('.failure').innerText();
  assert.match(text, /context_length_exceeded/);
  assert.match(text, /4096/);
  assert.match(text, /edit an earlier message/);
  await turn(0).hover();
  await turn(0).locator('.edit').click();
  await page.fill('.editor textarea', 'who are you?');
  await page.keyboard.press('Enter');
  const answer = await answered(page, 1);
  assert.match(await answer.innerText(), /Hadal/i);
});

test('an error shows message, field and code; retry sends again', async () => {
  await open({}, front.url);
  let failing = true;
  front.answer = async (body, send) => {
    if (failing) {
      throw { status: 429, headers: { 'retry-after': '7' },
        error: { message: 'the queue <b>is</b> full', param: 'top_p', code: 'queue_full' } };
    }
    send({ content: 'now' });
  };
  await ask(page, 'hello');
  await page.waitForSelector('.failure');
  const text = await page.locator('.failure').innerText();
  for (const part of ['the queue <b>is</b> full', 'top_p', 'queue_full', 'HTTP 429', 'wait 7 s']) {
    assert.ok(text.includes(part), text);
  }
  failing = false;
  await page.getByRole('button', { name: 'Retry' }).click();
  await page.waitForSelector('text=now');
  assert.equal(await page.locator('.failure').count(), 0);
  assert.equal(await page.locator('.branches').count(), 0, 'a failed try is no version');

  front.answer = async (body, send) => {
    send({ content: 'half' });
    send({ error: { message: 'lost its file', type: 'server_error', param: null, code: 'unavailable' } });
  };
  await ask(page, 'more');
  await page.waitForSelector('text=lost its file');
  assert.match(await page.locator('article.assistant').last().innerText(), /half/);

  front.answer = async (body, send, res) => {
    send({ content: 'half' });
    await pause(100);
    res.destroy();
  };
  await ask(page, 'more still');
  await page.waitForSelector('text=The connection ended before the answer did.');
});

test('a server with keys: the page is public, its calls carry the key, kept only when asked', async (t) => {
  const key = 'sk-hadal-page-0123456789';
  const locked = await Server.start('--set', `server.api_keys=${key}`, '--set', 'server.access_log=off');
  t.after(() => locked.stop());
  await open({}, `${locked.url}/`);
  await page.waitForSelector('.failure >> text=invalid_api_key');
  await page.click('text=Enter API key');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'key');
  await page.keyboard.type(key);
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.querySelector('select.model')?.value === 'hadal-demo');
  await ask(page, 'who are you?');
  await answered(page, 1);
  await page.reload();
  await page.waitForFunction(() => document.querySelector('select.model')?.value === '');
  assert.equal(await page.evaluate((k) => JSON.stringify(localStorage).includes(k), key), false);
  await page.keyboard.press('Control+Comma');
  await page.fill('#key', key);
  await page.click('text=Remember it');
  await page.keyboard.press('Escape');
  await page.reload();
  await page.waitForFunction(() => document.querySelector('select.model')?.value === 'hadal-demo');
});

test('keyboard only: from the first key to a deleted conversation', async () => {
  await open();
  const press = (...keys) => keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve());
  const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.id);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'input');
  await page.keyboard.type('first line');
  await press('Shift+Enter');
  await page.keyboard.type('second line');
  await press('Enter');
  await answered(page, 1);
  assert.equal(await turn(0).locator('.said').innerText(), 'first line\nsecond line');

  await press('Alt+ArrowUp', 'Alt+ArrowUp');
  assert.equal(await focused(), 'You');
  await press('e');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('who are you?');
  await press('Enter');
  await page.waitForSelector('.branches');
  await answered(page, 1);
  await press('Alt+ArrowUp');
  assert.equal(await focused(), 'Answer');
  await press('t');
  assert.equal(await page.locator('.thoughts').isVisible(), true);
  await press('r');
  await page.waitForFunction(() => document.querySelectorAll('.branches').length === 2);
  await answered(page, 1);
  await press('Escape');
  await page.waitForFunction(() => document.activeElement?.id === 'input');

  await press('Control+Slash');
  await page.waitForSelector('dialog[open] >> text=Keyboard shortcuts');
  for (let i = 0; i < 6; i++) {
    await press('Tab');
    const inside = await page.evaluate(() =>
      document.activeElement === document.body || !!document.activeElement.closest('dialog'));
    assert.ok(inside, 'the focus left the dialog');
  }
  await press('Escape');
  await page.waitForFunction(() => !document.querySelector('dialog'));
  assert.equal(await page.evaluate(() => document.activeElement.id), 'input');

  await press('Control+k');
  await page.waitForFunction(() => document.activeElement?.id === 'search');
  await press('Tab', 'Tab', 'Enter');
  await page.waitForSelector('[role=menu]');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Rename');
  await press('ArrowUp');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Delete');
  await press('Enter');
  await page.waitForSelector('dialog[open]');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel');
  await press('Tab', 'Enter');
  await page.waitForSelector('text=Conversations stay in this browser');
});

test('Chinese by the browser\'s language, English by choice', async () => {
  await open({ locale: 'zh-CN' });
  assert.equal(await page.getAttribute('html', 'lang'), 'zh-CN');
  await page.waitForSelector('text=新对话');
  await ask(page, '我想跑一个 7.6 B 模型，8 位，32k 上下文，该选哪张卡？');
  const answer = await answered(page, 1);
  assert.match(await answer.innerText(), /思考了[^]*RTX 3060[^]*首个 token/);
  await page.click('[aria-label="设置"]');
  await page.locator('.choice span', { hasText: 'English' }).click();
  await page.keyboard.press('Escape');
  await page.waitForSelector('text=New chat');
  await page.reload();
  await page.waitForSelector('text=New chat');
  assert.equal(await page.getAttribute('html', 'lang'), 'en');
});

test('dark by the system, light by choice, without a flash after a reload', async () => {
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await open({ colorScheme: 'dark' });
  assert.equal(await back(), 'rgb(15, 22, 27)');
  await page.keyboard.press('Control+Comma');
  await page.locator('.choice span', { hasText: /^Light$/ }).click();
  assert.equal(await back(), 'rgb(255, 255, 255)');
  await page.route('**/assets/main-*', (route) => route.abort()); // before the page's own script
  page.goto(`${server.url}/`).catch(() => {});
  await page.waitForFunction(() => document.documentElement.dataset.theme === 'light');
  page.sins.length = 0; // the aborted script
});

test('a phone: everything within its width, the list lies over the conversation', async () => {
  await open({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true }, front.url);
  front.answer = says(`${rich}\n\n${'wide'.repeat(60)}\n\n| ${'column | '.repeat(12)}\n|${'---|'.repeat(12)}\n`);
  await ask(page, 'x'.repeat(200));
  await answered(page, 1);
  await page.waitForSelector('.katex-display');
  const width = await page.evaluate(() => {
    const scroller = document.querySelector('.scroller');
    return Math.max(document.documentElement.scrollWidth, scroller.scrollWidth);
  });
  assert.ok(width <= 360, `${width} px wide`);
  assert.equal(await page.locator('.sidebar').isVisible(), false);
  await page.tap('button[aria-label="Conversations"]');
  assert.equal(await page.locator('.sidebar').isVisible(), true);
  await page.tap('.chat-title');
  assert.equal(await page.locator('.sidebar').isVisible(), false);
  for (const size of await page.locator('.bar button, .composer button').evaluateAll(
    (all) => all.map((e) => Math.min(e.offsetWidth, e.offsetHeight)))) {
    assert.ok(size >= 32, `a button of ${size} px`);
  }
});

for (const scheme of ['light', 'dark']) {
  test(`accessibility in ${scheme}: no serious violation in any view`, async () => {
    await open({ colorScheme: scheme }, front.url);
    const check = async (view) => {
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      const serious = found.violations.filter((v) => ['serious', 'critical'].includes(v.impact));
      assert.deepEqual(serious.map((v) => `${view}: ${v.id}: ${v.nodes.map((n) => `${n.html} ${n.failureSummary}`)}`), []);
      assert.ok(found.passes.length > 10);
    };
    await check('empty');
    front.answer = async (body, send) => {
      send({ reasoning_content: 'Let me see.' });
      await says(rich)(body, send);
      send({ tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: '{"a": [1, "x", null]}' } }] });
    };
    await ask(page, 'everything');
    await answered(page, 1);
    await page.waitForSelector('.katex-display');
    await page.waitForSelector('.hljs-keyword');
    await page.click('summary');
    await check('conversation');
    front.answer = () => { throw { status: 400, error: { message: 'no', param: 'x', code: 'context_length_exceeded' } }; };
    await ask(page, 'fail');
    await page.waitForSelector('.failure');
    await page.hover('.failure');
    await check('failure');
    await page.locator('.edit').first().dispatchEvent('click');
    await check('editor');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+Comma');
    await check('settings');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+Slash');
    await check('help');
    await page.keyboard.press('Escape');
    await choose('everything', 'Delete');
    await check('delete');
    await page.keyboard.press('Escape');
    await page.click('.chat-entry .menu .icon-button');
    await check('menu');
  });
}

test('two tabs see each other\'s conversations', async () => {
  await open();
  const other = await page.context().newPage();
  await other.goto(`${server.url}/`);
  await other.waitForSelector('#input');
  await ask(page, 'who are you?');
  await answered(page, 1);
  await other.waitForSelector('.chat-entry >> text=who are you?');
});

test('the page is compressed, revalidated, and its files are kept', async () => {
  const first = await server.request('GET', '/', undefined, { 'accept-encoding': 'identity' });
  assert.equal(first.status, 200);
  assert.match(first.headers['content-security-policy'], /default-src 'none'/);
  const again = await server.request('GET', '/', undefined, { 'if-none-match': first.headers.etag });
  assert.equal(again.status, 304);
  assert.equal(again.text, '');
  const script = /\/assets\/main-[\w]+\.js/.exec(first.text)[0];
  const packed = await server.request('GET', script, undefined, { 'accept-encoding': 'gzip' });
  assert.equal(packed.headers['content-encoding'], 'gzip');
  assert.match(packed.headers['cache-control'], /immutable/);
  assert.equal((await server.request('HEAD', script)).text, '');
  assert.equal((await server.request('GET', '/favicon.ico')).status, 200);
  assert.equal((await server.request('GET', '/assets/none.js')).status, 404);
  assert.equal((await server.request('POST', '/', {})).status, 405);
  assert.ok(model);
});
