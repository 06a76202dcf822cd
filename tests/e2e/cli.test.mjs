// The commands, as a person types them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { binary, root, run, Server, waitFor } from './hadal.mjs';

const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'hadal-'));

test('version prints version, commit, compiler and instruction sets', async () => {
  const r = await run(['--version']);
  assert.equal(r.code, 0);
  assert.match(r.stdout, /^hadal \d+\.\d+\.\d+ \(\w+\)\n(clang|gcc) .*\nisa found: ref.*; chosen: \w+/);
  const j = JSON.parse((await run(['version', '--json'])).stdout);
  assert.ok(j.isa_found.includes(j.isa_chosen));
});

test('help is English or Chinese by locale or --lang', async () => {
  const env = { LC_ALL: '', LC_MESSAGES: '', LANG: 'C' };
  assert.match((await run(['help'], { env })).stdout, /serve a model over HTTP/);
  assert.match((await run(['help', '--lang', 'zh'], { env })).stdout, /在终端中对话/);
  assert.match((await run(['help'], { env: { ...env, LANG: 'zh_CN.UTF-8' } })).stdout, /选项/);
  assert.match((await run(['serve', '--help', '--lang', 'zh'], { env })).stdout, /监听地址/);
});

test('wrong usage is exit 2 with a reason', async () => {
  for (const args of [['nonsense'], ['logits'], ['bench', '--batch', '0'], ['serve', '--set', 'x'],
    ['serve', '--port', 'abc'], ['serve', '--set', 'engine.kv_memory=much'], ['serve', '--cpu-experts', 'some'],
    ['version', '--lang', 'fr'], ['--lang', 'fr', 'version'], ['help', 'nonsense']]) {
    const r = await run(args);
    assert.equal(r.code, 2, args.join(' '));
    assert.ok(r.stderr.length + r.stdout.length > 10);
  }
});

test('config check names file, line and key', async () => {
  const file = path.join(tmp, 'hadal.toml');
  fs.writeFileSync(file, '[server]\nport = 8080\nhosst = "x"\n');
  const bad = await run(['config', 'check', file]);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /line 3.*did you mean 'server\.hosts?'/);
  fs.writeFileSync(file, (await run(['config', 'print'])).stdout);
  assert.equal((await run(['config', 'check', file])).code, 0);
});

test('another address without a key is refused, with a key it serves', async () => {
  const r = await run(['serve', '--host', '0.0.0.0', '--port', '0']);
  assert.equal(r.code, 1);
  assert.match(r.stderr, /API key/);
  const keys = path.join(tmp, 'keys');
  fs.writeFileSync(keys, '0123456789abcdef0123456789abcdef\n');
  const server = await Server.start('--set', `server.api_key_file=${keys}`);
  const wrong = { authorization: 'Bearer nope' };
  const right = { authorization: 'Bearer 0123456789abcdef0123456789abcdef' };
  for (const [method, target] of [['GET', '/v1/models'], ['GET', '/metrics'], ['GET', '/version'],
    ['POST', '/v1/chat/completions'], ['POST', '/v1/completions']]) {
    assert.equal((await server.request(method, target, method === 'POST' ? {} : undefined)).status, 401, target);
    assert.equal((await server.request(method, target, method === 'POST' ? {} : undefined, wrong)).status, 401, target);
  }
  for (const target of ['/health', '/ready']) assert.equal((await server.request('GET', target)).status, 200);
  assert.equal((await server.request('GET', '/v1/models', undefined, right)).status, 200);
  assert.equal((await server.stop()).code, 0);
});

test('serve says what it does in Chinese, too', async () => {
  const server = await Server.start('--lang', 'zh');
  assert.match(server.stdout(), /权重 [\d.]+ GB，KV 缓存 [\d.]+ GB/);
  assert.match(server.stdout(), /正在监听 http:/);
  assert.equal((await server.stop()).code, 0);
});

test('tokenize turns text into ids and back', async () => {
  const text = 'How much memory? 需要多少显存？<｜User｜>';
  const ids = JSON.parse((await run(['tokenize'], { input: text })).stdout);
  assert.ok(ids.length > 3);
  const back = await run(['tokenize', '--decode'], { input: JSON.stringify(ids) });
  assert.equal(back.stdout, `${text}\n`);
  const plain = JSON.parse((await run(['tokenize', '--no-special'], { input: text })).stdout);
  assert.ok(plain.length > ids.length);
});

test('generate answers once, also as JSON', async () => {
  const r = await run(['generate', 'Who are you?', '--json']);
  assert.equal(r.code, 0, r.stderr);
  const j = JSON.parse(r.stdout);
  assert.match(j.content, /Hadal/);
  assert.equal(j.finish_reason, 'stop');
});

test('chat keeps a conversation over its standard input', async () => {
  const r = await run(['chat'], { input: 'Who are you?\n/clear\n你是谁？\n' });
  assert.equal(r.code, 0, r.stderr);
  assert.match(r.stdout, /Hadal/);
});

