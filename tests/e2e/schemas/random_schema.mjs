// Random JSON Schemas from a seed. What they allow is bounded (lengths, items, members, depth), so that a
// model that knows nothing of them still ends its answer in some hundred tokens.

// mulberry32: small, and the same everywhere.
export function randomFrom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n) => Math.floor(next() * n);
  return {
    below,
    between: (min, max) => min + below(max - min + 1),
    pick: (list) => list[below(list.length)],
    chance: (p) => next() < p,
    // As many different ones as are asked for, in the list's order.
    some: (list, n) => {
      const left = [...list];
      while (left.length > n) left.splice(below(left.length), 1);
      return left;
    },
  };
}

const names = ['id', 'name', 'city', 'n', 'tags', 'size', 'note', 'unit', 'price', 'ok', '名称', 'a b', 'x"y', 'café'];
const words = ['red', 'green', 'blue', '', 'on', 'off', '是', 'a"b', 'tab\t', '🙂', 'null', '12'];
const patterns = ['^[a-z]{1,5}$', '^\\d{2,4}-[A-Z]{1,3}$', '^(yes|no|maybe)$', '^[A-F0-9]{4}$', '^#[0-9a-f]{6}$', '^v\\d{1,2}(\\.\\d{1,2}){0,2}$',
  '^[\\u4e00-\\u9fa5]{1,3}$', '^\\S{1,6}$', '^[^"\\\\]{2,5}$', '^a?b{1,3}c$', '^(?:x|yz){2,3}$', '^\\w{3}$'];
const formats = ['date', 'time', 'date-time', 'ipv4', 'uuid', 'email', 'hostname', 'duration', 'ipv6'];

function stringSchema(r) {
  switch (r.below(4)) {
    case 0: return { type: 'string', pattern: r.pick(patterns) };
    case 1: return { type: 'string', format: r.pick(formats) };
    default: {
      const minLength = r.below(4);
      return { type: 'string', ...(minLength ? { minLength } : {}), maxLength: minLength + r.between(1, 8) };
    }
  }
}

function numberSchema(r) {
  const min = r.between(-200, 200);
  const max = min + r.between(12, 400);
  const type = r.chance(0.7) ? 'integer' : 'number';
  const schema = { type, [r.chance(0.3) ? 'exclusiveMinimum' : 'minimum']: min, [r.chance(0.3) ? 'exclusiveMaximum' : 'maximum']: max };
  if (type === 'integer' && r.chance(0.3)) schema.multipleOf = r.between(2, 9);
  return schema;
}

const constant = (r) => r.pick([r.pick(words), r.between(-99, 999), r.chance(0.5), null, 0.5, [1, r.pick(words)], { k: r.pick(words) }]);

function arraySchema(r, depth, defs) {
  if (r.chance(0.25)) {
    const prefixItems = [...Array(r.between(1, 3))].map(() => valueSchema(r, depth - 1, defs));
    return { type: 'array', prefixItems, items: false, minItems: r.below(prefixItems.length + 1) };
  }
  const minItems = r.below(3);
  return { type: 'array', items: valueSchema(r, depth - 1, defs), minItems, maxItems: minItems + r.below(3) };
}

function objectSchema(r, depth, defs) {
  const keys = r.some(names, r.between(1, depth > 1 ? 4 : 3));
  const schema = { type: 'object', properties: Object.fromEntries(keys.map((k) => [k, valueSchema(r, depth - 1, defs)])) };
  const required = keys.filter(() => r.chance(0.7));
  if (required.length > 0) schema.required = required;
  if (r.chance(0.8)) return { ...schema, additionalProperties: false };
  return { ...schema, propertyNames: { maxLength: 8 }, additionalProperties: scalarSchema(r), maxProperties: keys.length + r.below(2) };
}

function scalarSchema(r) {
  switch (r.below(8)) {
    case 0: return { type: 'boolean' };
    case 1: return { enum: r.some(words, r.between(1, 5)) };
    case 2: return { const: constant(r) };
    case 3: return { type: r.some(['boolean', 'null'], r.between(1, 2)) };
    case 4: case 5: return numberSchema(r);
    default: return stringSchema(r);
  }
}

function valueSchema(r, depth, defs) {
  if (depth <= 0) return scalarSchema(r);
  switch (r.below(10)) {
    case 0: case 1: case 2: return objectSchema(r, depth, defs);
    case 3: case 4: return arraySchema(r, depth, defs);
    case 5: return { anyOf: [...Array(r.between(2, 3))].map(() => valueSchema(r, depth - 1, defs)) };
    case 6: return defs.length > 0 ? { $ref: `#/$defs/${r.pick(defs)}` } : scalarSchema(r);
    default: return scalarSchema(r);
  }
}

// A list that may go on: the one kind of recursion whose end a coin decides.
const chain = (r) => ({ type: 'object', additionalProperties: false, required: ['v', 'next'],
  properties: { v: scalarSchema(r), next: { anyOf: [{ type: 'null' }, { const: 'end' }, { $ref: '#/$defs/chain' }] } } });

export function randomSchema(seed) {
  const r = randomFrom(seed);
  const defs = r.chance(0.35) ? ['part', ...(r.chance(0.3) ? ['chain'] : [])] : [];
  const schema = r.chance(0.8) ? objectSchema(r, 2, defs) : valueSchema(r, 2, defs);
  if (defs.length > 0) schema.$defs = { part: valueSchema(r, 1, []), ...(defs.includes('chain') ? { chain: chain(r) } : {}) };
  return schema;
}
