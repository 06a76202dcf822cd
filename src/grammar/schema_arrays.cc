// Arrays of a schema.
#include <algorithm>

#include "grammar/schema_compiler.h"

namespace hadal::grammar {
namespace {

constexpr size_t kMaxUniqueValues = 6;  // their subsets are states

}  // namespace

// All that the parts say of the item.
Result<Nodes> SchemaCompiler::ItemOf(const Shape& shape, size_t index) {
  Nodes nodes;
  for (const ArrayPart& part : shape.arrays) {
    if (index < part.prefix.size()) {
      HADAL_OK(reader_.AddTo(nodes, part.prefix[index]));
    } else if (part.items != kNone) {
      HADAL_OK(reader_.AddTo(nodes, part.items));
    }
  }
  return nodes;
}

// "," item
Result<uint32_t> SchemaCompiler::NextItemRule(const Nodes& item) {
  HADAL_TRY(const uint32_t rule, RuleOf(item));
  const auto it = next_items_.find(rule);
  if (it != next_items_.end()) return it->second;
  HADAL_TRY(
      const uint32_t next,
      builder_.Declare(item.empty() ? "a further item" : tree_.PointerOf(item[0]) + " (next)"));
  Nfa nfa = builder_.NewNfa();
  HADAL_TRY(const uint32_t at, json_.Space(nfa, nfa.Literal(nfa.start(), ",")));
  nfa.Call(at, rule, nfa.accept());
  builder_.Define(next, std::move(nfa));
  next_items_[rule] = next;
  return next;
}

Status SchemaCompiler::EmitArray(const Shape& shape, uint32_t origin, Nfa& nfa) {
  if (!shape.limits_arrays()) {
    HADAL_TRY(const uint32_t rule, json_.Array());
    nfa.Call(nfa.start(), rule, nfa.accept());
    return {};
  }
  size_t prefix = 0;
  for (const ArrayPart& part : shape.arrays) prefix = std::max(prefix, part.prefix.size());
  const uint32_t min = shape.min_items, max = shape.max_items;
  if (min > max) return {};
  HADAL_TRY(const Nodes rest, ItemOf(shape, prefix));
  if (shape.unique_items && max > 1) {
    HADAL_TRY(const std::vector<Shape> items, reader_.ShapesOf(rest));
    if (prefix > 0 || items.size() != 1 || !items[0].values) {
      return reader_.Wrong(origin,
                           "uniqueItems is supported only for items that are an enum, or "
                           "with maxItems of at most 1");
    }
    std::vector<uint32_t> values;
    for (const uint32_t value : *items[0].values) {
      HADAL_TRY(const bool allowed, Allows(items[0], value, origin));
      const bool known = std::any_of(values.begin(), values.end(),
                                     [&](uint32_t other) { return tree_.Equal(value, other); });
      if (allowed && !known) values.push_back(value);
      if (values.size() > kMaxUniqueValues) {
        return reader_.Wrong(origin, "uniqueItems is supported for enums of at most {} values",
                             kMaxUniqueValues);
      }
    }
    return EmitUnique(shape, values, nfa);
  }
  HADAL_TRY(uint32_t at, json_.Space(nfa, nfa.Literal(nfa.start(), "[")));
  const uint32_t done = nfa.AddState();
  if (min == 0) nfa.Bytes(at, ']', ']', nfa.accept());
  // One by one as long as the schema of the item changes, and for the first, which has no comma.
  const size_t single = std::min<size_t>(std::max<size_t>(prefix, 1), max);
  for (size_t i = 0; i < single && !nfa.overflowed(); ++i) {
    HADAL_TRY(const Nodes item, ItemOf(shape, i));
    HADAL_TRY(const uint32_t rule, i == 0 ? RuleOf(item) : NextItemRule(item));
    at = nfa.Calls(at, rule);
    if (i + 1 >= min) nfa.Epsilon(at, done);
  }
  if (max > single) {
    HADAL_TRY(const uint32_t next, NextItemRule(rest));
    const uint32_t need = min > single ? min - static_cast<uint32_t>(single) : 0;
    const uint32_t room = max == kNone ? kNone : max - static_cast<uint32_t>(single);
    nfa.Repeat(at, builder_.AddRepeat(next, need, room), done);
  }
  HADAL_TRY(const uint32_t end, json_.Space(nfa, done));
  nfa.Bytes(end, ']', ']', nfa.accept());
  return {};
}

// Which of the values were written is the state.
Status SchemaCompiler::EmitUnique(const Shape& shape, const std::vector<uint32_t>& values,
                                  Nfa& nfa) {
  const uint32_t n = static_cast<uint32_t>(values.size());
  HADAL_TRY(const uint32_t open, json_.Space(nfa, nfa.Literal(nfa.start(), "[")));
  const uint32_t done = nfa.AddState();
  std::vector<uint32_t> after(size_t{1} << n);
  for (uint32_t& state : after) state = nfa.AddState();
  for (uint32_t set = 0; set < after.size(); ++set) {
    const auto count = static_cast<uint32_t>(__builtin_popcount(set));
    if (count >= shape.min_items && count > 0) nfa.Epsilon(after[set], done);
    if (count >= shape.max_items || count == n) continue;
    uint32_t item = open;
    if (set != 0) {
      HADAL_TRY(item, json_.Space(nfa, nfa.Literal(after[set], ",")));
    }
    for (uint32_t i = 0; i < n; ++i) {
      if (set >> i & 1) continue;
      std::string text;
      tree_.Write(values[i], text);
      nfa.Epsilon(nfa.Literal(item, text), after[set | 1u << i]);
    }
  }
  if (shape.min_items == 0) nfa.Bytes(open, ']', ']', nfa.accept());
  HADAL_TRY(const uint32_t end, json_.Space(nfa, done));
  nfa.Bytes(end, ']', ']', nfa.accept());
  return {};
}

}  // namespace hadal::grammar
