// Debian's chromium, and pages that remember everything a page of ours must not do.
import fs from 'node:fs';
import { chromium } from 'playwright-core';

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const launch = () => chromium.launch({ executablePath: '/usr/bin/chromium', args: flags });

// A fresh profile on `url`. `page.sins` lists: console errors, exceptions, violations of the policy,
// dialogs, requests to any other host. Answers of the API with an error status are no sin here: the
// tests that provoke them look at the page.
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 }, locale: 'en-US', colorScheme: 'light', acceptDownloads: true,
    ...options });
  const sins = [];
  context.on('request', (request) => {
    const to = new URL(request.url());
    const own = to.origin === new URL(url).origin || to.protocol === 'data:' || to.protocol === 'blob:';
    if (!own) sins.push(`request to ${request.url()}`);
  });
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', (e) =>
      console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
  });
  context.setDefaultTimeout(10000);
  const page = await context.newPage();
  page.on('console', (message) => {
    const expected = /^Failed to load resource: .*(status of 4\d\d|ERR_)/.test(message.text()) &&
      message.location().url.includes('/v1/');
    if (message.type() === 'error' && !expected) sins.push(message.text());
  });
  page.on('pageerror', (error) => sins.push(`exception: ${error.stack}`));
  page.on('dialog', (dialog) => {
    sins.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.sins = sins;
  await page.goto(url);
  await page.waitForSelector('#input');
  return page;
}

export async function ask(page, text) {
  await page.fill('#input', text);
  await page.press('#input', 'Enter');
}

// The last answer is complete.
export async function answered(page, count) {
  await page.waitForFunction((n) => {
    const turns = [...document.querySelectorAll('article.assistant')];
    return turns.length >= n && turns.every((turn) => turn.getAttribute('aria-busy') === 'false');
  }, count, { timeout: 20000 });
  return page.locator('article.assistant').last();
}

// Content of the file that `action` makes the page save.
export async function saved(page, action) {
  const [download] = await Promise.all([page.waitForEvent('download'), action()]);
  return { name: download.suggestedFilename(), text: fs.readFileSync(await download.path(), 'utf8') };
}
