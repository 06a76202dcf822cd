// The table: sections of one endpoint each, and the cases that they stand for.
//
// A section is {dialect, endpoint: 'POST /path', also: [paths], base: body, fields, rows}, with
// `purpose` {en, zh} once per endpoint. A row is {name, body, expect, events, status, refuse, says,
// headers, answerHeaders, server, path, method}. Its body is laid over the section's base (`only`:
// instead of it), `refuse` names the field that the error must name, `says` what its message must say. A
// row with `doc` {en, zh} becomes an example of docs/API.md, beside its endpoint or (`general`) among the
// errors. A field is {name, type, default, en, zh, good, bad, required}: every value of `good` is a case
// that is answered, every value of `bad` one that is refused by that name.
import anthropic from './anthropic.mjs';
import deepseekChat from './deepseek.mjs';
import ollama from './ollama.mjs';
import openAiAnswers from './openai_answers.mjs';
import openAiFields from './openai_fields.mjs';
import openAiFormats from './openai_formats.mjs';
import openAiMessages from './openai_messages.mjs';
import openAiText from './openai_text.mjs';
import openAiTools from './openai_tools.mjs';
import own from './own.mjs';
import refusals from './refusals.mjs';
import responses from './responses.mjs';

export const sections = [
  openAiFields, openAiAnswers, openAiMessages, openAiTools, openAiFormats, openAiText, deepseekChat, responses,
  anthropic, ollama, own, refusals,
].flat();

// `body` with what `path` (a.b[0].c) names set to `value`; undefined takes it out.
export function withField(body, path, value) {
  const copy = structuredClone(body);
  const steps = path.match(/[^.[\]]+/g).map((s) => (/^\d+$/.test(s) ? Number(s) : s));
  let at = copy;
  for (const step of steps.slice(0, -1)) at = at[step] ??= {};
  if (value === undefined) delete at[steps.at(-1)];
  else at[steps.at(-1)] = value;
  return copy;
}

const brief = (v) => {
  const text = JSON.stringify(v);
  return text.length > 60 ? `${text.slice(0, 40)}... (${text.length})` : text;
};

function casesOfField(section, field) {
  const base = { ...section.base, ...field.with };
  const refusal = (value, name, param = field.name) => (
    { name, body: withField(base, field.path ?? field.name, value), only: true, status: 400, refuse: param });
  const good = (field.good ?? []).map((value) => (
    { name: `${field.name} = ${brief(value)} is accepted`, body: withField(base, field.path ?? field.name, value), only: true }));
  const bad = (field.bad ?? []).map((entry) => {
    const { value, param } = entry !== null && typeof entry === 'object' && 'param' in entry ? entry : { value: entry };
    return refusal(value, `${field.name} = ${brief(value)} is refused`, param);
  });
  const left = field.required ? [refusal(undefined, `${field.name} left out is refused`)] : [];
  return [...good, ...bad, ...left];
}

function casesOf(section) {
  const [method, path] = section.endpoint.split(' ');
  const rows = [...(section.fields ?? []).flatMap((f) => casesOfField(section, f)), ...(section.rows ?? [])];
  const also = (section.also ?? []).map((p) => ({ name: `${p} answers as ${path} does`, path: p }));
  return [...rows, ...also].map((row) => {
    const body = row.only ? row.body : row.body === undefined ? section.base : { ...section.base, ...row.body };
    const status = row.status ?? (row.refuse !== undefined ? 400 : 200);
    return { method, path, ...section.common, ...row, status, body, dialect: row.dialect ?? section.dialect };
  });
}

export const cases = sections.flatMap(casesOf);
