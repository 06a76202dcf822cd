// Objects of a schema written as parameters: a string's value as it is, within its tags, another
// one's as JSON. Only the outermost object is written so.
#include <algorithm>

#include "grammar/pattern.h"
#include "grammar/schema_compiler.h"
#include "grammar/text_filter.h"

namespace hadal::grammar {

class SchemaCompiler::ParameterMembers final : public Members {
 public:
  ParameterMembers(SchemaCompiler& compiler, const ParameterSyntax& syntax)
      : c_(compiler), syntax_(syntax) {}

  Result<uint32_t> Begin(Nfa&, uint32_t from) override { return from; }
  Result<uint32_t> Separate(Nfa&, uint32_t from) override { return from; }
  bool separates() const override { return false; }
  uint32_t max_free() const override { return syntax_.max_free; }

  Status Listed(Nfa& nfa, uint32_t from, const std::string& name, const Nodes& value,
                uint32_t to) override {
    if (!syntax_.names.Matches(name) || name.size() > syntax_.max_name_bytes) {
      return c_.reader_.Wrong(SchemaTree::kRoot,
                              "the name of the property \"{}\" cannot be written in a tag",
                              name.substr(0, 80));
    }
    return Value(nfa, nfa.Literal(from, syntax_.name_begin + name), value, to);
  }

  Status Free(Nfa& nfa, uint32_t from, const Dfa& names, const Nodes& value, uint32_t to) override {
    HADAL_TRY(const Dfa own, Combine(names, syntax_.free_names, Product::kBoth, c_.budget_));
    return Value(nfa, nfa.Embed(nfa.Literal(from, syntax_.name_begin), own), value, to);
  }

  Status End(Nfa& nfa, uint32_t from, bool empty) override {
    nfa.Epsilon(empty ? nfa.Literal(from, syntax_.none) : from, nfa.accept());
    return {};
  }

 private:
  Status Value(Nfa& nfa, uint32_t from, const Nodes& value, uint32_t to) {
    HADAL_TRY(const uint32_t text, TextRule(value));
    if (text != kNone) nfa.Call(nfa.Literal(from, syntax_.string_begin), text, to);
    HADAL_TRY(const uint32_t json, c_.RuleOf(value, kEveryType & ~kStringType));
    if (json == kNone) return {};
    HADAL_TRY(const uint32_t ended, WithEnd(json));
    nfa.Call(nfa.Literal(from, syntax_.json_begin), ended, to);
    return {};
  }

  // `rule`, then the closing tag: one rule for all parameters of the kind, so that their masks are
  // shared.
  Result<uint32_t> WithEnd(uint32_t rule) {
    const auto it = ended_.find(rule);
    if (it != ended_.end()) return it->second;
    HADAL_TRY(const uint32_t ended, c_.builder_.Declare(c_.builder_.name(rule)));
    Nfa nfa = c_.builder_.NewNfa();
    nfa.Epsilon(nfa.Literal(nfa.Calls(nfa.start(), rule), syntax_.end), nfa.accept());
    c_.builder_.Define(ended, std::move(nfa));
    return ended_[rule] = ended;
  }

  // The strings among the values, with the closing tag; kNone: there are none.
  Result<uint32_t> TextRule(const Nodes& value) {
    const auto it = texts_.find(value);
    if (it != texts_.end()) return it->second;
    HADAL_TRY(std::vector<Shape> shapes, c_.reader_.ShapesOf(value));
    std::erase_if(shapes, [&](const Shape& s) { return (c_.TypesOf(s) & kStringType) == 0; });
    if (shapes.empty()) return texts_[value] = kNone;
    const bool any = std::any_of(shapes.begin(), shapes.end(),
                                 [](const Shape& s) { return !s.values && !s.limits_strings(); });
    if (any && !value.empty()) {
      HADAL_TRY(const uint32_t rule, TextRule({}));
      return texts_[value] = rule;
    }
    const uint32_t origin = value.empty() ? SchemaTree::kRoot : value[0];
    HADAL_TRY(const uint32_t rule, c_.builder_.Declare(c_.tree_.PointerOf(origin)));
    Nfa nfa = c_.builder_.NewNfa();
    const uint32_t end = nfa.AddState();
    for (const Shape& shape : shapes) HADAL_OK(Text(shape, origin, nfa, end));
    nfa.Epsilon(nfa.Literal(end, syntax_.end), nfa.accept());
    c_.builder_.Define(rule, std::move(nfa));
    return texts_[value] = rule;
  }

