// Owns: JSON Schema 2020-12 (and JSON mode) to an automaton. Knows nothing of tokens.
// Thread rule: pure functions.
//
// Enforced: true and false schemas; type; enum, const; properties, required, additionalProperties,
// patternProperties (patterns that share no key), propertyNames, minProperties, maxProperties;
// items, prefixItems, minItems, maxItems; uniqueItems where at most one item is possible or the
// items are an enum of at most 6 values; anyOf, allOf, oneOf (where the schemas are provably
// exclusive); $ref to "#", "#/..." (recursive ones too); pattern, minLength, maxLength (in
// characters), format (formats.h, int32, int64); minimum, maximum, exclusiveMinimum,
// exclusiveMaximum, multipleOf (integers up to 1000). Refused, by name and JSON pointer: $ref to
// other documents and anchors, $dynamicRef, $anchor, $id below the root, not, if/then/else,
// dependentRequired, dependentSchemas, dependencies, contains, unevaluated*, additionalItems,
// unknown formats, unknown keywords (by option), what is malformed. Annotations: title,
// description, default, example(s), deprecated, readOnly, writeOnly, $comment, $schema,
// $vocabulary, content*, discriminator, keywords that begin with "x-".
//
// Properties come in the order of the schema; optional ones may be left out; additional ones
// follow. An object that lists properties and says nothing of additional ones has none (by option).
// minProperties counts repeated additional keys once. An enum's values are written as JSON without
// white space. Patterned strings use the shortest escapes.
#pragma once

#include <memory>
#include <string_view>

#include "grammar/automaton.h"
#include "grammar/json_rules.h"

namespace hadal::grammar {

struct SchemaOptions {
  JsonSpace space = JsonSpace::kFlexible;
  bool open_objects = false;             // additionalProperties left out means true
  bool ignore_unknown_keywords = false;  // otherwise they are refused
  bool ignore_unknown_formats = false;   // otherwise they are refused
};

// kInvalidArgument with the JSON pointer as the error's field.
Result<std::shared_ptr<const Automaton>> CompileSchema(std::string_view json,
                                                       const SchemaOptions& options,
                                                       Budget& budget);
// Any JSON object.
Result<std::shared_ptr<const Automaton>> CompileJsonObject(JsonSpace space, Budget& budget);

}  // namespace hadal::grammar
