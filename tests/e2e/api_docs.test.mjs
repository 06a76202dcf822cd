// The pages of the API are made from the conformance table and are not stale.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { root } from './hadal.mjs';

const check = (docs) => new Promise((resolve) => {
  execFile(process.execPath, [path.join(root, 'tools/api_docs.mjs'), '--check', '--docs', docs], (error, stdout, stderr) =>
    resolve({ code: error?.code ?? 0, text: stdout + stderr }));
});

test('docs/API.md and docs/API.zh-CN.md say what the table says', async () => {
  assert.deepEqual(await check(path.join(root, 'docs')), { code: 0, text: '' });
});

test('a page whose error or example differs is stale', async () => {
  const docs = fs.mkdtempSync(path.join(os.tmpdir(), 'hadal-docs-'));
  const copy = (change) => {
    for (const name of ['API.md', 'API.zh-CN.md']) fs.writeFileSync(path.join(docs, name), change(fs.readFileSync(path.join(root, 'docs', name), 'utf8')));
  };
  try {
    for (const change of [(t) => t.replaceAll('nothing is cut', 'much is cut'), (t) => t.replace('"finish_reason"', '"reason"')]) {
      copy(change);
      const r = await check(docs);
      assert.equal(r.code, 1);
      assert.match(r.text, /stale at line/);
    }
  } finally {
    fs.rmSync(docs, { recursive: true });
  }
});
