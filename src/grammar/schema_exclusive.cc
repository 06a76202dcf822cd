// Whether two schemas of a oneOf can hold at once.
#include <algorithm>

#include "grammar/schema_reader.h"

namespace hadal::grammar {
namespace {

constexpr int kMaxTried = 16;  // properties looked into

const std::pair<std::string, uint32_t>* FindProperty(const ObjectPart& part,
                                                     const std::string& name) {
  for (const auto& property : part.properties) {
    if (property.first == name) return &property;
  }
  return nullptr;
}

bool RangesDisjoint(const NumberRange& a, const NumberRange& b) {
  const auto below = [](const NumberRange& x, const NumberRange& y) {
    if (!x.max || !y.min) return false;
    const int c = Compare(x.max->value, y.min->value);
    return c < 0 || (c == 0 && (x.max->exclusive || y.min->exclusive));
  };
  return below(a, b) || below(b, a);
}

}  // namespace

Result<bool> SchemaReader::Disjoint(const Shape& a, const Shape& b, int depth) {
  const auto types_of = [&](const Shape& shape) {
    uint8_t types = shape.types;
    if (shape.values) {
      uint8_t of_values = 0;
      for (const uint32_t value : *shape.values) of_values |= TypeOf(tree_[value]);
      types &= of_values;
    }
    return types;
  };
  const uint8_t common = types_of(a) & types_of(b);
  if (common == 0) return true;
  if (a.values && b.values) {
    HADAL_OK(budget_.Spend(a.values->size() * b.values->size()));
    return std::none_of(a.values->begin(), a.values->end(), [&](uint32_t x) {
      return std::any_of(b.values->begin(), b.values->end(),
                         [&](uint32_t y) { return tree_.Equal(x, y); });
    });
  }
  if (common == kObjectType) return DisjointObjects(a, b, depth);
  if ((common & ~(kIntegerType | kFractionType)) == 0) return RangesDisjoint(a.range, b.range);
  if (common == kStringType) return a.max_length < b.min_length || b.max_length < a.min_length;
  if (common == kArrayType) return a.max_items < b.min_items || b.max_items < a.min_items;
  return false;
}

bool SchemaReader::Forbids(const Shape& shape, const std::string& property) const {
  return std::any_of(shape.objects.begin(), shape.objects.end(), [&](const ObjectPart& part) {
    return part.patterns.empty() && !FindProperty(part, property) && part.additional != kNone &&
           tree_[part.additional].is(JsonNode::Kind::kFalse);
  });
}

// One requires what the other forbids, or a property that both know differs (and one requires it).
Result<bool> SchemaReader::DisjointObjects(const Shape& a, const Shape& b, int depth) {
  const auto requires_forbidden = [&](const Shape& x, const Shape& y) {
    return std::any_of(x.required.begin(), x.required.end(),
                       [&](const std::string& name) { return Forbids(y, name); });
  };
  if (requires_forbidden(a, b) || requires_forbidden(b, a)) return true;
  if (depth > budget_.limits().max_depth) return false;
  std::vector<std::string> names = a.required;
  names.insert(names.end(), b.required.begin(), b.required.end());
  int tried = 0;
  for (const std::string& name : names) {
    for (const ObjectPart& x : a.objects) {
      const auto* own = FindProperty(x, name);
      if (!own) continue;
      for (const ObjectPart& y : b.objects) {
        const auto* other = FindProperty(y, name);
        if (!other) continue;
        HADAL_OK(budget_.Spend(64));
        if (++tried > kMaxTried) return false;
        // A property whose schema is still being expanded tells nothing.
        auto left = Expand(own->second, depth + 1);
        if (!left) continue;
        auto right = Expand(other->second, depth + 1);
        if (!right) continue;
        bool all = true;
        for (const Shape& l : *left) {
          for (const Shape& r : *right) {
            HADAL_TRY(const bool disjoint, Disjoint(l, r, depth + 1));
            all = all && disjoint;
          }
        }
        if (all) return true;
      }
    }
  }
  return false;
}

}  // namespace hadal::grammar
