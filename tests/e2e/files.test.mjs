// Model files as a person handles them: synth, inspect, convert.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { binary, root, run, waitFor } from './hadal.mjs';

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

// The file with every `from` replaced by `to`, which has as many bytes.
function patched(name, from, to) {
  const bytes = fs.readFileSync(at('coder.gguf')), replacement = Buffer.from(to);
  assert.equal(replacement.length, Buffer.byteLength(from));
  for (let i = bytes.indexOf(from); i >= 0; i = bytes.indexOf(from, i + 1)) replacement.copy(bytes, i);
  fs.writeFileSync(at(name), bytes);
  return at(name);
}

test('inspect as JSON is JSON whatever bytes the texts of the file have', async () => {
  for (const [text, ok] of [['random weights', true], ['deepseek-coder', false]]) {
    const broken = Buffer.concat([Buffer.from([0xff]), Buffer.from(text).subarray(1)]);
    const r = await run(['inspect', patched('bytes.gguf', text, broken), '--json']);
    const j = JSON.parse(r.stdout);
    assert.equal(j.ok, ok, r.stdout);
    assert.ok(!JSON.stringify([j.name, j.problems]).includes(text) || !ok);
    assert.equal((await run(['inspect', at('bytes.gguf')])).code, ok ? 0 : 1);
  }
});

test('a report that no quantisation wrote is shown as text, however deep it is', async () => {
  const text = (s) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(s.length));
    return Buffer.concat([length, Buffer.from(s)]);
  };
  const head = Buffer.from('GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0', 'latin1');
  const deep = '['.repeat(1e6) + ']'.repeat(1e6);
  fs.writeFileSync(at('deep.gguf'),
    Buffer.concat([head, text('hadal.loss'), Buffer.from([8, 0, 0, 0]), text(deep), Buffer.alloc(64)]));
  const r = await run(['inspect', at('deep.gguf'), '--json']);
  assert.equal(r.code, 1);
  assert.equal(JSON.parse(r.stdout).loss, deep);
  assert.ok((await run(['inspect', at('deep.gguf')])).stdout.length < 4096);
});

test('inspect names the format that serving takes, and what can be done without one', async () => {
  const own = patched('own.gguf', '<|EOT|>', '<|XOT|>');  // no format of Hadal's has this token
  const j = JSON.parse((await run(['inspect', own, '--json'])).stdout);
  assert.deepEqual(j.chat, { format: 'template', template: true });
  const ask = ['--max-tokens', '2', 'hi'];
  assert.equal((await run(['generate', '--model', own, ...ask])).code, 0);

  const bytes = fs.readFileSync(own);  // a tag that is never closed
  const begin = bytes.indexOf('{%', bytes.indexOf('tokenizer.chat_template'));
  bytes.write('{{', begin);
  fs.writeFileSync(at('none.gguf'), bytes);
  const none = JSON.parse((await run(['inspect', at('none.gguf'), '--json'])).stdout);
  assert.equal(none.chat.format, '');
  assert.match(none.notes.join(), /template/);
  const asked = await run(['generate', '--model', at('none.gguf'), ...ask]);
  assert.equal(asked.code, 1);
  assert.match(asked.stderr, /--chat-template FILE.*--raw/);
  const chatted = await run(['chat', '--model', at('none.gguf')], { input: 'hi\n' });
  assert.equal(chatted.code, 1);
  assert.match(chatted.stderr, /--chat-template FILE/);
  assert.equal((await run(['generate', '--raw', '--model', at('none.gguf'), ...ask])).code, 0);
});

test('a directory of GGUF files is answered with their names', async () => {
  fs.mkdirSync(at('folder'));
  fs.symlinkSync(at('coder.gguf'), path.join(at('folder'), 'coder.gguf'));
  const r = await run(['generate', '--model', at('folder'), 'hi']);
  assert.equal(r.code, 1);
  assert.match(r.stderr, /holds coder\.gguf: give the path of the file/);
});