  Status Text(const Shape& shape, uint32_t origin, Nfa& nfa, uint32_t end) {
    if (shape.values) {
      LiteralTrie literals(nfa, nfa.start(), end);
      for (const uint32_t value : *shape.values) {
        const std::string& text = c_.tree_[value].text;
        HADAL_TRY(const bool allowed, c_.Allows(shape, value, origin));
        const bool is_string = TypeOf(c_.tree_[value]) == kStringType;
        HADAL_OK(c_.budget_.Spend(text.size() * 4));
        if (allowed && is_string && syntax_.texts.Matches(text)) literals.Add(text);
      }
      return {};
    }
    const bool counted = shape.min_length > 0 || shape.max_length != kNone;
    if (counted && shape.patterns.empty() && shape.formats.empty()) {
      if (shape.min_length > shape.max_length) return {};
      HADAL_TRY(const uint32_t rule, Counted(shape.min_length, shape.max_length));
      nfa.Call(nfa.start(), rule, end);
      return {};
    }
    HADAL_TRY(Dfa texts, c_.TextsOf(shape, true));
    HADAL_TRY(texts, Combine(texts, syntax_.texts, Product::kBoth, c_.budget_));
    nfa.Epsilon(nfa.Embed(nfa.start(), texts), end);
    return {};
  }

  Result<uint32_t> Counted(uint32_t min, uint32_t max) {
    HADAL_TRY(const Dfa any, AnyText(c_.budget_));
    HADAL_TRY(const Dfa one, WithLength(any, 1, 1, c_.budget_));
    HADAL_TRY(const uint32_t character, c_.builder_.DefineBytes("a character", one));
    HADAL_TRY(const uint32_t rule, c_.builder_.Declare("a text with a length"));
    Nfa nfa = c_.builder_.NewNfa();
    if (max > 0) {
      nfa.Repeat(nfa.start(), c_.builder_.AddRepeat(character, min, max), nfa.accept());
    } else {
      nfa.Epsilon(nfa.start(), nfa.accept());
    }
    c_.builder_.Define(rule, std::move(nfa));
    return Filter(c_.builder_, rule, syntax_.texts);
  }

  SchemaCompiler& c_;
  const ParameterSyntax& syntax_;
  std::map<Nodes, uint32_t> texts_;
  std::map<uint32_t, uint32_t> ended_;
};

Result<uint32_t> SchemaCompiler::EmitParameters(const ParameterSyntax& syntax) {
  Nodes root;
  HADAL_OK(reader_.AddTo(root, SchemaTree::kRoot));
  HADAL_TRY(std::vector<Shape> shapes, reader_.ShapesOf(root));
  std::erase_if(shapes, [&](const Shape& shape) { return (TypesOf(shape) & kObjectType) == 0; });
  if (shapes.empty()) return reader_.Wrong(SchemaTree::kRoot, "allows no object");
  HADAL_TRY(const uint32_t rule, builder_.Declare(tree_.PointerOf(SchemaTree::kRoot)));
  Nfa nfa = builder_.NewNfa();
  ParameterMembers members(*this, syntax);
  for (const Shape& shape : shapes) {
    if (shape.values) {
      return reader_.Wrong(SchemaTree::kRoot, "an enum of whole objects is not supported here");
    }
    size_t listed = shape.required.size();
    for (const ObjectPart& part : shape.objects) listed += part.properties.size();
    if (listed > syntax.max_listed) {
      return reader_.Wrong(SchemaTree::kRoot,
                           "{} properties are listed or required; at most {} "
                           "are supported here",
                           listed, syntax.max_listed);
    }
    HADAL_OK(EmitObject(shape, SchemaTree::kRoot, members, nfa));
  }
  HADAL_OK(DefineRules());
  if (nfa.overflowed()) {
    return reader_.Wrong(SchemaTree::kRoot, "the schema needs more than {} states; make it smaller",
                         budget_.limits().max_states);
  }
  builder_.Define(rule, std::move(nfa));
  return rule;
}

Result<uint32_t> EmitParameters(std::string_view json, const SchemaOptions& options,
                                const ParameterSyntax& syntax, JsonRules& rules) {
  HADAL_TRY(const SchemaTree tree, SchemaTree::Parse(json, rules.builder().budget().limits()));
  return SchemaCompiler(tree, options, rules).EmitParameters(syntax);
}

}  // namespace hadal::grammar
