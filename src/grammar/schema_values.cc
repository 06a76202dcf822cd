// Enums, numbers and strings of a schema.
#include <algorithm>

#include "grammar/formats.h"
#include "grammar/pattern.h"
#include "grammar/schema_compiler.h"

namespace hadal::grammar {

Result<bool> SchemaCompiler::Allows(const Shape& shape, uint32_t value, uint32_t origin) {
  const JsonNode& node = tree_[value];
  const uint8_t type = TypeOf(node);
  if ((shape.types & type) == 0) return false;
  if (type == kArrayType && shape.limits_arrays()) {
    return reader_.Wrong(origin, "an enum of arrays beside keywords for arrays is not supported");
  }
  if (type == kObjectType && shape.limits_objects()) {
    return reader_.Wrong(origin, "an enum of objects beside keywords for objects is not supported");
  }
  if (type == kIntegerType || type == kFractionType) return InRange(shape.range, node);
  if (type != kStringType) return true;
  const uint32_t length = CountCharacters(node.text);
  if (length < shape.min_length || length > shape.max_length) return false;
  for (const auto* list : {&shape.patterns, &shape.formats}) {
    for (const uint32_t pattern : *list) {
      HADAL_TRY(const auto dfa, PatternOf(pattern));
      HADAL_OK(budget_.Spend(node.text.size()));
      if (!dfa->Matches(node.text)) return false;
    }
  }
  return true;
}

Status SchemaCompiler::EmitValues(const Shape& shape, uint32_t origin, Nfa& nfa) {
  LiteralTrie literals(nfa, nfa.start(), nfa.accept());
  for (const uint32_t value : *shape.values) {
    HADAL_TRY(const bool allowed, Allows(shape, value, origin));
    if (!allowed) continue;
    std::string text;
    tree_.Write(value, text);
    HADAL_OK(budget_.Spend(text.size() * 4));
    literals.Add(text);
  }
  return {};
}

Status SchemaCompiler::EmitNumbers(const Shape& shape, uint32_t origin, Nfa& nfa) {
  const bool integer = (shape.types & kFractionType) == 0;
  uint32_t rule = kNone;
  if (!shape.limits_numbers() && (shape.types & kIntegerType)) {
    HADAL_TRY(rule, integer ? json_.Integer() : json_.Number());
  } else if ((shape.types & kIntegerType) == 0) {
    return reader_.Wrong(origin, "numbers that are not integers are not supported on their own");
  } else {
    NumberRange range = shape.range;
    range.integer = integer;
    const auto show = [](const std::optional<NumberRange::Bound>& b) {
      return !b ? ""
                : fmt::format("{}{}.{}{}", b->value.negative ? "-" : "", b->value.whole,
                              b->value.fraction, b->exclusive ? "x" : "");
    };
    const std::string key = fmt::format("number {} {} {} {}", integer, show(range.min),
                                        show(range.max), range.multiple_of);
    const auto it = shared_.find(key);
    if (it == shared_.end()) {
      HADAL_TRY(const Dfa dfa, NumbersIn(range, budget_));
      if (dfa.empty() && !(range.min && range.max)) {
        return reader_.Wrong(origin, "no number of at most 18 digits is within the bounds");
      }
      HADAL_TRY(rule, builder_.DefineBytes(tree_.PointerOf(origin), dfa));
      shared_[key] = rule;
    } else {
      rule = it->second;
    }
  }
  nfa.Call(nfa.start(), rule, nfa.accept());
  return {};
}

Result<std::shared_ptr<const Dfa>> SchemaCompiler::PatternOf(uint32_t node) {
  auto& place = patterns_[node];
  if (place) return place;
  const JsonNode& from = tree_[node];
  const bool format = from.key == "format" && from.is(JsonNode::Kind::kString);
  // The name of a property of patternProperties, a format, or a pattern.
  const bool key = !from.is(JsonNode::Kind::kString) || from.key != "pattern";
  auto dfa = format ? CompilePattern(*PatternOfFormat(from.text), PatternUse::kWhole, budget_)
                    : CompilePattern(key ? from.key : from.text, PatternUse::kSearch, budget_);
  if (!dfa) return reader_.Wrong(node, "{}", dfa.error().message);
  place = std::make_shared<const Dfa>(std::move(*dfa));
  return place;
}

// The texts, before they are quoted, that patterns, formats and (if asked) lengths allow.
Result<Dfa> SchemaCompiler::TextsOf(const Shape& shape, bool lengths) {
  Dfa texts;
  bool any = true;
  for (const auto* list : {&shape.patterns, &shape.formats}) {
    for (const uint32_t node : *list) {
      HADAL_TRY(const auto dfa, PatternOf(node));
      if (any) {
        texts = *dfa;
      } else {
        HADAL_TRY(texts, Combine(texts, *dfa, Product::kBoth, budget_));
      }
      any = false;
    }
  }
  if (any) {
    HADAL_TRY(texts, AnyText(budget_));
  }
  if (!lengths || (shape.min_length == 0 && shape.max_length == kNone)) return texts;
  return WithLength(texts, shape.min_length, shape.max_length, budget_);
}

Status SchemaCompiler::EmitStrings(const Shape& shape, uint32_t origin, Nfa& nfa) {
  if (!shape.limits_strings()) {
    HADAL_TRY(const uint32_t rule, json_.String());
    nfa.Call(nfa.start(), rule, nfa.accept());
    return {};
  }
  if (shape.patterns.empty() && shape.formats.empty()) {
    if (shape.min_length > shape.max_length) return {};
    const uint32_t inside = nfa.Literal(nfa.start(), "\"");
    uint32_t end = inside;
    if (shape.max_length > 0) {
      HADAL_TRY(const uint32_t character, json_.Character());
      end = nfa.AddState();
      nfa.Repeat(inside, builder_.AddRepeat(character, shape.min_length, shape.max_length), end);
    }
    nfa.Bytes(end, '"', '"', nfa.accept());
    return {};
  }
  std::string key = fmt::format("string {} {}", shape.min_length, shape.max_length);
  for (const uint32_t node : shape.patterns) key += fmt::format("\np{}", tree_[node].text);
  for (const uint32_t node : shape.formats) key += fmt::format("\nf{}", tree_[node].text);
  uint32_t rule = kNone;
  if (const auto it = shared_.find(key); it != shared_.end()) {
    rule = it->second;
  } else {
    auto texts = TextsOf(shape, true);
    if (!texts) {
      return texts.error().field.empty()
                 ? Status(reader_.Wrong(origin, "{}", texts.error().message))
                 : Status(tl::make_unexpected(texts.error()));
    }
    HADAL_TRY(rule, builder_.Declare(tree_.PointerOf(origin)));
    Nfa quoted = builder_.NewNfa();
    EmitQuoted(quoted, quoted.start(), *texts, quoted.accept());
    builder_.Define(rule, std::move(quoted));
    shared_[key] = rule;
  }
  nfa.Call(nfa.start(), rule, nfa.accept());
  return {};
}

}  // namespace hadal::grammar
