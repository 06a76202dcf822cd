// Owns: JSON Schema 2020-12 to a rule of an automaton. Knows nothing of tokens.
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

#include <string_view>

#include "grammar/automaton.h"
#include "grammar/json_rules.h"
#include "grammar/parameter_syntax.h"

namespace hadal::grammar {

struct SchemaOptions {
  JsonSpace space = JsonSpace::kFlexible;  // of the rules that are passed beside the options
  bool open_objects = false;               // additionalProperties left out means true
  bool ignore_unknown_keywords = false;    // otherwise they are refused
  bool ignore_unknown_formats = false;     // otherwise they are refused
};

// A rule of the values that are valid. kInvalidArgument with the JSON pointer as the error's field.
Result<uint32_t> EmitSchema(std::string_view json, const SchemaOptions& options, JsonRules& rules);
// Of those that are objects.
Result<uint32_t> EmitObjects(std::string_view json, const SchemaOptions& options, JsonRules& rules);
// Of those that are objects, written as parameters; values that are enums of whole objects are
// refused.
Result<uint32_t> EmitParameters(std::string_view json, const SchemaOptions& options,
                                const ParameterSyntax& syntax, JsonRules& rules);

}  // namespace hadal::grammar
