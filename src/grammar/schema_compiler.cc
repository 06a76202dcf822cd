#include "grammar/schema_compiler.h"

#include <utility>

namespace hadal::grammar {

Result<std::shared_ptr<const Automaton>> CompileSchema(std::string_view json,
                                                       const SchemaOptions& options,
                                                       Budget& budget) {
  HADAL_TRY(const SchemaTree tree, SchemaTree::Parse(json, budget.limits()));
  return SchemaCompiler(tree, options, budget).Run();
}

Result<std::shared_ptr<const Automaton>> CompileJsonObject(JsonSpace space, Budget& budget) {
  AutomatonBuilder builder(budget);
  JsonRules json(builder, space);
  HADAL_TRY(const uint32_t object, json.Object());
  return builder.Build(object);
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

Result<std::shared_ptr<const Automaton>> SchemaCompiler::Run() {
  Nodes root;
  HADAL_OK(reader_.AddTo(root, SchemaTree::kRoot));
  HADAL_TRY(const uint32_t rule, RuleOf(root));
  while (!undefined_.empty()) {
    const auto [nodes, next] = std::move(undefined_.back());
    undefined_.pop_back();
    HADAL_OK(DefineRule(nodes, next));
  }
  auto built = builder_.Build(rule);
  if (!built && built.error().field.empty()) built.error().field = "#";
  return built;
}

Result<uint32_t> SchemaCompiler::RuleOf(const Nodes& nodes) {
  if (nodes.empty()) return json_.Value();
  HADAL_OK(budget_.Spend(8 + nodes.size()));
  const auto it = rules_.find(nodes);
  if (it != rules_.end()) return it->second;
  HADAL_TRY(const uint32_t rule, builder_.Declare(tree_.PointerOf(nodes[0])));
  rules_[nodes] = rule;
  undefined_.emplace_back(nodes, rule);
  return rule;
}

Status SchemaCompiler::DefineRule(const Nodes& nodes, uint32_t rule) {
  Nfa nfa = builder_.NewNfa();
  HADAL_OK(EmitNodes(nodes, nfa));
  HADAL_OK(budget_.Spend(nfa.size()));
  if (nfa.overflowed()) {
    return reader_.Wrong(nodes[0], "the schema needs more than {} states; make it smaller",
                         budget_.limits().max_states);
  }
  builder_.Define(rule, std::move(nfa));
  return {};
}

Status SchemaCompiler::EmitNodes(const Nodes& nodes, Nfa& nfa) {
  Nodes alternatives;
  if (nodes.size() == 1) {
    HADAL_TRY(alternatives, reader_.PlainAlternatives(nodes[0]));
  }
  if (alternatives.empty()) {
    HADAL_TRY(const std::vector<Shape> shapes, reader_.ShapesOf(nodes));
    for (const Shape& shape : shapes) HADAL_OK(EmitShape(shape, nodes[0], nfa));
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
    for (const Shape& shape : shapes) HADAL_OK(EmitShape(shape, alternative, nfa));
  }
  return {};
}

Status SchemaCompiler::EmitShape(const Shape& shape, uint32_t origin, Nfa& nfa) {
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
  if (shape.types & kObjectType) HADAL_OK(EmitObject(shape, origin, nfa));
  return {};
}

}  // namespace hadal::grammar
