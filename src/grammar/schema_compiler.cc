#include "grammar/schema_compiler.h"

#include <utility>

namespace hadal::grammar {

Result<uint32_t> EmitSchema(std::string_view json, const SchemaOptions& options, JsonRules& rules) {
  HADAL_TRY(const SchemaTree tree, SchemaTree::Parse(json, rules.builder().budget().limits()));
  return SchemaCompiler(tree, options, rules).Emit();
}

Result<uint32_t> EmitObjects(std::string_view json, const SchemaOptions& options,
                             JsonRules& rules) {
  HADAL_TRY(const SchemaTree tree, SchemaTree::Parse(json, rules.builder().budget().limits()));
  return SchemaCompiler(tree, options, rules).Emit(kObjectType);
}

void LiteralTrie::Add(std::string_view literal) {
  uint32_t at = from_;
  for (const char c : literal) {
    const auto [it, added] = next_.try_emplace({at, c}, 0);
    if (added) {
      it->second = nfa_.AddState();
      if (nfa_.overflowed()) return;
      nfa_.Bytes(at, static_cast<uint8_t>(c), static_cast<uint8_t>(c), it->second);
    }
    at = it->second;
  }
  nfa_.Epsilon(at, to_);
}

Result<uint32_t> SchemaCompiler::Emit(uint8_t types) {
  Nodes root;
  HADAL_OK(reader_.AddTo(root, SchemaTree::kRoot));
  HADAL_TRY(const uint32_t rule, types == kEveryType ? RuleOf(root) : RuleOf(root, types));
  HADAL_OK(DefineRules());
  if (rule == kNone) return reader_.Wrong(SchemaTree::kRoot, "allows no object");
  return rule;
}

Result<uint32_t> SchemaCompiler::RuleOf(const Nodes& nodes) {
  if (nodes.empty()) return json_.Value();
  return AddRule(nodes, kEveryType);
}

Result<uint32_t> SchemaCompiler::RuleOf(const Nodes& nodes, uint8_t types) {
  if (nodes.empty()) {
    if (types == kObjectType) return json_.Object();
    return AddRule(nodes, types);
  }
  HADAL_TRY(const std::vector<Shape> shapes, reader_.ShapesOf(nodes));
  uint8_t found = 0;
  for (const Shape& shape : shapes) found |= TypesOf(shape);
  if ((found & types) == 0) return kNone;
  return AddRule(nodes, (found & ~types) == 0 ? kEveryType : types);
}

Result<uint32_t> SchemaCompiler::AddRule(const Nodes& nodes, uint8_t types) {
  HADAL_OK(budget_.Spend(8 + nodes.size()));
  const auto it = rules_.find({nodes, types});
  if (it != rules_.end()) return it->second;
  HADAL_TRY(const uint32_t rule,
            builder_.Declare(nodes.empty() ? "any value" : tree_.PointerOf(nodes[0])));
  rules_[{nodes, types}] = rule;
  undefined_.push_back({nodes, types, rule});
  return rule;
}

uint8_t SchemaCompiler::TypesOf(const Shape& shape) const {
  if (!shape.values) return shape.types;
  uint8_t types = 0;
  for (const uint32_t value : *shape.values) types |= TypeOf(tree_[value]);
  return types & shape.types;
}

Status SchemaCompiler::DefineRules() {
  while (!undefined_.empty()) {
    const Undefined next = std::move(undefined_.back());
    undefined_.pop_back();
    HADAL_OK(DefineRule(next));
  }
  return {};
}

Status SchemaCompiler::DefineRule(const Undefined& rule) {
  Nfa nfa = builder_.NewNfa();
  HADAL_OK(EmitNodes(rule.nodes, rule.types, nfa));
  HADAL_OK(budget_.Spend(nfa.size()));
  if (nfa.overflowed()) {
    return reader_.Wrong(rule.nodes.empty() ? SchemaTree::kRoot : rule.nodes[0],
                         "the schema needs more than {} states; make it smaller",
                         budget_.limits().max_states);
  }
  builder_.Define(rule.rule, std::move(nfa));
  return {};
}

Status SchemaCompiler::EmitNodes(const Nodes& nodes, uint8_t types, Nfa& nfa) {
  Nodes alternatives;
  if (nodes.size() == 1 && types == kEveryType) {
    HADAL_TRY(alternatives, reader_.PlainAlternatives(nodes[0]));
  }
  if (alternatives.empty()) {
    HADAL_TRY(const std::vector<Shape> shapes, reader_.ShapesOf(nodes));
    const uint32_t origin = nodes.empty() ? SchemaTree::kRoot : nodes[0];
    for (const Shape& shape : shapes) HADAL_OK(EmitShape(shape, types, origin, nfa));
    return {};
  }
  for (const uint32_t alternative : alternatives) {
    // What is referred to has a rule of its own; what is written here becomes part of this one.
    if (reader_.IsPlainReference(alternative)) {
      Nodes target;
      HADAL_OK(reader_.AddTo(target, alternative));
      HADAL_TRY(const uint32_t rule, RuleOf(target));
      nfa.Call(nfa.start(), rule, nfa.accept());
      continue;
    }
    HADAL_TRY(const std::vector<Shape> shapes, reader_.ShapesOf({alternative}));
    for (const Shape& shape : shapes) HADAL_OK(EmitShape(shape, types, alternative, nfa));
  }
  return {};
}

Status SchemaCompiler::EmitShape(Shape shape, uint8_t types, uint32_t origin, Nfa& nfa) {
  shape.types &= types;
  if (shape.values) return EmitValues(shape, origin, nfa);
  if (shape.limits_nothing()) {
    HADAL_TRY(const uint32_t value, json_.Value());
    nfa.Call(nfa.start(), value, nfa.accept());
    return {};
  }
  const auto literal = [&](uint8_t type, std::string_view text) {
    if (shape.types & type) nfa.Epsilon(nfa.Literal(nfa.start(), text), nfa.accept());
  };
  literal(kNullType, "null");
  literal(kBooleanType, "true");
  literal(kBooleanType, "false");
  if (shape.types & (kIntegerType | kFractionType)) HADAL_OK(EmitNumbers(shape, origin, nfa));
  if (shape.types & kStringType) HADAL_OK(EmitStrings(shape, origin, nfa));
  if (shape.types & kArrayType) HADAL_OK(EmitArray(shape, origin, nfa));
  if (shape.types & kObjectType) {
    if (!shape.limits_objects()) {
      HADAL_TRY(const uint32_t rule, json_.Object());
      nfa.Call(nfa.start(), rule, nfa.accept());
    } else {
      JsonMembers members(*this);
      HADAL_OK(EmitObject(shape, origin, members, nfa));
    }
  }
  return {};
}

}  // namespace hadal::grammar
