// Owns: the notations in which a constraint can be written, and putting one into an automaton as a
// rule beside others. Knows nothing of requests. Thread rule: pure functions.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/schema.h"

namespace hadal::grammar {

enum class ConstraintKind {
  kJsonObject,  // any object; the source is not looked at
  kJsonSchema,
  kRegex,  // the whole output
  kGbnf,
  kText  // any text; the source is not looked at
};

struct ConstraintSource {
  ConstraintKind kind = ConstraintKind::kJsonObject;
  std::string_view text;
  SchemaOptions schema;  // for the two JSON kinds
};

// A rule of what the source describes. kInvalidArgument says what is wrong and where; for a schema
// the JSON pointer is the field.
Result<uint32_t> EmitSource(const ConstraintSource& source, AutomatonBuilder& builder);

// The source alone.
Result<std::shared_ptr<const Automaton>> Compile(const ConstraintSource& source,
                                                 const Limits& limits);

}  // namespace hadal::grammar
