// Owns: what one schema asks for once its applicators are resolved: a Shape is a conjunction of
// plain constraints, and a schema is a list of Shapes of which one must hold. Knows nothing of
// automata but the bounds of numbers. Thread rule: values and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/decimal_range.h"
#include "grammar/schema_tree.h"

namespace hadal::grammar {

// Types as a set. A number is an integer or not; "number" is both.
enum Type : uint8_t {
  kNullType = 1,
  kBooleanType = 2,
  kIntegerType = 4,
  kFractionType = 8,
  kStringType = 16,
  kArrayType = 32,
  kObjectType = 64,
  kEveryType = 127
};

// Nodes of the tree that must all hold: sorted, unique.
using Nodes = std::vector<uint32_t>;

// What one schema object says of properties; allOf keeps them apart, because "additional" of one
// speaks of the properties that the same one does not name.
struct ObjectPart {
  std::vector<std::pair<std::string, uint32_t>> properties;  // in order
  std::vector<std::pair<uint32_t, uint32_t>>
      patterns;                 // key node (its name is the pattern), schema
  uint32_t additional = kNone;  // kNone: not said
};
struct ArrayPart {
  std::vector<uint32_t> prefix;
  uint32_t items = kNone;  // beyond the prefix
};

struct Shape {
  uint8_t types = kEveryType;
  std::optional<std::vector<uint32_t>> values;  // enum, const: nodes
  std::vector<uint32_t> patterns, formats;      // nodes
  uint32_t min_length = 0, max_length = kNone;
  NumberRange range;
  std::vector<ObjectPart> objects;
  std::vector<std::string> required;
  uint32_t min_properties = 0, max_properties = kNone;
  std::vector<uint32_t> property_names;  // nodes
  std::vector<ArrayPart> arrays;
  uint32_t min_items = 0, max_items = kNone;
  bool unique_items = false;

  bool limits_strings() const {
    return !patterns.empty() || !formats.empty() || min_length > 0 || max_length != kNone;
  }
  bool limits_numbers() const { return range.min || range.max || range.multiple_of != 0; }
  bool limits_objects() const {
    return !objects.empty() || !required.empty() || min_properties > 0 || max_properties != kNone ||
           !property_names.empty();
  }
  bool limits_arrays() const {
    return !arrays.empty() || min_items > 0 || max_items != kNone || unique_items;
  }
  bool limits_nothing() const {
    return types == kEveryType && !values && !limits_strings() && !limits_numbers() &&
           !limits_objects() && !limits_arrays();
  }
};

uint8_t TypeOf(const JsonNode& node);  // of a value
// Both must hold. nullopt: the least common multiple of their multipleOf is too large.
std::optional<Shape> Merge(const SchemaTree& tree, const Shape& a, const Shape& b);
bool InRange(const NumberRange& range, const JsonNode& number);
uint32_t CountCharacters(std::string_view utf8);

}  // namespace hadal::grammar
