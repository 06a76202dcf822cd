// What every endpoint refuses in the words of its dialect: bodies that are no JSON object, wrong media
// types and methods, paths that are not there, missing and wrong keys.
import { all, any, text } from './matcher.mjs';
import { dialects } from './dialects.mjs';
import { key } from './play.mjs';

const messages = [{ role: 'user', content: 'who are you?' }];
const model = 'hadal-demo';
// An endpoint of each dialect, with a body that it answers.
const endpoints = [
  { dialect: 'openai', post: '/v1/chat/completions', base: { model, messages, max_tokens: 1 }, title: 'OpenAI, DeepSeek', missing: '/v1/nothing', documents: true },
  { dialect: 'openai', post: '/v1/completions', base: { model, prompt: 'x', max_tokens: 1 } },
  { dialect: 'deepseek', post: '/chat/completions', base: { model, messages, max_tokens: 1 } },
  { dialect: 'anthropic', post: '/v1/messages', base: { model, messages, max_tokens: 1 }, title: 'Anthropic', missing: '/v1/messages/nothing' },
  { dialect: 'responses', post: '/v1/responses', base: { model, input: 'x', max_output_tokens: 1 } },
  { dialect: 'ollama', post: '/api/chat', base: { model, messages, stream: false, options: { num_predict: 1 } }, title: 'Ollama', missing: '/api/nothing' },
  { dialect: 'own', post: '/tokenize', base: { text: 'x' } },
];

const bodies = [
  ['an empty body', '', /empty/], ['a text', 'hello', any], ['a list', '[]', /object/], ['null', 'null', /object/],
  ['a body that is cut', '{"model": "hada', any], ['two values', '{} {}', any], ['NaN', '{"max_tokens": NaN}', any], ['a trailing comma', '{"model": "x",}', any],
  ['a key that comes twice', '{"model": "x", "model": "y"}', /model/], ['a nesting of 2000', `{"x": ${'['.repeat(2000)}${']'.repeat(2000)}}`, any],
  ['a zero byte', '{"model": "x"}\0', any], ['a number beyond a double', '{"max_tokens": 1e999}', any],
];

function refusalsOf({ dialect, title, post, base, missing, documents }) {
  const d = dialects[dialect];
  const doc = (en, zh) => (documents ? { doc: { en, zh }, general: true } : {});
  const refusal = (name, rest) => ({ name, ...rest });
  const withKey = (name, headers) => ({ name: `a key as ${name}`, server: 'keyed', headers });
  const unauthorised = (name, headers) => (
    { name, server: 'keyed', headers, status: 401, expect: d.unauthorised, answerHeaders: { 'www-authenticate': /^Bearer/ } });
  const rows = [
    ...bodies.map(([name, body, says]) => refusal(`${name} is refused`, { only: true, body, status: 400, says: all(text, says) })),
    refusal('another media type is a 415', { headers: { 'content-type': 'text/plain' }, status: 415, ...doc('Another media type than application/json.', '媒体类型不是 application/json。') }),
    refusal('no media type is a 415', { headers: { 'content-type': undefined }, status: 415 }),
    refusal('a form is a 415', { headers: { 'content-type': 'application/x-www-form-urlencoded' }, status: 415 }),
    refusal('a compressed body is a 415', { headers: { 'content-encoding': 'gzip' }, status: 415 }),
    { name: 'the media type with a charset is accepted', headers: { 'content-type': 'application/json; charset=utf-8' } },
    { name: 'the media type in other letters is accepted', headers: { 'content-type': 'Application/JSON' } },
    { name: 'a query behind the path changes nothing', path: `${post}?beta=true` },
    refusal('GET is a 405 that names the methods', { method: 'GET', only: true, status: 405, answerHeaders: { allow: /POST/ }, ...doc('A method that the path does not have.', '该路径不支持的方法。') }),
    refusal('DELETE is a 405', { method: 'DELETE', only: true, status: 405 }),
    { name: 'OPTIONS says what is allowed', method: 'OPTIONS', only: true, status: 204, answerHeaders: { allow: /POST/ } },
    ...(missing ? [refusal('a path that is not there is a 404', { path: missing, status: 404, expect: d.notFound, general: true, doc: { en: `A path that is not there (${title}).`, zh: `不存在的路径（${title}）。` } })] : []),
    refusal('a body over the limit is a 413', { server: 'small', only: true, body: { ...base, filler: 'x'.repeat(5000) }, status: 413, ...doc('A body over `server.max_body_bytes`.', '请求体超过 `server.max_body_bytes`。') }),
    withKey('a bearer token', { authorization: `Bearer ${key}` }),
    withKey('a bearer token, the scheme in small letters', { authorization: `bearer ${key}` }),
    withKey('x-api-key', { 'x-api-key': key }),
    withKey('api-key', { 'api-key': key }),
    { ...unauthorised('no key is a 401', {}), ...doc('No key, or a wrong one.', '没有 key 或 key 错误。') },
    unauthorised('a wrong bearer token is a 401', { authorization: 'Bearer wrong-key-wrong-key-wrong' }),
    unauthorised('a key without its scheme is a 401', { authorization: key }),
    unauthorised('another scheme is a 401', { authorization: `Basic ${key}` }),
    unauthorised('a wrong x-api-key is a 401', { 'x-api-key': `${key}x` }),
    unauthorised('a beginning of the key is a 401', { 'api-key': key.slice(0, -1) }),
    unauthorised('an empty key is a 401', { authorization: 'Bearer ' }),
    unauthorised('a right key beside a wrong one is a 401', { authorization: `Bearer ${key}`, 'x-api-key': 'wrong-key-wrong-key' }),
  ];
  return { dialect, endpoint: `POST ${post}`, base, rows };
}

const guarded = (path, more = {}) => ({ dialect: 'own', endpoint: `GET ${path}`, common: { server: 'keyed' }, rows: [
  { name: 'is refused without a key', status: 401 }, { name: 'is answered with a key', headers: { 'x-api-key': key } }].map((r) => ({ ...r, ...more })) });
const free = (path) => ({ dialect: 'own', endpoint: `GET ${path}`, rows: [
  { name: 'needs no key', server: 'keyed' },
  { name: 'HEAD is answered without a body', method: 'HEAD', expect: '' },
  { name: 'POST is a 405', method: 'POST', body: {}, status: 405, answerHeaders: { allow: /GET/ } },
] });

export default [
  ...endpoints.map(refusalsOf),
  free('/health'), free('/ready'), guarded('/version'), guarded('/metrics'), guarded('/v1/models'), guarded('/v1/models/hadal-demo'),
  { dialect: 'own', endpoint: 'GET /nothing', rows: [
    { name: 'an unknown path is a 404', status: 404, expect: { error: { message: text } } },
    { name: 'a host that is not ours is refused', path: '/health', headers: { host: 'evil.example' }, status: 421 },
  ] },
];
