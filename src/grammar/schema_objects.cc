// Objects of a schema: declared properties in order, then additional ones.
#include <algorithm>
#include <set>

#include "grammar/pattern.h"
#include "grammar/schema_compiler.h"

namespace hadal::grammar {

// Says nothing of additional properties, but lists some: then, unless the options say otherwise,
// there are no others.
bool SchemaCompiler::IsClosed(const Shape& shape) const {
  bool lists = false;
  for (const ObjectPart& part : shape.objects) {
    if (part.additional != kNone) return false;
    lists |= !part.properties.empty() || !part.patterns.empty();
  }
  return lists && !options_.open_objects;
}

// All that the parts say of the property.
Result<Nodes> SchemaCompiler::ValueOf(const Shape& shape, const std::string& name) {
  Nodes nodes;
  for (const ObjectPart& part : shape.objects) {
    bool named = false;
    for (const auto& [own, schema] : part.properties) {
      if (own != name) continue;
      named = true;
      HADAL_OK(reader_.AddTo(nodes, schema));
    }
    for (const auto& [pattern, schema] : part.patterns) {
      HADAL_TRY(const auto dfa, PatternOf(pattern));
      HADAL_OK(budget_.Spend(name.size() + 1));
      if (!dfa->Matches(name)) continue;
      named = true;
      HADAL_OK(reader_.AddTo(nodes, schema));
    }
    if (!named && part.additional != kNone) HADAL_OK(reader_.AddTo(nodes, part.additional));
  }
  return nodes;
}

Result<Dfa> SchemaCompiler::KeysAllowedBy(uint32_t property_names) {
  Nodes nodes;
  HADAL_OK(reader_.AddTo(nodes, property_names));
  HADAL_TRY(const std::vector<Shape> shapes, reader_.ShapesOf(nodes));
  if (shapes.size() > 1) {
    return reader_.Wrong(property_names,
                         "alternatives for the names of properties are not supported");
  }
  if (shapes.empty() || !(shapes[0].types & kStringType)) return Dfa{};
  if (!shapes[0].values) return TextsOf(shapes[0], true);
  Nfa nfa = builder_.NewNfa();
  LiteralTrie names(nfa, nfa.start(), nfa.accept());
  for (const uint32_t value : *shapes[0].values) {
    HADAL_TRY(const bool allowed, Allows(shapes[0], value, property_names));
    if (allowed && TypeOf(tree_[value]) == kStringType) names.Add(tree_[value].text);
  }
  return DeterminizeBytes(nfa, budget_);
}

Result<bool> SchemaCompiler::NameAllowed(const Shape& shape, const std::string& name) {
  for (const uint32_t node : shape.property_names) {
    HADAL_TRY(const Dfa keys, KeysAllowedBy(node));
    if (!keys.Matches(name)) return false;
  }
  return true;
}

// Keys that no `properties` names and that `propertyNames` allows.
Result<Dfa> SchemaCompiler::FreeKeys(const Shape& shape) {
  HADAL_TRY(Dfa keys, AnyText(budget_));
  Nfa nfa = builder_.NewNfa();
  LiteralTrie names(nfa, nfa.start(), nfa.accept());
  for (const ObjectPart& part : shape.objects) {
    for (const auto& [name, schema] : part.properties) names.Add(name);
  }
  for (const std::string& name : shape.required) names.Add(name);
  HADAL_TRY(const Dfa declared, DeterminizeBytes(nfa, budget_));
  HADAL_TRY(keys, Combine(keys, declared, Product::kFirstOnly, budget_));
  for (const uint32_t node : shape.property_names) {
    HADAL_TRY(const Dfa allowed, KeysAllowedBy(node));
    HADAL_TRY(keys, Combine(keys, allowed, Product::kBoth, budget_));
  }
  return keys;
}

Result<std::vector<SchemaCompiler::KeyClass>> SchemaCompiler::AdditionalKeys(const Shape& shape) {
  std::vector<KeyClass> classes;
  const bool any_pattern = std::any_of(shape.objects.begin(), shape.objects.end(),
                                       [](const ObjectPart& p) { return !p.patterns.empty(); });
  if (!any_pattern && IsClosed(shape)) return classes;
  HADAL_TRY(Dfa rest, FreeKeys(shape));
  struct Pattern {
    uint32_t key, schema;
    const ObjectPart* part;
  };
  std::vector<Pattern> patterns;
  for (const ObjectPart& part : shape.objects) {
    for (const auto& [key, schema] : part.patterns) patterns.push_back({key, schema, &part});
  }
  const Dfa free = rest;
  for (size_t i = 0; i < patterns.size(); ++i) {
    HADAL_TRY(const auto own, PatternOf(patterns[i].key));
    for (size_t k = 0; k < i; ++k) {
      HADAL_TRY(const auto other, PatternOf(patterns[k].key));
      HADAL_TRY(const Dfa both, Combine(*own, *other, Product::kBoth, budget_));
      if (both.empty()) continue;
      return reader_.Wrong(patterns[i].key,
                           "a key can match this pattern and \"{}\" at once, which is "
                           "not supported",
                           tree_[patterns[k].key].key.substr(0, 80));
    }
    KeyClass made;
    HADAL_TRY(made.keys, Combine(free, *own, Product::kBoth, budget_));
    HADAL_TRY(rest, Combine(rest, *own, Product::kFirstOnly, budget_));
    HADAL_OK(reader_.AddTo(made.value, patterns[i].schema));
    for (const ObjectPart& part : shape.objects) {
      if (&part == patterns[i].part || part.additional == kNone) continue;
      HADAL_OK(reader_.AddTo(made.value, part.additional));
    }
    classes.push_back(std::move(made));
  }
  if (IsClosed(shape)) return classes;
  KeyClass others{std::move(rest), {}};
  for (const ObjectPart& part : shape.objects) {
    if (part.additional != kNone) HADAL_OK(reader_.AddTo(others.value, part.additional));
  }
  classes.push_back(std::move(others));
  return classes;
}

Result<uint32_t> SchemaCompiler::JsonMembers::Begin(Nfa& nfa, uint32_t from) {
  return c_.json_.Space(nfa, nfa.Literal(from, "{"));
}

Result<uint32_t> SchemaCompiler::JsonMembers::Separate(Nfa& nfa, uint32_t from) {
  return c_.json_.Space(nfa, nfa.Literal(from, ","));
}

Status SchemaCompiler::JsonMembers::Listed(Nfa& nfa, uint32_t from, const std::string& name,
                                           const Nodes& value, uint32_t to) {
  HADAL_TRY(const uint32_t rule, c_.RuleOf(value));
  HADAL_TRY(const uint32_t at, c_.json_.Space(nfa, nfa.Literal(from, QuoteJson(name) + ":")));
  nfa.Call(at, rule, to);
  return {};
}

Status SchemaCompiler::JsonMembers::Free(Nfa& nfa, uint32_t from, const Dfa& names,
                                         const Nodes& value, uint32_t to) {
  const uint32_t key = nfa.AddState();
  EmitQuoted(nfa, from, names, key);
  HADAL_TRY(const uint32_t at, c_.json_.Space(nfa, nfa.Literal(key, ":")));
  HADAL_TRY(const uint32_t rule, c_.RuleOf(value));
  nfa.Call(at, rule, to);
  return {};
}

Status SchemaCompiler::JsonMembers::End(Nfa& nfa, uint32_t from, bool empty) {
  // In an empty object there is no white space: Begin has let it come.
  HADAL_TRY(const uint32_t end, empty ? Result<uint32_t>(from) : c_.json_.Space(nfa, from));
  nfa.Bytes(end, '}', '}', nfa.accept());
  return {};
}

// A member that is not listed, for the additional properties; kNone when there are none.
Result<uint32_t> SchemaCompiler::MembersRule(const Shape& shape, uint32_t origin, Members& members,
                                             bool first) {
  Nfa nfa = builder_.NewNfa();
  HADAL_TRY(const uint32_t from,
            first ? Result<uint32_t>(nfa.start()) : members.Separate(nfa, nfa.start()));
  HADAL_TRY(const std::vector<KeyClass> classes, AdditionalKeys(shape));
  bool any = false;
  for (const KeyClass& keys : classes) {
    const bool forbidden = std::any_of(keys.value.begin(), keys.value.end(), [&](uint32_t node) {
      return tree_[node].is(JsonNode::Kind::kFalse);
    });
    if (keys.keys.empty() || forbidden) continue;
    any = true;
    HADAL_OK(members.Free(nfa, from, keys.keys, keys.value, nfa.accept()));
  }
  if (!any) return kNone;
  HADAL_TRY(const uint32_t rule, builder_.Declare(tree_.PointerOf(origin) + " (more properties)"));
  builder_.Define(rule, std::move(nfa));
  return rule;
}

// at[c]: c properties were written (at most the last index, which then stands for "or more").
Result<uint32_t> SchemaCompiler::EmitProperties(const Shape& shape, uint32_t from, Members& members,
                                                Nfa& nfa, std::vector<uint32_t>& at) {
  std::vector<std::string> names;
  std::set<std::string_view> seen;
  for (const ObjectPart& part : shape.objects) {
    for (const auto& [name, schema] : part.properties) {
      if (seen.insert(name).second) names.push_back(name);
    }
  }
  for (const std::string& name : shape.required) {
    if (seen.insert(name).second) names.push_back(name);
  }
  const std::set<std::string_view> required(shape.required.begin(), shape.required.end());
  const auto last = static_cast<uint32_t>(at.size() - 1);
  at[0] = from;
  for (uint32_t c = 1; c <= last; ++c) at[c] = nfa.AddState();
  for (const std::string& name : names) {
    HADAL_TRY(const Nodes value, ValueOf(shape, name));
    HADAL_TRY(const bool allowed, NameAllowed(shape, name));
    std::vector<uint32_t> next(at.size()), key(at.size(), kNone);
    for (uint32_t& state : next) state = nfa.AddState();
    for (uint32_t c = 0; c <= last && !nfa.overflowed(); ++c) {
      HADAL_OK(budget_.Spend(8));
      if (!required.contains(name)) nfa.Epsilon(at[c], next[c]);
      const bool full = c == last && shape.max_properties != kNone;
      if (full || !allowed) continue;
      const uint32_t to = std::min(c + 1, last);
      if (key[to] == kNone) {
        key[to] = nfa.AddState();
        HADAL_OK(members.Listed(nfa, key[to], name, value, next[to]));
      }
      HADAL_TRY(const uint32_t member,
                c == 0 ? Result<uint32_t>(at[c]) : members.Separate(nfa, at[c]));
      nfa.Epsilon(member, key[to]);
    }
    at = next;
  }
  return last;
}

Status SchemaCompiler::EmitObject(const Shape& shape, uint32_t origin, Members& members, Nfa& nfa) {
  const uint32_t min = shape.min_properties, max = shape.max_properties;
  if (min > max) return {};
  HADAL_TRY(const uint32_t first, MembersRule(shape, origin, members, true));
  HADAL_TRY(const uint32_t further, first == kNone || !members.separates()
                                        ? Result<uint32_t>(first)
                                        : MembersRule(shape, origin, members, false));
  size_t declared = shape.required.size();
  for (const ObjectPart& part : shape.objects) declared += part.properties.size();
  if (min > declared + 1 && first != kNone) {
    return reader_.Wrong(origin,
                         "minProperties {} is more than the listed properties and one more; the "
                         "same additional key could be written twice",
                         min);
  }
  // Counting further than all listed properties (twice, if listed and required) is of no use.
  const size_t counted = max != kNone ? std::min<size_t>(max, declared + 1)
                                      : std::max<size_t>(1, std::min<size_t>(min, declared + 1));
  Shape capped = shape;
  if (max != kNone && counted < max) capped.max_properties = kNone;
  std::vector<uint32_t> at(counted + 1);
  HADAL_TRY(const uint32_t open, members.Begin(nfa, nfa.start()));
  HADAL_TRY(const uint32_t last, EmitProperties(capped, open, members, nfa, at));
  const uint32_t done = nfa.AddState();
  for (uint32_t c = 0; c <= last && !nfa.overflowed(); ++c) {
    if (c >= min && c > 0) nfa.Epsilon(at[c], done);
    if (c >= min && c == 0) HADAL_OK(members.End(nfa, at[c], /*empty=*/true));
    if (first == kNone || c >= max || c + 1 < min) continue;
    const uint32_t more = nfa.AddState();
    nfa.Call(at[c], c == 0 ? first : further, more);
    nfa.Epsilon(more, done);
    const uint32_t room = std::min(max == kNone ? kNone : max - c - 1, members.max_free());
    if (room == kNone) {
      nfa.Call(more, further, more);
    } else if (room > 0) {
      nfa.Repeat(more, builder_.AddRepeat(further, 0, room), done);
    }
  }
  return members.End(nfa, done, /*empty=*/false);
}

}  // namespace hadal::grammar
