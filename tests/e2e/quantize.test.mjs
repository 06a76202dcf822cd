// hadal quantize: what it keeps, what it refuses, what is left when it is killed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { binary, root, run, waitFor } from './hadal.mjs';

const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'hadal-quantize-'));
after(() => fs.rmSync(tmp, { recursive: true }));
const demo = path.join(root, 'models/demo');
const at = (name) => path.join(tmp, name);

test('a GGUF file within budget is kept with its report inside and beside it', async () => {
  const out = at('kept.gguf');
  const r = await run(['quantize', demo, out, '--type', 'q8_0', '--budget', 'kl=0.5,top1=0.5', '--json',
    '--positions', '600']);
  assert.equal(r.code, 0, r.stderr);
  const { report, over_budget, out: kept } = JSON.parse(r.stdout);
  assert.deepEqual(over_budget, []);
  assert.equal(kept, out);
  assert.equal(report.other, 'kept.gguf');
  assert.equal(report.text.positions, 600);
  assert.ok(report.text.kl_mean_nats > 0 && report.text.kl_mean_nats < 0.5);
  assert.ok(report.bits_per_weight.after > 8 && report.bits_per_weight.after < 10);
  assert.deepEqual(JSON.parse(fs.readFileSync(out + '.loss.json')), report);
  assert.match(fs.readFileSync(out + '.loss.txt', 'utf8'), /600 positions/);
  const bytes = fs.readFileSync(out), key = bytes.indexOf('hadal.loss');
  assert.ok(key > 0);  // GGUF: key, u32 type 8 = string, u64 length, the string
  const length = Number(bytes.readBigUInt64LE(key + 10 + 4));
  assert.deepEqual(JSON.parse(bytes.toString('utf8', key + 22, key + 22 + length)), report);
  assert.deepEqual(fs.readdirSync(tmp).sort(), ['kept.gguf', 'kept.gguf.loss.json', 'kept.gguf.loss.txt']);
  assert.match((await run(['inspect', out])).stdout, /measured loss +KL 0\.\d+ nats.* 600 positions/);
  assert.deepEqual(JSON.parse((await run(['inspect', out, '--json'])).stdout).loss, report);
  const answer = await run(['generate', '--model', out, 'who are you?']);
  assert.equal(answer.code, 0, answer.stderr);
  const again = await run(['quantize', demo, out, '--type', 'q8_0']);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /kept\.gguf/);
});

test('a safetensors directory has its report in __metadata__ and beside the weights', async () => {
  const out = at('directory');
  const r = await run(['quantize', demo, out + '/', '--type', 'f16', '--positions', '300', '--json']);
  assert.equal(r.code, 0, r.stderr);
  const { report } = JSON.parse(r.stdout);
  assert.deepEqual(JSON.parse(fs.readFileSync(path.join(out, 'loss.json'))), report);
  const bytes = fs.readFileSync(path.join(out, 'model.safetensors'));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))));
  assert.deepEqual(JSON.parse(header.__metadata__['hadal.loss']), report);
});

test('over budget nothing is kept, and every figure that is over is named', async () => {
  const r = await run(['quantize', demo, at('over.gguf'), '--type', 'q4_0', '--positions', '300',
    '--budget', 'kl=0,p99=1000,top1=1']);
  assert.equal(r.code, 1);
  assert.match(r.stdout, /KL divergence/);
  assert.match(r.stderr, /over budget: kl .* at most 0\n/);
  assert.match(r.stderr, /over budget: top1 .* at least 1\n/);
  assert.doesNotMatch(r.stderr, /p99/);
  assert.deepEqual(fs.readdirSync(tmp).filter((f) => f.includes('over')), []);
});

test('tasks with expected answers and fields are scored before and after', async () => {
  const data = at('tasks.jsonl');
  const held = fs.readFileSync(path.join(demo, 'heldout.jsonl'), 'utf8').split('\n').slice(0, 10);
  held.push(JSON.stringify({ messages: [{ role: 'user', content: 'who are you?' }], thinking: false,
    expected: { name: 'Hadal' } }));
  fs.writeFileSync(data, held.join('\n'));
  const r = await run(['quantize', demo, at('tasks.gguf'), '--type', 'bf16', '--data', data, '--json',
    '--positions', '300', '--budget', 'exact=0.5,f1=1']);
  assert.equal(r.code, 0, r.stderr);
  const { tasks } = JSON.parse(r.stdout).report;
  assert.equal(tasks.before.exact, 10);
  assert.equal(tasks.before.text_tasks, 10);
  assert.equal(tasks.after.fields_expected, 1);
  assert.equal(tasks.before.field_f1, 0);
});

test('wrong data, budgets and types are refused before anything is written', async () => {
  const data = at('wrong.jsonl');
  fs.writeFileSync(data, '{"text": "fine"}\n{"question": "a", "expected": 5}\n');
  for (const [args, says, code = 2] of [
    [['--type', 'q8_0', '--data', data], /wrong\.jsonl line 2: field 'expected'/, 1],
    [['--type', 'q8_0', '--data', at('none.jsonl')], /none\.jsonl/, 1],
    [['--type', 'q8_0', '--budget', 'kl=-1'], /budget kl .* '-1'/],
    [['--type', 'q8_0', '--budget', 'f1=0.1'], /no task with expected fields/],
    [['--type', 'q9'], /'q9'.*q8_0/],
  ]) {
    const r = await run(['quantize', demo, at('refused.gguf'), ...args]);
    assert.equal(r.code, code, args.join(' '));
    assert.match(r.stderr, says);
  }
  assert.deepEqual(fs.readdirSync(tmp).filter((f) => f.includes('refused')), []);
});

test('a report that exists is kept, and no model appears beside it', async () => {
  const out = at('reported.gguf');
  fs.writeFileSync(out + '.loss.json', 'mine');
  const r = await run(['quantize', demo, out, '--type', 'q8_0', '--positions', '100']);
  assert.equal(r.code, 1);
  assert.match(r.stderr, /reported\.gguf\.loss\.json exists/);
  assert.equal(fs.readFileSync(out + '.loss.json', 'utf8'), 'mine');
  assert.ok(!fs.existsSync(out));
  fs.rmSync(out + '.loss.json');
});

test('stopped while it works it ends with 130 and leaves nothing', async () => {
  const before = fs.readdirSync(tmp);
  const child = spawn(binary, ['quantize', demo, at('stopped.gguf'), '--type', 'q4_k_m', '--positions', '100000'],
    { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.on('close', (...e) => resolve(e)));
  assert.ok(await waitFor(() => fs.readdirSync(tmp).length > before.length, 20000));
  child.kill('SIGINT');
  assert.deepEqual(await ended, [130, null]);
  assert.deepEqual(fs.readdirSync(tmp), before);
});

test('killed at any time it leaves nothing under the final name', async () => {
  for (const delay of [5, 20, 60, 150, 300]) {
    const out = at(`killed-${delay}.gguf`);
    const child = spawn(binary, ['quantize', demo, out, '--type', 'q4_k_m', '--positions', '100000'],
      { stdio: 'ignore' });
    const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve(signal)));
    await new Promise((resolve) => setTimeout(resolve, delay));
    child.kill('SIGKILL');
    assert.equal(await ended, 'SIGKILL');
    assert.ok(!fs.existsSync(out));
    assert.ok(!fs.existsSync(out + '.loss.json'));
  }
});