function readTensors(file) {
  const bytes = fs.readFileSync(file);
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + size));
  return (name) => {
    const { dtype, shape, data_offsets: [from, to] } = header[name];
    const data = bytes.buffer.slice(bytes.byteOffset + 8 + size + from, bytes.byteOffset + 8 + size + to);
    return { shape, data: dtype === 'F32' ? new Float32Array(data) : new Int32Array(data) };
  };
}

test('logits of committed goldens match through the command, in chunks', async () => {
  const exact = ['--set', 'cpu.exact_prompts=true'];
  for (const [name, isa, chunk, tolerance, ...options] of [['deepseek-v3', 'ref', '7', 2e-3],
    ['qwen2', 'ref', '1', 2e-3], ['deepseek-v2', 'auto', '16', 2e-3, ...exact],
    ['llama3', 'auto', '256', 2e-3, ...exact], ['llama3', 'auto', '256', null]]) {
    const golden = path.join(root, 'tests/golden', name);
    const expected = readTensors(path.join(golden, 'expected.safetensors'));
    const ids = path.join(tmp, 'ids.json'), out = path.join(tmp, 'logits.safetensors');
    fs.writeFileSync(ids, JSON.stringify([...expected('ids').data]));
    const r = await run(['logits', '--model', golden, '--ids', ids, '--out', out, '--device', 'cpu', '--isa', isa, '--chunk', chunk, ...options]);
    assert.equal(r.code, 0, r.stderr);
    const got = readTensors(out)('logits'), want = expected('logits');
    assert.deepEqual(got.shape, want.shape);
    let worst = 0;
    for (let i = 0; i < want.data.length; i++) worst = Math.max(worst, Math.abs(got.data[i] - want.data[i]));
    const largest = want.data.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    assert.ok(worst <= (tolerance ?? 2e-2 * largest), `${name}: ${worst}, largest ${largest}`);  // null: rounded
  }
  const ids = path.join(tmp, 'ids.json');
  fs.writeFileSync(ids, '[1, 99999999]');
  const bad = await run(['logits', '--ids', ids, '--out', path.join(tmp, 'x')]);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /99999999/);
});

test('a real TLS handshake with a certificate from files', async () => {
  const key = path.join(tmp, 'key.pem'), cert = path.join(tmp, 'cert.pem');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert,
    '-days', '1', '-subj', '/CN=localhost'], { stdio: 'ignore' });
  const server = await Server.start('--set', `server.tls_cert=${cert}`, '--set', `server.tls_key=${key}`);
  const status = await new Promise((resolve, reject) => https.get({ host: 'localhost', port: server.port, path: '/health',
    ca: fs.readFileSync(cert) }, (res) => { res.resume(); resolve(res.statusCode); }).on('error', reject));
  assert.equal(status, 200);
  assert.equal((await server.stop()).code, 0);
});

test('an answer beyond the request timeout ends with 408 and frees its blocks', async () => {
  const server = await Server.start('--set', 'server.request_timeout_s=0.1');
  const r = await server.chat({ messages: [{ role: 'user', content: 'hi' }], ignore_eos: true, max_tokens: 3900 });
  assert.equal(r.status, 408, r.text.slice(0, 200));
  assert.equal(r.json.error.code, 'timeout');
  assert.ok(await waitFor(async () => (await server.metric('hadal_kv_blocks_held')) === 0, 1000));
  await server.stop();
});

test('a second signal while draining cuts what still runs, with an error event', async () => {
  const server = await Server.start('--set', 'server.drain_timeout_s=20');
  const stream = server.stream({ messages: [{ role: 'user', content: 'hi' }], ignore_eos: true, max_tokens: 3900 });
  assert.ok(await waitFor(async () => (await server.metric('hadal_kv_blocks_held')) > 0, 2000));
  server.child.kill('SIGTERM');
  await new Promise((r) => setTimeout(r, 100));
  server.child.kill('SIGTERM');
  const out = await stream;
  assert.ok(out.error, 'a stream that is cut ends with an error event');
  assert.equal((await server.exited).code, 0);
});

test('a missing model is one clear line', async () => {
  const r = await run(['generate', 'x', '--model', '/nonexistent/model']);
  assert.equal(r.code, 1);
  assert.match(r.stderr, /nonexistent/);
});

test('bench prints tokens per second beside the limits', async () => {
  const r = await run(['bench', '--prompt', '32', '--batch', '1,4', '--generate', '8', '--repeat', '2', '--json']);
  assert.equal(r.code, 0, r.stderr);
  const j = JSON.parse(r.stdout);
  assert.ok(j.limits.read_bytes_per_second > 1e8);
  assert.ok(j.rows.length >= 3);
  for (const row of j.rows) assert.ok(row.tokens_per_second.median > 0);
});

test('completion scripts are there for three shells', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    assert.match((await run(['completion', shell])).stdout, /generate/);
  }
  assert.ok(binary);
});
