#!/usr/bin/env node
// Writes docs/API.md and docs/API.zh-CN.md from the conformance table: its texts, its fields, and the answers
// of the real binary to the rows that are examples.
//   node tools/api_docs.mjs           writes both pages
//   node tools/api_docs.mjs --check   exit 1 and the first difference when a page is stale
//   --docs DIR                        another directory than docs/
// Values that differ from run to run (ids, times) are replaced; --check compares the texts that the model
// wrote by their shape only, so that another processor's rounding cannot make a page stale.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { play, stopServers } from '../tests/e2e/conformance/play.mjs';
import { cases, sections } from '../tests/e2e/conformance/table.mjs';
import { chinese } from '../tests/e2e/conformance/words.mjs';
import { binary } from '../tests/e2e/hadal.mjs';

const languages = {
  en: {
    file: 'API.md', title: 'API', switch: '**English** · [中文](API.zh-CN.md)',
    made: 'Made by `tools/api_docs.mjs` from the conformance table (`tests/e2e/conformance`); every statement here is a row that is tested against the real binary. Change the table, then run `node tools/api_docs.mjs`.',
    start: ['A client needs the base address only:', '| client | base address |', '|---|---|', '| OpenAI | `http://HOST:8080/v1` |', '| DeepSeek | `http://HOST:8080` or `/beta` |', '| Anthropic | `http://HOST:8080` or `/anthropic` |', '| Ollama | `http://HOST:8080` |', '',
      'With `server.api_keys` set, a key comes as `Authorization: Bearer KEY`, `x-api-key: KEY` or `api-key: KEY`. Fields that are not known are ignored, or refused when `server.unknown_fields` is `refuse`; a known field is honoured or refused, never half. `null` is as if the field were left out. A prompt beyond the context is a 400 with both counts; nothing is cut unless `truncation` asks for it.'],
    dialects: { openai: 'OpenAI and DeepSeek', responses: 'OpenAI Responses', anthropic: 'Anthropic', ollama: 'Ollama', own: 'Hadal' },
    also: 'Also at', fields: '| field | type | default | meaning |', required: 'required', errors: 'Errors', refused: 'Refused:', shapes: 'An error is in the words of its dialect, with the field in it:', codes: '| code | status | cause and fix |',
  },
  zh: {
    file: 'API.zh-CN.md', title: 'API', switch: '[English](API.md) · **中文**',
    made: '本页由 `tools/api_docs.mjs` 根据一致性表（`tests/e2e/conformance`）生成；其中每句话都对应一行用真实程序测试的用例。请修改该表，然后运行 `node tools/api_docs.mjs`。',
    start: ['客户端只需要基础地址：', '| 客户端 | 基础地址 |', '|---|---|', '| OpenAI | `http://HOST:8080/v1` |', '| DeepSeek | `http://HOST:8080` 或 `/beta` |', '| Anthropic | `http://HOST:8080` 或 `/anthropic` |', '| Ollama | `http://HOST:8080` |', '',
      '设置 `server.api_keys` 后，key 以 `Authorization: Bearer KEY`、`x-api-key: KEY` 或 `api-key: KEY` 发送。未知字段会被忽略；`server.unknown_fields` 为 `refuse` 时则被拒绝；已知字段要么生效，要么被拒绝，绝不部分生效。`null` 等同于省略。超出上下文的提示词返回 400 并给出两个数字；除非 `truncation` 要求，否则不会截断。'],
    dialects: { openai: 'OpenAI 与 DeepSeek', responses: 'OpenAI Responses', anthropic: 'Anthropic', ollama: 'Ollama', own: 'Hadal' },
    also: '同样可用：', fields: '| 字段 | 类型 | 默认 | 含义 |', required: '必填', errors: '错误', refused: '被拒绝：', shapes: '错误采用各自 API 的格式，并指出字段：', codes: '| 代码 | 状态 | 原因与处理办法 |',
  },
};
const dialectOf = (section) => (section.dialect === 'deepseek' ? 'openai' : section.dialect);

