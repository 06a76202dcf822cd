// Owns: the JSON of one schema as a tree whose nodes have numbers, with objects in their order.
// Knows nothing of keywords. Thread rule: immutable after Parse.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/decimal_range.h"
#include "grammar/limits.h"

namespace hadal::grammar {

struct JsonNode {
  enum class Kind : uint8_t { kNull, kFalse, kTrue, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  bool integral = false;  // kNumber: has no fraction, whatever its spelling
  uint32_t parent = UINT32_MAX;
  std::string key = {};                 // in the parent: the name, or the index
  std::string text = {};                // kString: the value; kNumber: the shortest spelling
  Decimal number = {};                  // kNumber
  std::vector<uint32_t> children = {};  // of arrays and objects, in order

  bool is(Kind k) const { return kind == k; }
};

class SchemaTree {
 public:
  // kInvalidArgument: not JSON, too deep, a key twice, a number out of range.
  static Result<SchemaTree> Parse(std::string_view json, const Limits& limits);

  const JsonNode& operator[](uint32_t i) const { return nodes_[i]; }
  static constexpr uint32_t kRoot = 0;
  uint32_t size() const { return static_cast<uint32_t>(nodes_.size()); }
  // UINT32_MAX when the object has no such key.
  uint32_t Find(uint32_t object, std::string_view key) const;
  std::string PointerOf(uint32_t node) const;  // "#/properties/a"
  // The node that "#", "#/a/b" (percent-encoded) names; UINT32_MAX when there is none.
  uint32_t Resolve(std::string_view fragment) const;
  // The value as compact JSON, keys in order.
  void Write(uint32_t node, std::string& out) const;
  // Equal as JSON values: numbers by value, objects whatever their order.
  bool Equal(uint32_t a, uint32_t b) const;

 private:
  std::vector<JsonNode> nodes_;
};

}  // namespace hadal::grammar
