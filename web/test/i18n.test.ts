import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration, language, languageOf, t } from '../src/i18n';
import { en } from '../src/i18n/en';
import { zh } from '../src/i18n/zh';
import { MemoryStore } from '../src/state/store';
import { addTurn, newConversation } from '../src/model/tree';
import { defaultSettings } from '../src/model/types';

test('both languages have every text, with the same values to fill in', () => {
  const values = (text: string) => [...text.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort().join();
  for (const [key, text] of Object.entries(en)) {
    const other = zh[key as keyof typeof zh];
    assert.ok(other, key);
    assert.equal(values(other), values(text), key);
  }
});

test('the browser\'s first language that is known is taken', () => {
  assert.equal(languageOf(['zh-TW', 'en']), 'zh');
  assert.equal(languageOf(['fr', 'en-GB', 'zh']), 'en');
  assert.equal(languageOf(['fr']), 'en');
  assert.equal(languageOf([]), 'en');
});

test('values are filled in, whatever they hold', () => {
  assert.equal(t('deleteText', { title: '{title} $& $1' }).includes('{title} $& $1'), true);
  language.value = 'zh';
  assert.equal(formatDuration(4200), '4.2 秒');
  assert.equal(formatDuration(125_000), '2 分 5 秒');
  language.value = 'en';
  assert.equal(formatDuration(42_000), '42 s');
});

test('search finds words of a title and of any branch, in any order and case', async () => {
  const store = new MemoryStore();
  const c = addTurn({ ...newConversation(defaultSettings, 0), title: 'Memory of GPUs' },
    { id: 'a', parent: null, role: 'user', created: 0, content: '选哪张卡 H200' });
  await store.put(c);
  for (const query of ['gpus', 'h200 memory', '哪张', '']) {
    assert.equal((await store.search(query)).size, 1, query);
  }
  assert.equal((await store.search('memory tpu')).size, 0);
});
