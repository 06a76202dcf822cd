// One test per case of the conformance table, against the real binary.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, test } from 'node:test';
import { cases } from './conformance/table.mjs';
import { faults, play, stopServers, streamFaults } from './conformance/play.mjs';
import { model, withServer } from './hadal.mjs';

after(stopServers);

test('the table has at least 300 cases and no two of one name', () => {
  const names = cases.map((c) => `${c.dialect} ${c.method} ${c.path} ${c.name}`);
  assert.ok(names.length >= 300, `${names.length} cases`);
  assert.deepEqual(names.filter((n, i) => names.indexOf(n) !== i), []);
});

for (const row of cases) {
  test(`${row.dialect}: ${row.method} ${row.path}: ${row.name}`, async () => {
    const answer = await play(row);
    const found = faults(row, answer);
    if (found.length === 0) found.push(...await streamFaults(row, answer));
    assert.ok(found.length === 0, `\n${found.join('\n')}\nrequest: ${JSON.stringify(row.body)?.slice(0, 600)}`);
  });
}

// A request that waits for its turn hears nothing for ten seconds; then something that means nothing.
test('a silent stream is kept alive in the way of its dialect', async () => {
  const messages = [{ role: 'user', content: 'who are you?' }];
  const waiting = { '/v1/chat/completions': ': keep-alive', '/chat/completions': ': keep-alive', '/v1/completions': ': keep-alive', '/v1/messages': 'event: ping' };
  await withServer(['--set', 'engine.max_sequences=1', '--set', 'server.access_log=off'], async (server) => {
    const begun = new Promise((resolve) => {
      server.stream({ prompt: 'x', ignore_eos: true }, resolve, '/v1/completions').catch(() => {});
    });
    const blockers = [server.lastRequest];
    await begun;
    for (let i = 0; i < 11; i++) {  // each takes seconds
      server.stream({ prompt: 'x', ignore_eos: true }, () => {}, '/v1/completions').catch(() => {});
      blockers.push(server.lastRequest);
    }
    const heard = await Promise.all(Object.entries(waiting).map(([path, sign]) =>
      firstBytes(server, path, { model, stream: true, max_tokens: 2, ...(path === '/v1/completions' ? { prompt: 'x' } : { messages }) }, sign)));
    for (const [i, text] of heard.entries()) {
      assert.ok(text.includes(Object.values(waiting)[i]), `${Object.keys(waiting)[i]}: ${text}`);
      assert.ok(!/"(content|text|delta)": ?"?[A-Za-z]/.test(text.replace(/"delta":\{"role".*?\}/g, '')), text);
    }
    for (const b of blockers) b.destroy();
  });
});

// What a stream sends until `sign` has come or it ends.
function firstBytes(server, path, body, sign) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port: server.port, method: 'POST', path, agent: false, headers: { 'content-type': 'application/json' } }, (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (d) => {
        text += d;
        if (!text.includes(sign)) return;
        resolve(text);
        request.destroy();
      });
      res.on('end', () => resolve(text));
      res.on('error', () => resolve(text));
    });
    request.on('error', reject);
    request.end(JSON.stringify(body));
  });
}
