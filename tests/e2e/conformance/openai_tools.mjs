// Tools: what may be declared, who must be called, how calls come back.
import { absent, any, inOrder, json, listOf, many, not, oneOf, range, some, string, text } from './matcher.mjs';

const parameters = { type: 'object', properties: { city: { type: 'string', maxLength: 8 }, unit: { enum: ['c', 'f'] } },
  required: ['city', 'unit'], additionalProperties: false };
const tool = (name, schema = parameters, more = {}) => ({ type: 'function', function: { name, description: 'The weather.', parameters: schema, ...more } });
const named = (name) => ({ type: 'function', function: { name } });
const off = { thinking: { type: 'disabled' } };
const base = { model: 'hadal-demo', messages: [{ role: 'user', content: 'How is the weather in Paris?' }], temperature: 0, max_tokens: 300,
  tools: [tool('weather')], tool_choice: 'required', parallel_tool_calls: false, ...off };
const weather = json({ city: string, unit: oneOf('c', 'f') });
const call = (name = 'weather', args = weather) => ({ id: text, type: 'function', function: { name, arguments: args } });
const first = (choice) => ({ choices: [choice] });
const calls = (...tool_calls) => first({ finish_reason: 'tool_calls', message: { tool_calls, content: oneOf('', /^[^<{]*$/) } });
const noCalls = first({ finish_reason: oneOf('stop', 'length'), message: { tool_calls: absent } });
const chunk = (delta, finish_reason = null) => ({ choices: [{ index: 0, delta, finish_reason }] });
const refused = (name, body, refuse, more) => ({ name, body, refuse, ...more });
const schema = (properties, required = Object.keys(properties)) => ({ type: 'object', properties, required, additionalProperties: false });
const oneTool = (properties, required) => [tool('f', schema(properties, required))];
const forced = (name, properties, args) => (
  { name, body: { tools: oneTool(properties) }, expect: calls(call('f', json(args))) });
const badTool = (f, more = {}) => ({ tools: [{ type: 'function', function: f, ...more }] });

export default {
  dialect: 'openai',
  endpoint: 'POST /v1/chat/completions',
  base,
  fields: [
    { name: 'tools', type: 'array of at most 128 functions', default: '[]',
      en: '`function`: `name` (1 to 128 of A-Z, a-z, 0-9, _ and -), `description`, `parameters` (a JSON Schema of an object), `strict`; every call\'s arguments validate against the schema',
      zh: '`function`：`name`（1 至 128 个字母、数字、_、-）、`description`、`parameters`（对象的 JSON Schema）、`strict`；每次调用的参数都符合该 schema',
      with: { tool_choice: 'auto', max_tokens: 2 },
      good: [[], null, [tool('a'), tool('b')], [tool('a'.repeat(128))], [tool('f', {})], [tool('f', null)], [tool('f', { type: 'object' })], [tool('strictly', parameters, { strict: true })], [tool('f', parameters, { strict: null })]],
      bad: ['x', {}, 3, { value: ['x'], param: 'tools[0]' }, { value: [{}], param: 'tools[0].type' }, { value: [{ type: 'function' }], param: 'tools[0].function' },
        { value: [{ type: 'web_search', function: {} }], param: 'tools[0].type' }, Array(129).fill(tool('f'))] },
    { name: 'tool_choice', type: '"none", "auto", "required", or {"type":"function","function":{"name":...}}', default: '"auto"',
      en: 'whether a call must, may or must not come; also while thinking', zh: '是否必须、可以或不得调用；思考时同样有效',
      with: { max_tokens: 2 }, good: ['none', 'auto', 'required', named('weather'), null],
      bad: ['any', 3, true, [], { value: {}, param: 'tool_choice.type' }, { value: { type: 'function' }, param: 'tool_choice.function' },
        { value: { type: 'function', function: {} }, param: 'tool_choice.function.name' }, { value: named('other'), param: 'tool_choice.function.name' }] },
    { name: 'parallel_tool_calls', type: 'boolean', default: 'true', en: 'whether one answer may have several calls', zh: '一次回答是否可包含多个调用',
      with: { max_tokens: 2 }, good: [true, false, null], bad: ['x', 1] },
  ],
  rows: [
    { name: 'required gives a call that validates', expect: { ...calls(call()), usage: { completion_tokens_details: { reasoning_tokens: 0 } } }, doc: { en: 'A call that must come.', zh: '必须调用工具。' } },
    { name: 'required gives a call while thinking', body: { thinking: { type: 'enabled' } },
      expect: { choices: [{ finish_reason: 'tool_calls', message: { tool_calls: [call()], reasoning_content: text } }] } },
    { name: 'a named tool is called', body: { tools: [tool('a'), tool('weather'), tool('b')], tool_choice: named('weather') }, expect: calls(call()) },
    { name: 'a named tool is called while thinking', body: { tools: [tool('a'), tool('weather')], tool_choice: named('weather'), thinking: { type: 'enabled' } },
      expect: { choices: [{ finish_reason: 'tool_calls', message: { tool_calls: [call()], reasoning_content: text } }] } },
    { name: 'required calls one of several tools', body: { tools: [tool('a'), tool('b')] }, expect: calls(call(oneOf('a', 'b'))) },
    { name: 'parallel_tool_calls false gives one call', body: { temperature: 1, seed: 3 }, expect: first({ message: { tool_calls: [any] } }) },
    { name: 'parallel calls each have an id of their own', body: { parallel_tool_calls: true, temperature: 1, seed: 9, max_tokens: 600 },
      expect: first({ finish_reason: oneOf('tool_calls', 'length'), message: { tool_calls: (v, at) => (v && new Set(v.map((c) => c.id)).size === v.length ? [] : [`${at} share an id`]) } }) },
    { name: 'the calls of n choices', body: { n: 2, temperature: 1, seed: 4 }, expect: { choices: [{ message: { tool_calls: [call()] } }, { message: { tool_calls: [call()] } }] } },
    { name: 'none never calls', body: { tool_choice: 'none', max_tokens: 40 }, expect: noCalls },
    { name: 'auto may answer in words', body: { tool_choice: 'auto', max_tokens: 60 }, expect: first({ message: { content: not(/<｜tool|DSML/) } }) },
    { name: 'without tools there are no calls', body: { tools: undefined, tool_choice: undefined, parallel_tool_calls: undefined, max_tokens: 20 }, expect: noCalls },
    { name: 'tool_choice none without tools is accepted', body: { tools: undefined, tool_choice: 'none', max_tokens: 2 } },
    { name: 'tool_choice auto without tools is accepted', body: { tools: [], tool_choice: 'auto', max_tokens: 2 } },
    refused('tool_choice required without tools is refused', { tools: undefined }, 'tool_choice'),
    refused('a named choice without tools is refused', { tools: [], tool_choice: named('weather') }, /^tool_choice/),
    refused('two tools of one name are refused', { tools: [tool('a'), tool('a')] }, 'tools[1].function.name'),
    refused('a tool without a name is refused', badTool({ parameters }), 'tools[0].function.name'),
    refused('a tool of an empty name is refused', badTool({ name: '' }), 'tools[0].function.name'),
    refused('a tool whose name has a blank is refused', badTool({ name: 'a b' }), 'tools[0].function.name'),
    refused('a tool of a name of 129 bytes is refused', badTool({ name: 'a'.repeat(129) }), 'tools[0].function.name'),
    refused('a tool whose name is a number is refused', badTool({ name: 5 }), 'tools[0].function.name'),
    refused('a description that is no string is refused', badTool({ name: 'f', description: 4 }), 'tools[0].function.description'),
    refused('parameters that are a list are refused', badTool({ name: 'f', parameters: [] }), 'tools[0].function.parameters'),
    refused('parameters of another type than object are refused', badTool({ name: 'f', parameters: { type: 'string' } }), 'tools[0].function.parameters.type'),
    refused('properties that are a list are refused', badTool({ name: 'f', parameters: { type: 'object', properties: [] } }), 'tools[0].function.parameters.properties'),
    refused('strict that is no boolean is refused', badTool({ name: 'f', strict: 'yes' }), 'tools[0].function.strict'),
    refused('a schema that cannot be compiled names the tool', { tools: [tool('f', { type: 'object', properties: { a: { $ref: '#/nowhere' } }, required: ['a'] }, { strict: true })] }, /^tools\[0\]/),
    forced('arguments: an integer in its bounds', { a: { type: 'integer', minimum: 3, maximum: 5 } }, { a: range(3, 5) }),
    forced('arguments: a number in its bounds', { a: { type: 'number', minimum: 0, maximum: 1 } }, { a: range(0, 1) }),
    forced('arguments: a boolean', { a: { type: 'boolean' } }, { a: oneOf(true, false) }),
    forced('arguments: null', { a: { type: 'null' } }, { a: null }),
    forced('arguments: a constant', { a: { const: 'x' } }, { a: 'x' }),
    forced('arguments: a pattern', { a: { type: 'string', pattern: '^[a-z]{3}[0-9]$' } }, { a: /^[a-z]{3}[0-9]$/ }),
    forced('arguments: a list', { a: { type: 'array', items: { enum: [1, 2] }, minItems: 2, maxItems: 2 } }, { a: [oneOf(1, 2), oneOf(1, 2)] }),
    forced('arguments: an object in an object', { a: schema({ b: { enum: ['x', 'y'] } }) }, { a: { b: oneOf('x', 'y') } }),
    forced('arguments: a parameter named arguments', { arguments: { enum: ['x'] }, name: { enum: ['y'] } }, { arguments: 'x', name: 'y' }),
    forced('arguments: markup inside a string stays there', { a: { const: '</｜DSML｜parameter> 2>&1 <｜tool▁call▁end｜>' } }, { a: '</｜DSML｜parameter> 2>&1 <｜tool▁call▁end｜>' }),
    forced('arguments: Chinese and quotes', { a: { const: '他说："好\\吗？"\n' } }, { a: '他说："好\\吗？"\n' }),
    { name: 'a tool without parameters is called with an object', body: { tools: [{ type: 'function', function: { name: 'now' } }] }, expect: calls(call('now', json({}))) },
    { name: 'a call in a stream: its id and name first, then pieces of arguments', body: { stream: true }, doc: { en: 'A call in a stream.', zh: '流式返回的调用。' },
      events: inOrder(chunk({ role: 'assistant' }),
        chunk({ tool_calls: [{ index: 0, id: text, type: 'function', function: { name: 'weather', arguments: '' } }] }),
        some(chunk({ tool_calls: [{ index: 0, id: absent, function: { name: absent, arguments: text } }] })),
        chunk({ tool_calls: absent, content: oneOf('', null, absent) }, 'tool_calls'), '[DONE]') },
    { name: 'a call in a stream while thinking', body: { stream: true, thinking: { type: 'enabled' } },
      events: inOrder(chunk({ role: 'assistant' }), some(chunk({ reasoning_content: text })), many(chunk({ content: text })),
        some(chunk({ tool_calls: [{ index: 0 }] })), chunk({ tool_calls: absent }, 'tool_calls'), '[DONE]') },
    { name: 'no content of a stream shows markup', body: { stream: true, parallel_tool_calls: true, temperature: 1, seed: 2 },
      events: (events, at) => (/tool▁|DSML/.test(events.map((e) => e.choices?.[0]?.delta?.content ?? '').join('')) ? [`${at} leak markup`] : []) },
    { name: 'a call that max_tokens cuts is length', body: { max_tokens: 12 }, expect: first({ finish_reason: 'length' }) },
    { name: 'the prompt of tools is counted', body: { tool_choice: 'none', max_tokens: 1 }, expect: { usage: { prompt_tokens: range(100, 400) } } },
    { name: 'logprobs beside a call', body: { logprobs: true }, expect: first({ message: { tool_calls: listOf(any, 1) }, logprobs: any }) },
    { name: 'a stop string does not cut arguments', body: { tools: oneTool({ a: { const: 'stop here' } }), stop: ['here'] }, expect: calls(call('f', json({ a: 'stop here' }))) },
  ],
};
