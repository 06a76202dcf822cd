// What a constraint costs an engine step: 16 answers of 256 tokens at once, free and under a pattern
// that allows any text (so both decode the same number of tokens), alternately. Prints the time per
// step of each pair, from the server's own /metrics, and the median ratio.
//   node bench/constrained_steps.mjs [BINARY] [PAIRS]
import { spawn } from 'node:child_process';

const binary = process.argv[2] ?? 'build/release/hadal';
const pairs = Number(process.argv[3] ?? 15);
const batch = 16, tokens = 256;

const server = spawn(binary, ['serve', '--port', '0', '--set', 'server.access_log=off']);
const url = await new Promise((resolve) => {
  let text = '';
  server.stdout.on('data', (d) => {
    text += d;
    const found = /listening on (\S+)/.exec(text);
    if (found) resolve(found[1]);
  });
});

async function metric(name) {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)[1]);
}
async function msPerStep(extra) {
  const seconds = await metric('hadal_engine_step_seconds_total');
  const steps = await metric('hadal_engine_steps_total');
  await Promise.all([...Array(batch).keys()].map(async (seed) => {
    const answer = await fetch(`${url}/v1/completions`, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'hadal-demo', prompt: 'Hadal serves', max_tokens: tokens, seed, ...extra }),
    });
    const { usage } = await answer.json();
    if (usage.completion_tokens !== tokens) throw new Error(`an answer has ${usage.completion_tokens} tokens`);
  }));
  return 1000 * (await metric('hadal_engine_step_seconds_total') - seconds) /
    (await metric('hadal_engine_steps_total') - steps);
}
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const free = { ignore_eos: true }, constrained = { guided_regex: '[^]{4000,}' };
await msPerStep(free);
await msPerStep(constrained);
const rows = [];
for (let i = 0; i < pairs; ++i) rows.push([await msPerStep(free), await msPerStep(constrained)]);
for (const [a, b] of rows) console.log(`${a.toFixed(3)} ms free, ${b.toFixed(3)} ms constrained`);
console.log(`median: ${median(rows.map((r) => r[0])).toFixed(3)} ms free, ` +
  `${median(rows.map((r) => r[1])).toFixed(3)} ms constrained, ratio ${median(rows.map((r) => r[1] / r[0])).toFixed(3)}`);
server.kill('SIGTERM');
