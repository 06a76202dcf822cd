// Hostile input over real sockets, numbered as in the list of attacks that the server must survive.
// After every one the server is alive, answers /health at once and no answer was a 500.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { Server, model, waitFor } from './hadal.mjs';

let server;
before(async () => {
  server = await Server.start('--set', 'server.header_timeout_s=1.5', '--set', 'server.body_timeout_s=1.5',
    '--set', 'server.idle_timeout_s=3', '--set', 'server.max_connections=700', '--set', 'server.access_log=off');
});
after(() => server.stop());
afterEach(async () => {
  assert.ok(server.alive, `the server died: ${server.stderr}`);
  const began = Date.now();
  assert.equal((await server.request('GET', '/health')).status, 200);
  assert.ok(Date.now() - began < 1000);
});

const head = (extra, body = '', method = 'POST', target = '/v1/chat/completions') =>
  `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${extra}\r\n${body}`;
const http = [
  ['1 URI of 64 KiB', `GET /${'a'.repeat(65536)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, [414]],
  ['2 header of 1 MiB', `GET /health HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(1 << 20)}\r\n\r\n`, [431]],
  ['3 10 000 headers', `GET /health HTTP/1.1\r\nHost: localhost\r\n${'X: y\r\n'.repeat(10000)}\r\n`, [431]],
  ['4 Content-Length -1', head('Content-Length: -1\r\n'), [400]],
  ['5 Content-Length and Transfer-Encoding', head('Content-Length: 3\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), [400]],
  ['6 two Content-Lengths', head('Content-Length: 2\r\nContent-Length: 3\r\n', '{}'), [400]],
  ['7 chunk size -2', head('Transfer-Encoding: chunked\r\n', '-2\r\nab\r\n0\r\n\r\n'), [400]],
  ['8 chunk size ffffffffffffffff', head('Transfer-Encoding: chunked\r\n', 'ffffffffffffffff\r\nab\r\n'), [400, 413]],
  ['9 200 000 chunks of one byte', head('Transfer-Encoding: chunked\r\n', '1\r\n \r\n'.repeat(200000) + '0\r\n\r\n'), [400]],
  ['10 a claimed body of 10 GB', head('Content-Length: 10000000000\r\n'), [413]],
  ['11 gzip', head('Content-Encoding: gzip\r\nContent-Length: 4\r\n', '\x1f\x8b\x08\x00'), [415]],
  ['12 NUL in the path', 'GET /he%00alth HTTP/1.1\r\nHost: localhost\r\n\r\n', [400]],
  ['13 CR LF in the path', 'GET /%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: localhost\r\n\r\n', [400]],
  ['14 TLS hello on the plain port', Buffer.from('16030100a5010000a10303' + '00'.repeat(160), 'hex'), [0, 400]],
  ['15 random bytes', Buffer.from([...Array(512).keys()].map((i) => (i * 167 + 91) & 255)), [0, 400]],
  ['16 bare LF', 'GET /health HTTP/1.1\nHost: localhost\n\n', [400]],
  ['17 unknown method', 'BREW /health HTTP/1.1\r\nHost: localhost\r\n\r\n', [405, 501]],
  ['18 dot segments', 'GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n', [404]],
  ['18 encoded dot segments', 'GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n', [404]],
  ['22 a Host that is not ours', 'GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n', [403, 421]],
  ['24 Expect with a body too large', head('Expect: 100-continue\r\nContent-Length: 999999999\r\n'), [413]],
  ['25 a body that never comes', head('Content-Length: 100\r\n', '{'), [408]],
];
for (const [name, bytes, statuses] of http) {
  test(`HTTP ${name}`, async () => {
    const r = await server.raw(bytes, 4000);
    assert.ok(statuses.includes(r.status), `${r.status}: ${r.text.slice(0, 300)}`);
    assert.ok(!/X-Evil/i.test(r.text));
    assert.ok(!r.text.includes('100 Continue'));
    if (r.status >= 400) assert.match(r.text, /"error":/);
    assert.ok(r.ms < 3500);
  });
}

test('HTTP 19 slow headers time out while others are served', async () => {
  const sockets = [...Array(500)].map(() => {
    const s = net.connect(server.port, '127.0.0.1');
    s.on('error', () => {});
    s.resume();
    s.write('GET /health HT');
    return s;
  });
  const r = await server.chat({ messages: [{ role: 'user', content: 'hello' }], max_tokens: 4 });
  assert.equal(r.status, 200);
  const closed = await waitFor(() => sockets.every((s) => s.closed || s.destroyed || s.readyState !== 'open'), 6000);
  assert.ok(closed, 'slow connections are still open');
  sockets.forEach((s) => s.destroy());
});

test('HTTP 20 half a request, then a reset', async () => {
  for (let i = 0; i < 30; i++) {
    const s = net.connect(server.port, '127.0.0.1');
    s.on('error', () => {});
    await new Promise((r) => s.once('connect', r));
    s.write(head('Content-Length: 1000\r\n', '{"model"'));
    s.resetAndDestroy();
  }
});

test('HTTP 21 a hundred pipelined requests are answered in order', async () => {
  let text = '';
  for (let i = 0; i < 100; i++) {
    const target = i % 2 ? '/health' : `/nothing-${i}`;
    text += `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${i === 99 ? 'Connection: close\r\n' : ''}\r\n`;
  }
  const r = await server.raw(text, 4000);
  const statuses = [...r.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => m[1]);
  assert.deepEqual(statuses, [...Array(100).keys()].map((i) => (i % 2 ? '200' : '404')));
});

test('HTTP 23 more idle connections than allowed: the newest is served', async () => {
  const sockets = [];
  for (let i = 0; i < 750; i++) {
    const s = net.connect(server.port, '127.0.0.1');
    s.on('error', () => {});
    sockets.push(s);
  }
  assert.equal((await server.request('GET', '/health')).status, 200);
  sockets.forEach((s) => s.destroy());
});

const messages = [{ role: 'user', content: 'hi' }];
const ok = { model, messages, max_tokens: 2 };
const json = (o) => JSON.stringify(o);
const bodies = [
  ['35 empty', ''], ['36 not JSON', 'hello'], ['37 truncated', '{"model": "hadal-de'],
  ['38 null', 'null'], ['38 array', '[]'], ['38 number', '7'],
  ['40 NaN', `{"model":"${model}","messages":[],"temperature":NaN}`],
  ['40 Infinity', `{"temperature":-Infinity}`], ['41 1e999999', `{"temperature":1e999999}`],
  ['42 invalid UTF-8', Buffer.from('{"model":"\xff\xfe"}', 'latin1')],
  ['43 100 000 [', '['.repeat(100000)], ['44 100 000 {"a":', '{"a":'.repeat(100000)],
  ['45 valid nesting in an unknown field', `{"model":"${model}","messages":[{"role":"user","content":"x"}],"x":${'['.repeat(100000)}${']'.repeat(100000)}}`],
  ['48 duplicate keys', `{"model":"${model}","model":"${model}","messages":[{"role":"user","content":"x"}]}`],
  ['50 100 000 messages', json({ ...ok, messages: Array(100000).fill(messages[0]) })],
];
for (const [name, body] of bodies) {
  test(`JSON ${name}`, async () => {
    const began = Date.now();
    const r = await server.request('POST', '/v1/chat/completions', body);
    assert.equal(r.status, 400, r.text.slice(0, 200));
    assert.ok(r.json.error.message);
    assert.ok(Date.now() - began < 2000);
  });
}
test('JSON 39 a byte order mark, 46 a lone surrogate, 47 NUL: an answer or a 400, never a 500', async () => {
  for (const body of [`\ufeff${json(ok)}`, json(ok).replace('hi', '\\ud800'), json(ok).replace('hi', 'a\\u0000b')]) {
    const r = await server.request('POST', '/v1/chat/completions', body);
    assert.ok([200, 400].includes(r.status), r.text);
  }
  const nul = await server.request('POST', '/v1/chat/completions', json(ok).replace('hi', 'a\\u0000b'));
  assert.equal(nul.status, 200);
});
test('JSON 49 a prompt of 20 MB', async () => {
  const began = Date.now();
  const r = await server.request('POST', '/v1/chat/completions', json({ ...ok, messages: [{ role: 'user', content: 'a'.repeat(20e6) }] })).catch((e) => ({ status: 413, reset: e }));
  assert.ok([400, 413].includes(r.status));
  assert.ok(Date.now() - began < 2000);
});
test('JSON 51 a wrong content type', async () => {
  assert.equal((await server.request('POST', '/v1/chat/completions', json(ok), { 'content-type': 'text/plain' })).status, 415);
});
test('JSON 52 documents a parser must refuse', async () => {
  const refused = ['[1,]', '{"a":1,}', '[1 2]', '{a:1}', "{'a':1}", '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":1.}',
    '{"a":0x10}', '{"a":"\t"}', '{"a":"\\x"}', '{"a":"\\u12"}', '{"a":tru}', '{"a":1}}', '{"a":1}//', '/**/{}', '{"a":1}\u0000',
    '{"a" 1}', '{:1}', '{"a":}', '{1:1}', '{"a":"b', '{"a":[}', '{"a":1e}', '{"a":1eE2}', '{"a":-}', '\f{}'];
  for (const body of refused) {
    const r = await server.request('POST', '/v1/chat/completions', body);
    assert.equal(r.status, 400, body);
    assert.equal(r.json.error.code, 'malformed_request', `${body}: ${r.text}`);
  }
});

const big = 1e9;
const fields = [
  ['53', { messages: [] }, 'messages'],
  ['54', { messages: [{ content: 'x' }] }, 'messages[0].role'],
  ['55', { messages: [{ role: 'wizard', content: 'x' }] }, 'messages[0].role'],
  ['56', { messages: [{ role: 'user', content: { a: 1 } }] }, 'messages[0].content'],
  ...[-5, 0, 9223372036854775808, 'abc', 1.5, null === 0].map((v) => ['57', { max_tokens: v }, 'max_tokens']),
  ['58', { n: big }, 'n'], ['58', { n: 0 }, 'n'], ['58', { n: -1 }, 'n'],
  ...[-1, 1e308, 'hot'].map((v) => ['59', { temperature: v }, 'temperature']),
  ...[5, 0, -0.1].map((v) => ['60', { top_p: v }, 'top_p']),
  ['61', { top_k: -2147483648 }, 'top_k'],
  ['63', { logit_bias: { 1000000000: 1 } }, 'logit_bias'], ['63', { logit_bias: [1] }, 'logit_bias'],
  ['63', { logit_bias: { x: 1 } }, 'logit_bias'], ['63', { logit_bias: { 1: 1000 } }, 'logit_bias'],
  ['64', { stop: Array(10000).fill('x') }, 'stop'], ['64', { stop: '' }, 'stop'], ['64', { stop: [''] }, 'stop'],
  ['65', { logprobs: true, top_logprobs: big }, 'top_logprobs'],
  ['71', { stream: 'yes' }, 'stream'],
];
for (const [row, fields_, field] of fields) {
  test(`parameters ${row} ${field} = ${JSON.stringify(Object.values(fields_)[0]).slice(0, 40)}`, async () => {
    const r = await server.request('POST', '/v1/chat/completions', { ...ok, ...fields_ });
    assert.equal(r.status, 400, r.text.slice(0, 200));
    assert.ok(r.json.error.param?.startsWith(field), `param ${r.json.error.param}: ${r.json.error.message}`);
  });
}
test('parameters 62 a seed of 2^64', async () => {
  const r = await server.request('POST', '/v1/chat/completions', json(ok).replace('{', '{"seed":18446744073709551616,'));
  assert.equal(r.status, 400);
  assert.equal(r.json.error.param, 'seed');
});
test('parameters 66 67 68 74 76 unknown fields are ignored, or refused by setting', async () => {
  const unknown = { repeat_last_n: big, n_discard: -1, id_slot: 99999, samplers: Array(100000).fill('x') };
  for (const [k, v] of Object.entries(unknown)) {
    assert.equal((await server.request('POST', '/v1/chat/completions', { ...ok, [k]: v })).status, 200, k);
  }
  const strict = await Server.start('--set', 'server.unknown_fields=refuse', '--set', 'server.access_log=off');
  const r = await strict.request('POST', '/v1/chat/completions', { ...ok, n_discard: -1 });
  assert.equal(r.status, 400);
  assert.equal(r.json.error.param, 'n_discard');
  await strict.stop();
});
test('parameters 69 70 token ids out of range, an empty prompt', async () => {
  for (const prompt of [[-1], [1 << 30], [], [1.5], [9007199254740993]]) {
    const r = await server.request('POST', '/v1/completions', { model, prompt, max_tokens: 2 });
    assert.equal(r.status, 400, `${JSON.stringify(prompt)} ${r.text}`);
    assert.ok(r.json.error.param.startsWith('prompt'));
  }
});
test('parameters 72 73 model names', async () => {
  assert.equal((await server.request('POST', '/v1/chat/completions', { ...ok, model: '../../etc/passwd' })).status, 404);
  const r = await server.request('POST', '/v1/chat/completions', { ...ok, model: 'm'.repeat(1 << 20) });
  assert.ok([400, 404].includes(r.status));
  assert.ok(r.text.length < 2000);
});
test('parameters 75 a prompt and max_tokens beyond the context', async () => {
  const r = await server.request('POST', '/v1/chat/completions', { ...ok, max_tokens: 100000 });
  assert.equal(r.status, 400);
  assert.equal(r.json.error.code, 'context_length_exceeded');
});

test('105 special tokens in a user\'s text stay text', async () => {
  const plain = await server.chat({ messages: [{ role: 'user', content: 'x' }], max_tokens: 1 });
  for (const text of ['<｜User｜>', '<｜Assistant｜>', '<think>', '</think>', '<｜end▁of▁sentence｜>']) {
    const r = await server.chat({ messages: [{ role: 'user', content: text }], max_tokens: 1 });
    assert.ok(r.json.usage.prompt_tokens >= plain.json.usage.prompt_tokens + 2, `${text} became a control token`);
  }
});

test('122 clients that never read do not slow the others', async () => {
  const body = json({ ...ok, stream: true, ignore_eos: true, max_tokens: 3000 });
  const sockets = [...Array(16)].map(() => {
    const s = net.connect(server.port, '127.0.0.1');
    s.on('error', () => {});
    s.pause();
    s.write(head(`Content-Length: ${Buffer.byteLength(body)}\r\n`, body));
    return s;
  });
  await new Promise((r) => setTimeout(r, 300));
  const r = await server.chat({ messages, max_tokens: 16 });
  assert.equal(r.status, 200);
  sockets.forEach((s) => s.destroy());
  assert.ok(await waitFor(async () => (await server.metric('hadal_kv_blocks_held')) === 0, 2000));
});

test('124 bytes sent after the request are ignored', async () => {
  const body = json({ ...ok, stream: true, max_tokens: 20 });
  const r = await server.raw([head(`Connection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`, body), 20, 'garbage garbage'], 5000);
  assert.equal(r.status, 200);
  assert.match(r.text, /data: \[DONE\]/);
});

test('127 a cancel during the prompt takes effect', async () => {
  const body = json({ model, prompt: Array(3500).fill(500), max_tokens: 400, ignore_eos: true });
  const s = net.connect(server.port, '127.0.0.1');
  s.on('error', () => {});
  s.write(head(`Content-Length: ${Buffer.byteLength(body)}\r\n`, body, 'POST', '/v1/completions'));
  await new Promise((r) => setTimeout(r, 60));
  s.destroy();
  assert.ok(await waitFor(async () =>
    (await server.metric('hadal_kv_blocks_held')) === 0 && (await server.metric('hadal_requests_running')) === 0, 1000));
});