// ---------------------------------------------------------------- answers as they are shown
const fixedNumbers = { created: 1767225600, created_at: 1767225600, completed_at: 1767225600, total_duration: 90000000, prompt_eval_duration: 4000000, eval_duration: 80000000, load_duration: 0 };
const fixedStrings = { system_fingerprint: 'hadal-VERSION', version: 'VERSION', created_at: '2026-01-01T00:00:00Z', modified_at: '2026-01-01T00:00:00Z' };
function fixed(value, key = '') {
  if (Array.isArray(value)) return value.map((v) => fixed(v));
  if (value !== null && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, fixed(v, k)]));
  if (typeof value === 'number') return fixedNumbers[key] ?? (key === 'logprob' ? Math.round(value * 100) / 100 + 0 : value);
  if (typeof value !== 'string') return value;
  if (key in fixedStrings) return fixedStrings[key];
  return value.replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '…').replace(/(call_\d*_?)[0-9a-f]{16,}/g, '$1…');
}
const pretty = (value) => JSON.stringify(value, null, 1).replace(/\n *(?=[\]}])/g, '').replace(/([[{])\n +/g, '$1').replace(/,\n {2,}/g, ', ');

// All of a short stream, the ends of a long one.
function showStream(answer) {
  const sse = answer.headers['content-type'].startsWith('text/event-stream');
  const lines = answer.events.map((e) => (sse ? (e.type ? `event: ${e.type}\n` : '') + `data: ${typeof e === 'string' ? e : JSON.stringify(fixed(e))}` : JSON.stringify(fixed(e))));
  const shown = lines.length <= 8 ? lines : [...lines.slice(0, 3), '…', ...lines.slice(-4)];
  return `\`\`\`text\n${shown.join(sse ? '\n\n' : '\n')}\n\`\`\``;
}
const shortened = (body) => JSON.parse(JSON.stringify(body), (k, v) => (typeof v === 'string' && v.length > 200 ? `${v.slice(0, 20)}… (${v.length})` : Array.isArray(v) && v.length > 12 ? [...v.slice(0, 2), '…', ...v.slice(-1)] : v));

const answers = new Map();  // each row is played once, for both pages
async function example(row, language) {
  if (!answers.has(row)) answers.set(row, await play(row));
  const answer = answers.get(row);
  const body = row.body === undefined ? '' : `\n\n${typeof row.body === 'string' ? row.body : pretty(shortened(row.body))}`;
  const headers = Object.entries(row.headers ?? {}).map(([k, v]) => `\n${k}: ${v}`).join('');
  const title = row.doc[language] ? `**${row.doc[language]}**\n\n` : '';
  const shown = answer.events ? showStream(answer) : `\`\`\`json\n${pretty(fixed(answer.body))}\n\`\`\``;
  return `${title}\`\`\`http\n${row.method} ${row.path}${headers}${body}\n\`\`\`\n→ ${answer.status}\n${shown}`;
}

// ---------------------------------------------------------------- pages
function fieldTable(fields, language) {
  const words = languages[language];
  const word = (w) => {
    if (language === 'en') return w;
    if (/^(`.*`|[a-z_]+_[a-z]+|\d+|true|false|\[\]|\{.*\}|".*")$/.test(w) && !(w in chinese)) return w;
    if (!(w in chinese)) throw new Error(`words.mjs lacks ${w}`);
    return chinese[w];
  };
  const cell = (t) => t.replaceAll('|', '\\|');
  const code = (d) => (/^(-?\d+|true|false|\[\]|\{.*\}|".*"|max_tokens)$/.test(d) ? `\`${d}\`` : d);
  return [words.fields, '|---|---|---|---|', ...fields.map((f) =>
    `| \`${f.name}\` | ${cell(word(f.type))} | ${f.required ? words.required : cell(code(word(f.default ?? '')))} | ${cell(f[language])} |`)].join('\n');
}

async function endpoint(name, language) {
  const words = languages[language];
  const same = sections.filter((s) => `${s.endpoint}` === name || (s.endpoint === name.replace('/v1/', '/') && s.dialect === 'deepseek'));
  const purpose = same.find((s) => s.purpose)?.purpose[language] ?? '';
  const also = same.flatMap((s) => s.also ?? []).map((p) => `\`${p}\``);
  const fields = same.flatMap((s) => s.fields ?? []).filter((f) => f.type);
  const examples = cases.filter((c) => c.doc && same.some((s) => s.rows?.some((r) => r.doc === c.doc)));
  const out = [`### ${name}`, purpose];
  if (also.length > 0) out.push(`${words.also} ${also.join(', ')}`);
  if (fields.length > 0) out.push(fieldTable(fields, language));
  for (const row of examples.filter((r) => !r.general)) out.push(await example(row, language));
  return out;
}

function codeTable(language) {
  const rows = JSON.parse(execFileSync(binary, ['errors', '--json'], { encoding: 'utf8' }));
  return [languages[language].codes, '|---|---|---|', ...rows.filter((r) => r.http < 500 || r.http === 503).map((r) => `| \`${r.code}\` | ${r.http} | ${r[language] ?? r.text} |`)].join('\n');
}

async function page(language) {
  const words = languages[language];
  const out = [`# ${words.title}`, words.switch, words.made, words.start.join('\n')];
  for (const [dialect, title] of Object.entries(words.dialects)) {
    const names = [...new Set(sections.filter((s) => dialectOf(s) === dialect && s.purpose).map((s) => s.endpoint))];
    out.push(`## ${title}`);
    for (const name of names) out.push(...await endpoint(name, language));
  }
  out.push(`## ${words.errors}`, words.shapes);
  for (const row of cases.filter((c) => c.general)) out.push(await example(row, language));
  out.push(codeTable(language));
  return `${out.filter(Boolean).join('\n\n')}\n`;
}

// What may differ between two processors: the texts of the model, and counts that follow from them.
function shape(text) {
  return text.replace(/→ 200\n```(json|text)\n[\s\S]*?\n```/g, (block) => block
    .replace(/"(content|reasoning_content|text|thinking|response|arguments|partial_json|delta|token|input|pooling|city)": ?"(\\.|[^"\\])*"/g, '"$1": "…"')
    .replace(/: ?-?\d+(\.\d+)?/g, ': 0').replace(/\[\s*-?\d[\d.,\s-]*\]/g, '[0]').replace(/\s+/g, ' '));
}

const args = process.argv.slice(2);
const here = path.dirname(fileURLToPath(import.meta.url));
const docs = args.includes('--docs') ? args[args.indexOf('--docs') + 1] : path.join(here, '../docs');
let stale = false;
for (const language of Object.keys(languages)) {
  const file = path.join(docs, languages[language].file);
  const fresh = await page(language);
  if (!args.includes('--check')) {
    fs.writeFileSync(file, fresh);
    console.log(`${path.relative(process.cwd(), file)}: ${fresh.split('\n').length} lines`);
    continue;
  }
  const [is, must] = [fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '', fresh].map((t) => shape(t).split('\n'));
  const at = must.findIndex((line, i) => line !== is[i]);
  if (at < 0 && is.length === must.length) continue;
  stale = true;
  console.log(`${file} is stale at line ${at + 1} of its shape:\n- ${is[at] ?? '(end)'}\n+ ${must[at] ?? '(end)'}\nRun: node tools/api_docs.mjs`);
}
await stopServers();
process.exit(stale ? 1 : 0);
