// Owns: what Python's operators do with values: truth, comparison, arithmetic, iteration,
// subscripts, and how a value is written as text. Errors lack a position; the evaluator adds it.
// Knows nothing of syntax. Thread rule: free functions.
#pragma once

#include <optional>

#include "jinja/budget.h"
#include "jinja/syntax.h"
#include "jinja/value.h"

namespace hadal::jinja {

bool IsTrue(const Value& value);
std::optional<int64_t> AsInteger(const Value& value);  // int and bool
std::optional<double> AsDouble(const Value& value);    // int, bool and float

Result<bool> AreEqual(const Value& a, const Value& b, Budget& budget);
Result<bool> Compare(Operator op, const Value& a, const Value& b, Budget& budget);
Result<bool> IsIn(const Value& item, const Value& container, Budget& budget);
Result<Value> Calculate(Operator op, const Value& a, const Value& b, Budget& budget);
Result<Value> Negate(const Value& value);
// "..." % value, and the filter `format`.
Result<Value> FormatPercent(const Text& format, const std::vector<Value>& values, Budget& budget);

// What a for loop goes over: items, characters, keys; nothing for an undefined value.
Result<List> Iterate(const Value& value, Budget& budget);
Result<int64_t> LengthOf(const Value& value, Budget& budget);
Result<Value> Subscript(const Value& value, const Value& index, Budget& budget);
// Keys of mappings, attributes of namespaces and loops; else undefined.
Result<Value> Attribute(const Value& value, std::string_view name, Budget& budget);
struct SliceRange {
  std::optional<int64_t> start, stop, step;
};
Result<Value> Slice(const Value& value, const SliceRange& range, Budget& budget);

// As str() does: the empty string for an undefined value.
Result<String> ToString(const Value& value, Budget& budget);
std::string FloatText(double value);  // as repr() does
struct JsonStyle {
  bool ascii = false;  // \u escapes
  bool sort_keys = false;
  std::optional<Text> indent;                       // one level
  std::optional<std::pair<Text, Text>> separators;  // between items, after keys
};
Result<Value> ToJson(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace hadal::jinja
