#include "grammar/schema_shape.h"

#include <algorithm>
#include <numeric>

namespace hadal::grammar {
namespace {

constexpr uint64_t kMaxMultiple = 1000;

template <class T>
void Append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void Tighten(std::optional<NumberRange::Bound>& to, const std::optional<NumberRange::Bound>& from,
             int sign) {
  if (!from) return;
  const int c = to ? Compare(from->value, to->value) * sign : 1;
  if (c > 0) {
    to = from;
  } else if (c == 0) {
    to->exclusive |= from->exclusive;
  }
}

}  // namespace

uint8_t TypeOf(const JsonNode& node) {
  switch (node.kind) {
    case JsonNode::Kind::kNull:
      return kNullType;
    case JsonNode::Kind::kFalse:
    case JsonNode::Kind::kTrue:
      return kBooleanType;
    case JsonNode::Kind::kNumber:
      return node.integral ? kIntegerType : kFractionType;
    case JsonNode::Kind::kString:
      return kStringType;
    case JsonNode::Kind::kArray:
      return kArrayType;
    case JsonNode::Kind::kObject:
      return kObjectType;
  }
  return 0;
}

std::optional<Shape> Merge(const SchemaTree& tree, const Shape& a, const Shape& b) {
  Shape out = a;
  out.types &= b.types;
  if (!out.values) {
    out.values = b.values;
  } else if (b.values) {
    std::erase_if(*out.values, [&](uint32_t value) {
      return std::none_of(b.values->begin(), b.values->end(),
                          [&](uint32_t other) { return tree.Equal(value, other); });
    });
  }
  Append(out.patterns, b.patterns);
  Append(out.formats, b.formats);
  out.min_length = std::max(a.min_length, b.min_length);
  out.max_length = std::min(a.max_length, b.max_length);
  Tighten(out.range.min, b.range.min, 1);
  Tighten(out.range.max, b.range.max, -1);
  if (out.range.multiple_of == 0) {
    out.range.multiple_of = b.range.multiple_of;
  } else if (b.range.multiple_of != 0) {
    const uint64_t both = std::lcm(uint64_t{out.range.multiple_of}, uint64_t{b.range.multiple_of});
    if (both > kMaxMultiple) return std::nullopt;
    out.range.multiple_of = static_cast<uint32_t>(both);
  }
  Append(out.objects, b.objects);
  for (const std::string& name : b.required) {
    if (std::find(out.required.begin(), out.required.end(), name) == out.required.end()) {
      out.required.push_back(name);
    }
  }
  out.min_properties = std::max(a.min_properties, b.min_properties);
  out.max_properties = std::min(a.max_properties, b.max_properties);
  Append(out.property_names, b.property_names);
  Append(out.arrays, b.arrays);
  out.min_items = std::max(a.min_items, b.min_items);
  out.max_items = std::min(a.max_items, b.max_items);
  out.unique_items |= b.unique_items;
  return out;
}

bool InRange(const NumberRange& range, const JsonNode& number) {
  if (range.min) {
    const int c = Compare(number.number, range.min->value);
    if (c < 0 || (c == 0 && range.min->exclusive)) return false;
  }
  if (range.max) {
    const int c = Compare(number.number, range.max->value);
    if (c > 0 || (c == 0 && range.max->exclusive)) return false;
  }
  if (range.multiple_of == 0) return true;
  if (!number.integral) return false;
  uint32_t remainder = 0;
  for (const char c : number.number.whole) {
    remainder = (remainder * 10 + static_cast<uint32_t>(c - '0')) % range.multiple_of;
  }
  return remainder == 0;
}

uint32_t CountCharacters(std::string_view utf8) {
  return static_cast<uint32_t>(std::count_if(
      utf8.begin(), utf8.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

}  // namespace hadal::grammar