test('Ctrl-C while a model is written ends with 130 and leaves nothing', async () => {
  const dir = at('stopped');
  fs.mkdirSync(dir);
  for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) {
    const child = spawn(binary, ['synth', '--shape', 'deepseek-coder-1.3b', '--type', 'q8_0', '--layers', '12',
      '--out', path.join(dir, 'x.gguf')], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (d) => (stderr += d));
    const ended = new Promise((resolve) => child.on('close', (...e) => resolve(e)));
    assert.ok(await waitFor(() => fs.readdirSync(dir).length > 0, 20000));
    child.kill(signal);
    assert.deepEqual(await ended, [code, null]);
    assert.match(stderr, /nothing was written/);
    assert.deepEqual(fs.readdirSync(dir), []);
  }
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

// Printing or destroying what a reader took in may recurse as deep as it is nested.
test('JSON nested a million deep is refused by every command that reads some', async () => {
  const deep = '['.repeat(1e6) + ']'.repeat(1e6);
  fs.writeFileSync(at('ids.json'), deep);
  const logits = await run(['logits', '--ids', at('ids.json'), '--out', at('logits')]);
  assert.equal(logits.code, 1);
  assert.match(logits.stderr, /nested deeper/);
  for (const more of [[], ['--jsonl']]) {
    const decoded = await run(['tokenize', '--decode', ...more], { input: deep });
    assert.equal(decoded.code, 1);
    assert.match(decoded.stderr, /nested deeper/);
  }
});

test('a report in a file may be anything', async () => {
  fs.cpSync(demo, at('report'), { recursive: true });
  const bytes = fs.readFileSync(path.join(demo, 'model.safetensors'));
  const length = Number(bytes.readBigUInt64LE());
  const table = JSON.parse(bytes.subarray(8, 8 + length));
  table.__metadata__ = { 'hadal.loss': '['.repeat(1e6) + ']'.repeat(1e6) };
  const text = Buffer.from(JSON.stringify(table));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(at('report/model.safetensors'), Buffer.concat([size, text, bytes.subarray(8 + length)]));
  const inspected = await run(['inspect', at('report'), '--json']);
  assert.equal(inspected.code, 0, inspected.stderr);
  assert.equal(typeof JSON.parse(inspected.stdout).loss, 'string');
});

test('a tensor without elements costs nothing, whatever its other dimension', async () => {
  const bytes = fs.readFileSync(path.join(demo, 'model.safetensors'));
  const length = Number(bytes.readBigUInt64LE());
  const end = bytes.length - 8 - length;
  for (const [name, shape] of [['rows', '[4611686018427387904,0]'], ['cols', '[0,4611686018427387904]']]) {
    fs.cpSync(demo, at(name), { recursive: true });
    const text = bytes.subarray(8, 8 + length).toString().trimEnd().replace(/\}$/,
      `,"none":{"dtype":"F32","shape":${shape},"data_offsets":[${end},${end}]}}`);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
    fs.writeFileSync(path.join(at(name), 'model.safetensors'),
      Buffer.concat([size, Buffer.from(text), bytes.subarray(8 + length)]));
    const inspected = await run(['inspect', at(name), '--deep']);
    assert.equal(inspected.code, 1, inspected.stderr);
    assert.match(inspected.stdout, /unexpected: 'none'/);
    const made = await run(['convert', at(name), at(`${name}-out`), '--type', 'bf16']);
    assert.equal(made.signal, null);
  }
});

test('what a file says never reaches the terminal as a control character', async () => {
  fs.writeFileSync(at('template'), "{{ raise_exception('\x1b[2J gone') }}");
  const refused = await run(['generate', '--chat-template', at('template'), 'hi']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /\\x1b\[2J gone/);
  assert.ok(!refused.stderr.includes('\x1b'));
});

test('a limit of the size of a file is an error, not the end of the process', async () => {
  const limited = (command) =>
    new Promise((resolve) =>
      execFile('sh', ['-c', `ulimit -f 1; exec "$0" ${command}`, binary, demo, at('limited')],
        (error, stdout, stderr) => resolve({ code: error?.code, signal: error?.signal, stderr })));
  const made = await limited('convert "$1" "$2" --type bf16');
  assert.equal(made.signal, null);
  assert.equal(made.code, 1);
  assert.match(made.stderr, /File too large|ulimit -f/);
  assert.equal(fs.existsSync(at('limited')), false);
});

test('output that cannot be written is an error', async () => {
  const full = await new Promise((resolve) =>
    execFile('sh', ['-c', '"$0" version > /dev/full', binary],
      (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stderr })));
  assert.equal(full.code, 1);
  assert.match(full.stderr, /writing the output failed/);
});

test('completion and help know the commands', async () => {
  assert.match((await run(['completion', 'bash'])).stdout, /inspect.*convert.*synth/);
  for (const command of ['inspect', 'convert', 'synth']) {
    assert.match((await run([command, '--help', '--lang', 'zh'])).stdout, /用法/);
    assert.match((await run([command, '--help', '--lang', 'en'])).stdout, /Usage/);
  }
});
