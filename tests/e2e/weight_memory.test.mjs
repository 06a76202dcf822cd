// Loading: what it says about itself, and models of which a part stays in the file.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { root, run, Server } from './hadal.mjs';

const demo = path.join(root, 'models/demo');
const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'hadal-memory-'));
after(() => fs.rmSync(tmp, { recursive: true }));
const fromFile = ['--set', 'cpu.weight_memory=0'];
const question = { messages: [{ role: 'user', content: 'Who are you?' }], temperature: 0, max_tokens: 32 };

test('bench --cold says what the disk gives and what of it loading reached', async () => {
  const few = ['bench', '--cold', '--prompt', '8', '--batch', '1', '--generate', '4', '--repeat', '1'];
  const r = await run([...few, '--json']);
  assert.equal(r.code, 0, r.stderr);
  const { load } = JSON.parse(r.stdout);
  assert.ok(load.bytes_per_second > 0 && load.disk.bytes_per_second > 0);
  assert.ok(Math.abs(load.disk.share_reached - load.bytes_per_second / load.disk.bytes_per_second) < 1e-6);
  assert.match((await run([...few, '--lang', 'en'])).stdout, /plain sequential read of the same files: .* GB\/s/);
});

test('weights that do not fit are read from the file: the same answer, and every command says so', async () => {
  const resident = await run(['generate', 'Who are you?', '--json']);
  const read = await run(['generate', 'Who are you?', '--json', ...fromFile]);
  assert.equal(read.code, 0, read.stderr);
  assert.equal(JSON.parse(read.stdout).content, JSON.parse(resident.stdout).content);
  const bench = await run(['bench', '--prompt', '8', '--batch', '1', '--generate', '4', '--repeat', '1', '--json', ...fromFile]);
  const j = JSON.parse(bench.stdout);
  assert.ok(j.read_at_every_use_bytes > 1e7 && j.resident_bytes < 1e6, bench.stdout);
  const plan = JSON.parse((await run(['inspect', demo, '--json', ...fromFile])).stdout);
  assert.equal(plan.weight_bytes.read_at_every_use, j.read_at_every_use_bytes);
  assert.equal(plan.weight_bytes.resident, j.resident_bytes);
  assert.match((await run(['inspect', demo, '--lang', 'en', ...fromFile])).stdout, /do not fit now: read from the file/);
  const whole = JSON.parse((await run(['inspect', demo, '--json'])).stdout);
  assert.equal(whole.weight_bytes.read_at_every_use, 0);
  const bad = await run(['bench', '--set', 'cpu.weight_memory=lots']);
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /cpu\.weight_memory/);
});

test('serve says when a first token was there, and outlives a file that is cut under it', async () => {
  const copy = path.join(tmp, 'demo');
  fs.cpSync(demo, copy, { recursive: true });
  const server = await Server.start('--model', copy, '--lang', 'en', ...fromFile);
  try {
    assert.match(server.stdout(), /loaded in \d+\.\d+ s, first token \d+\.\d+ s after start/);
    assert.match(server.stdout(), /GB of weights do not fit into cpu\.weight_memory/);
    const good = await server.chat({ ...question, model: 'demo' });
    assert.equal(good.status, 200, good.text);
    fs.truncateSync(path.join(copy, 'model.safetensors'), 1 << 20);
    for (let i = 0; i < 2; i++) {
      const cut = await server.chat({ ...question, model: 'demo', seed: i });
      assert.ok(cut.status >= 500, cut.text);
      assert.match(cut.text, /became shorter/);
    }
    assert.ok(server.alive);
    assert.equal((await server.request('GET', '/health')).status, 200);
  } finally {
    await server.stop();
  }
});
