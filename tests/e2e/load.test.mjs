// Many clients at once, clients that leave, and the drain.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, model, waitFor } from './hadal.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => server.stop());

const ask = (i, extra = {}) => ({
  messages: [{ role: 'user', content: `Question ${i}: how much memory does a ${i + 1}.5 B model need in 8-bit?` }],
  temperature: 0.8, seed: i, max_tokens: 160, ...extra });
const text = (s) => `${s.reasoning}|${s.content}|${s.finish}`;

test('64 concurrent streams: no error, fair progress, each equal to the same request alone', async () => {
  const progress = Array(64).fill(0);
  let snapshot = null;
  const all = await Promise.all(progress.map((_, i) =>
    server.stream(ask(i, { ignore_eos: true }), (json) => {
      const choice = json.choices?.[0];
      if (choice?.delta?.content || choice?.delta?.reasoning_content) progress[i]++;
      if (choice?.finish_reason && !snapshot) snapshot = [...progress];
    })));
  for (const s of all) {
    assert.equal(s.status, 200);
    assert.equal(s.error, undefined);
    assert.ok(s.done);
  }
  const ratio = Math.max(...snapshot) / Math.min(...snapshot);
  assert.ok(ratio <= 1.5, `progress when the first finished: ${Math.min(...snapshot)}..${Math.max(...snapshot)}`);
  for (let i = 0; i < 64; i += 1) {
    const alone = await server.stream(ask(i, { ignore_eos: true }));
    assert.equal(text(all[i]), text(alone), `stream ${i}`);
  }
});

test('40 clients dropped mid-stream free their blocks within a second', async () => {
  assert.ok(await waitFor(async () => (await server.metric('hadal_kv_blocks_held')) === 0, 5000));
  const requests = [];
  const started = [];
  for (let i = 0; i < 40; i++) {
    started.push(new Promise((resolve) => {
      server.stream(ask(i, { ignore_eos: true, max_tokens: 1500 }), resolve).catch(() => {});
      requests.push(server.lastRequest);
    }));
  }
  await Promise.all(started);
  assert.ok((await server.metric('hadal_kv_blocks_held')) > 0);
  for (const r of requests) r.destroy();
  const began = Date.now();
  const free = await waitFor(async () => (await server.metric('hadal_kv_blocks_held')) === 0, 1000);
  assert.ok(free, `blocks still held after ${Date.now() - began} ms`);
  const total = await server.metric('hadal_kv_blocks_total');
  const sum = (await server.metric('hadal_kv_blocks_free')) + (await server.metric('hadal_kv_blocks_cached'));
  assert.equal(sum, total);
});

test('300 requests at once: only 200, 429 or 503, with Retry-After', async () => {
  const small = await Server.start('--set', 'engine.max_queued=8', '--set', 'engine.max_sequences=4');
  const all = await Promise.all([...Array(300).keys()].map((i) => small.chat({ ...ask(i), max_tokens: 4 })));
  const counts = {};
  for (const r of all) {
    counts[r.status] = (counts[r.status] ?? 0) + 1;
    assert.ok([200, 429, 503].includes(r.status), `${r.status} ${r.text}`);
    if (r.status !== 200) assert.ok(Number(r.headers['retry-after']) >= 1);
  }
  assert.ok(counts[200] > 0 && counts[429] > 0, JSON.stringify(counts));
  assert.deepEqual(await small.stop(), { code: 0, signal: null });
});

test('SIGTERM with 32 streams: readiness off at once, all finish, exit 0', async () => {
  const draining = await Server.start();
  const first = [];
  const streams = [...Array(32).keys()].map((i) => {
    let seen;
    first.push(new Promise((resolve) => { seen = resolve; }));
    return draining.stream(ask(i, { ignore_eos: true, max_tokens: 200 }), seen);
  });
  await Promise.all(first);
  draining.child.kill('SIGTERM');
  assert.ok(await waitFor(async () => (await draining.request('GET', '/ready')).status === 503, 500));
  assert.equal((await draining.chat(ask(1))).status, 503);
  for (const s of await Promise.all(streams)) {
    assert.ok(s.done && !s.error);
    assert.equal(s.finish, 'length');
  }
  assert.deepEqual(await draining.exited, { code: 0, signal: null });
});
