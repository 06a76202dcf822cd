// Plays one row: sends its request to a server and reads whatever comes back into one object:
// {status, headers, body, text, events, comments}. Starts the servers that rows name.
import http from 'node:http';
import { Server } from '../hadal.mjs';
import { readerOf } from '../every_dialect.mjs';
import { differences } from './matcher.mjs';
import { dialects } from './dialects.mjs';

export const key = 'a-key-of-the-conformance-table';
// Rows choose one by name; nearly all go to the first.
const kinds = {
  open: [],
  keyed: ['--set', `server.api_keys=${key}`],
  strict: ['--set', 'server.unknown_fields=refuse'],
  small: ['--set', 'server.max_body_bytes=4096'],
};
const running = new Map();

export function serverOf(kind = 'open') {
  if (!running.has(kind)) running.set(kind, Server.start(...kinds[kind], '--set', 'server.access_log=off'));
  return running.get(kind);
}
export async function stopServers() {
  for (const server of running.values()) await (await server).stop();
  running.clear();
}

function send(server, { method, path, headers, bytes }) {
  return new Promise((resolve, reject) => {
    const all = { ...(bytes === undefined ? {} : { 'content-type': 'application/json', 'content-length': bytes.length }), ...headers };
    for (const [name, value] of Object.entries(all)) if (value === undefined) delete all[name];
    const request = http.request({ host: '127.0.0.1', port: server.port, method, path, agent: false, headers: all }, (res) => {
      const parts = [];
      res.on('data', (d) => parts.push(d));
      res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, text: Buffer.concat(parts).toString('utf8') }));
      res.on('error', reject);
    });
    request.on('error', reject);
    request.end(bytes);
  });
}

// data: lines are JSON, or a word such as [DONE]; the event: line, where there is one, must agree.
function readSse(text) {
  const events = [], comments = [];
  for (const frame of text.split('\n\n')) {
    const lines = frame.split('\n').filter((l) => l !== '');
    const data = lines.filter((l) => l.startsWith('data: ')).map((l) => l.slice(6)).join('\n');
    comments.push(...lines.filter((l) => l.startsWith(':')).map((l) => l.slice(1).trim()));
    if (data === '') continue;
    const event = data.startsWith('{') ? JSON.parse(data) : data;
    const name = lines.find((l) => l.startsWith('event: '))?.slice(7);
    if (name !== undefined && name !== event.type) throw new Error(`event: ${name} carries the type ${event.type}`);
    events.push(event);
  }
  return { events, comments };
}

export async function play(row) {
  const server = await serverOf(row.server);
  const { body } = row;
  const bytes = body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const answer = await send(server, { ...row, bytes });
  const type = answer.headers['content-type'] ?? '';
  if (type.startsWith('text/event-stream')) Object.assign(answer, readSse(answer.text));
  if (type.startsWith('application/x-ndjson')) answer.events = answer.text.split('\n').filter(Boolean).map((l) => JSON.parse(l));
  if (type.startsWith('application/json')) answer.body = answer.text === '' ? undefined : JSON.parse(answer.text);
  return answer;
}

// A stream of one greedy answer is, put together, the whole answer to the same request.
export async function streamFaults(row, answer) {
  const repeats = answer.events && row.body.stream !== false && (row.body.n ?? 1) === 1;
  const greedy = row.body?.temperature === 0 || row.body?.options?.temperature === 0;
  const reader = repeats && greedy && readerOf(row.path);
  if (!reader) return [];
  const whole = await play({ ...row, body: { ...row.body, stream: false, stream_options: undefined } });
  const parts = ({ text, thinking, calls, finish }) => ({ text, thinking, calls, finish });
  const joined = parts(reader.stream(answer.events.filter((e) => typeof e === 'object')));
  return differences(joined, parts(reader.whole({ json: whole.body })), 'the joined stream');
}

// What is wrong with the answer, as sentences: by the rules of its dialect, then by the row.
export function faults(row, answer) {
  const dialect = dialects[row.dialect];
  const status = row.status ?? 200;
  if (answer.status !== status) return [`the status is ${answer.status}, not ${status}: ${answer.text.slice(0, 400)}`];
  const out = [];
  if (status >= 400 && row.method !== 'HEAD') out.push(...differences(answer.body, dialect.error, 'error'));
  const whole = status === 200 && answer.body && dialect.whole[dialect.kindOf(answer.body)];
  if (whole) out.push(...differences(answer.body, whole, 'answer'));
  if (answer.events) {
    answer.events.forEach((e, i) => out.push(...differences(e, dialect.event, `event ${i}`)));
    if (!row.breaks && !dialect.ends(answer.events)) out.push('the stream does not end as a whole answer does');
  }
  if (row.refuse !== undefined) out.push(...differences(answer.body, dialect.refuses(row.refuse), 'error'));
  if (row.says) out.push(...differences(dialect.message(answer.body), row.says, 'message'));
  if (row.expect !== undefined) out.push(...differences(answer.body ?? answer.text, row.expect, 'answer'));
  if (row.events) out.push(...differences(answer.events, row.events, 'events'));
  if (row.answerHeaders) out.push(...differences(answer.headers, row.answerHeaders, 'headers'));
  return out;
}
