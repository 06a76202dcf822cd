// Pictures of the chat page for the documentation: node screenshots.mjs [FOLDER]. Real binary,
// built-in model; docs/images/ unless a folder is named.
import fs from 'node:fs';
import path from 'node:path';
import { answered, ask, launch, openPage } from './browser.mjs';
import { Server, root } from './hadal.mjs';

const folder = path.resolve(process.argv[2] ?? path.join(root, 'docs/images'));
const maxBytes = 200_000;

const english = ['who are you?', 'How much memory do the weights of a 32 B model need in 4-bit?',
  'I want to run a 7.6 B model in 8-bit with 32k tokens of context. Which card fits?'];
const chinese = ['你是谁？', '32 B 模型用 4 位，权重要多少内存？', '我想跑一个 7.6 B 模型，8 位，32k 上下文，该选哪张卡？'];
const views = [
  { name: 'desktop', questions: english, unfold: true },
  { name: 'dark', questions: english, unfold: true, options: { colorScheme: 'dark' } },
  { name: 'settings', questions: english, settings: true },
  { name: 'chinese', questions: chinese, unfold: true, options: { locale: 'zh-CN' } },
  { name: 'phone', questions: english, options: { viewport: { width: 390, height: 844 }, isMobile: true,
    hasTouch: true, deviceScaleFactor: 2 } },
];

async function take(browser, url, { name, questions, unfold, settings, options }) {
  const page = await openPage(browser, url, { viewport: { width: 1280, height: 820 }, ...options });
  for (const [i, question] of questions.entries()) {
    if (i && i < questions.length - 1) await page.keyboard.press('Control+Shift+O');
    await ask(page, question);
    await answered(page, i === questions.length - 1 ? 2 : 1);
  }
  if (unfold) await page.locator('summary').last().click();
  if (settings) await page.click('.bar .icon-button:last-child');
  await page.evaluate(() => document.fonts.ready);
  await page.mouse.move(0, 0);
  await page.waitForTimeout(400);
  const file = path.join(folder, `chat-${name}.png`);
  await page.screenshot({ path: file });
  const { size } = fs.statSync(file);
  console.log(`${file}: ${size} bytes`);
  if (size > maxBytes) throw new Error(`${file} is larger than ${maxBytes} bytes`);
  if (page.sins.length) throw new Error(page.sins.join('\n'));
  await page.context().close();
}

fs.mkdirSync(folder, { recursive: true });
const server = await Server.start('--set', 'server.access_log=off');
const browser = await launch();
try {
  for (const view of views) await take(browser, `${server.url}/`, view);
} finally {
  await browser.close();
  await server.stop();
}
