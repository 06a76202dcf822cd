// Model files as a person handles them: synth, inspect, convert.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { root, run } from './hadal.mjs';

const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'hadal-files-'));
const demo = path.join(root, 'models/demo');
const at = (name) => path.join(tmp, name);
after(() => fs.rmSync(tmp, { recursive: true }));

test('the built-in model goes to GGUF and back and answers the same', async () => {
  const ask = ['generate', 'Who are you?', '--temperature', '0', '--max-tokens', '24'];
  const original = (await run(ask)).stdout;
  assert.equal((await run(['convert', demo, at('demo.gguf'), '--type', 'bf16'])).code, 0);
  assert.equal((await run([...ask, '--model', at('demo.gguf')])).stdout, original);
  const back = await run(['convert', at('demo.gguf'), at('demo'), '--type', 'bf16', '--json']);
  assert.equal(back.code, 0);
  assert.equal(JSON.parse(back.stdout).path, at('demo'));
  assert.equal((await run([...ask, '--model', at('demo')])).stdout, original);
});

test('inspect says what a file is, in both languages and as JSON', async () => {
  const made = await run(['synth', '--shape', 'deepseek-coder-1.3b', '--type', 'q4_k_m', '--layers', '1',
    '--out', at('coder.gguf')]);
  assert.equal(made.code, 0, made.stderr);
  const j = JSON.parse((await run(['inspect', at('coder.gguf'), '--json', '--deep'])).stdout);
  assert.equal(j.ok, true);
  assert.equal(j.architecture, 'llama');
  assert.equal(j.config.layers, 1);
  assert.equal(j.kv_bytes_per_token.bf16, 2 * 2048 * 2);
  assert.equal(j.vocabulary.tokens.bos, 32013);
  assert.ok(j.bits_per_weight > 4.5 && j.bits_per_weight < 6);
  assert.match((await run(['inspect', at('coder.gguf'), '--lang', 'zh'])).stdout, /可以运行/);
});

test('inspect of a broken file names the first problem with its offset and exits 1', async () => {
  const bytes = fs.readFileSync(at('coder.gguf'));
  fs.writeFileSync(at('cut.gguf'), bytes.subarray(0, bytes.length >> 1));
  const cut = await run(['inspect', at('cut.gguf'), '--json']);
  assert.equal(cut.code, 1);
  const j = JSON.parse(cut.stdout);
  assert.equal(j.ok, false);
  assert.match(j.problems[0], /byte \d+/);
  assert.equal((await run(['inspect', at('nowhere')])).code, 1);
});

test('nothing is overwritten, and wrong names are answered with the right ones', async () => {
  const again = await run(['convert', demo, at('coder.gguf'), '--type', 'bf16']);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /exists already/);
  const type = await run(['convert', demo, at('x.gguf'), '--type', 'q4km']);
  assert.equal(type.code, 2);
  assert.match(type.stderr, /q4_k_m/);
  const shape = await run(['synth', '--shape', 'v2-lit', '--type', 'q4_0', '--out', at('x.gguf')]);
  assert.equal(shape.code, 2);
  assert.match(shape.stderr, /did you mean 'v2-lite'/);
  assert.equal((await run(['convert', demo])).code, 2);
  assert.equal((await run(['synth', '--shape', 'v3'])).code, 2);
  assert.deepEqual(fs.readdirSync(tmp).filter((n) => n.startsWith('.') || n.startsWith('x')), []);
});

test('completion and help know the commands', async () => {
  assert.match((await run(['completion', 'bash'])).stdout, /inspect.*convert.*synth/);
  for (const command of ['inspect', 'convert', 'synth']) {
    assert.match((await run([command, '--help', '--lang', 'zh'])).stdout, /用法/);
    assert.match((await run([command, '--help', '--lang', 'en'])).stdout, /Usage/);
  }
});
