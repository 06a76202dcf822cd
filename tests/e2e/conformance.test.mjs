// One test per case of the conformance table, against the real binary.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cases } from './conformance/table.mjs';
import { faults, play, stopServers } from './conformance/play.mjs';

after(stopServers);

test('the table has at least 300 cases and no two of one name', () => {
  const names = cases.map((c) => `${c.dialect} ${c.method} ${c.path} ${c.name}`);
  assert.ok(names.length >= 300, `${names.length} cases`);
  assert.deepEqual(names.filter((n, i) => names.indexOf(n) !== i), []);
});

for (const row of cases) {
  test(`${row.dialect}: ${row.method} ${row.path}: ${row.name}`, async () => {
    const found = faults(row, await play(row));
    assert.ok(found.length === 0, `\n${found.join('\n')}\nrequest: ${JSON.stringify(row.body)?.slice(0, 600)}`);
  });
}
