#include "chat/tools/tool_grammar.h"

#include "chat/tools/markup_spelling.h"
#include "chat/tools/tool_validation.h"
#include "grammar/pattern.h"
#include "grammar/text_filter.h"

namespace hadal {
namespace {

using grammar::ConstraintKind;
using grammar::Nfa;
using Mode = api::ToolChoice::Mode;

constexpr std::string_view kNoParameters = R"({"type":"object","maxProperties":0})";
constexpr std::string_view kAnyObject = R"({"type":"object"})";

bool MayCall(const AnswerRules& rules) {
  return rules.markup && !rules.tools.empty() && rules.choice.mode != Mode::kNone;
}
bool MustCall(const AnswerRules& rules) {
  return rules.choice.mode == Mode::kRequired || rules.choice.mode == Mode::kNamed;
}
bool IsOffered(const AnswerRules& rules, const api::Tool& tool) {
  return rules.choice.mode != Mode::kNamed || tool.name == rules.choice.name;
}

class AnswerCompiler {
 public:
  AnswerCompiler(const AnswerRules& rules, const grammar::Limits& limits)
      : rules_(rules),
        budget_(limits),
        builder_(budget_),
        json_(builder_, grammar::JsonSpace::kFlexible) {}

  Result<grammar::Compiled> Run() {
    auto compiled = Compile();
    if (!compiled && compiled.error().field.empty()) {
      compiled.error().field = MayCall(rules_) ? "tools" : "response_format";
    }
    return compiled;
  }

 private:
  Result<grammar::Compiled> Compile() {
    HADAL_OK(ValidateToolChoice(rules_.choice, rules_.tools));
    if (MustCall(rules_) && !rules_.markup) {
      return FailField(ErrorCode::kInvalidArgument, "tool_choice",
                       "tool_choice asks for a call, but this model's format has none");
    }
    HADAL_TRY(const uint32_t root, builder_.Declare("the answer"));
    Nfa nfa = builder_.NewNfa();
    const bool is_text = !rules_.format.constrains() && !MustCall(rules_);
    if (is_text) {
      HADAL_OK(Text(nfa));
    } else if (!MustCall(rules_)) {
      HADAL_OK(Formatted(nfa));
    }
    if (MayCall(rules_)) HADAL_OK(Block(nfa, is_text ? before_block_ : nfa.start()));
    builder_.Define(root, std::move(nfa));
    auto built = builder_.Build(root);
    if (built || builder_.blamed() == root) HADAL_OK(CheckParts());
    if (!built) return tl::make_unexpected(Blamed(std::move(built).error()));
    return grammar::Compiled{std::move(*built), std::move(warnings_)};
  }

  // Of a request: its field, the rules made for it ([first, last)), the one that says it all.
  struct Part {
    std::string field;
    uint32_t first = 0, last = 0, rule = 0;
  };

  // The answer's text is part of the root itself, not called: while it comes, nothing is put on a
  // stack. It may go on with a block anywhere, and end where no tag has begun.
  Status Text(Nfa& nfa) {
    HADAL_TRY(const grammar::Dfa any, grammar::AnyText(budget_));
    const auto add = [&](const grammar::Dfa& filter) -> Result<uint32_t> {
      HADAL_TRY(const grammar::Dfa text, Combine(any, filter, grammar::Product::kBoth, budget_));
      return nfa.Embed(nfa.start(), text);
    };
    if (!rules_.markup) {
      nfa.Epsilon(nfa.Embed(nfa.start(), any), nfa.accept());
      return {};
    }
    HADAL_TRY(const uint32_t end, add(TextWithoutMarkup(*rules_.markup)));
    nfa.Epsilon(end, nfa.accept());
    HADAL_TRY(before_block_, add(TextWithoutMarkup(*rules_.markup, /*goes_on=*/true)));
    return {};
  }

  Status Formatted(Nfa& nfa) {
    const uint32_t first = builder_.n_rules();
    auto rule = FormatRule();
    if (!rule) return OfFormat(std::move(rule).error());
    format_ = {"response_format", first, builder_.n_rules(), *rule};
    nfa.Call(nfa.start(), *rule, nfa.accept());
    return {};
  }

  Result<uint32_t> FormatRule() {
    using Kind = api::AnswerFormat::Kind;
    grammar::ConstraintSource source{ConstraintKind::kText, rules_.format.text, {}};
    switch (rules_.format.kind) {
      case Kind::kText:
        break;
      case Kind::kJsonObject:
        source.kind = ConstraintKind::kJsonObject;
        break;
      case Kind::kJsonSchema:
        source.kind = ConstraintKind::kJsonSchema;
        break;
      case Kind::kRegex:
        source.kind = ConstraintKind::kRegex;
        break;
      case Kind::kGrammar:
        source.kind = ConstraintKind::kGbnf;
        break;
    }
    HADAL_TRY(const uint32_t rule, EmitSource(source, builder_));
    if (!rules_.markup) return rule;
    return Filter(builder_, rule, TextWithoutMarkup(*rules_.markup));
  }

  // From `from` to the accepting state.
  Status Block(Nfa& nfa, uint32_t from) {
    const MarkupSpelling spelling = SpellingOf(*rules_.markup, rules_.control);
    HADAL_TRY(const uint32_t call, Call(spelling));
    uint32_t at = nfa.Calls(nfa.Literal(from, spelling.block_begin), call);
    if (rules_.parallel) {
      uint32_t further = call;
      if (!spelling.between.empty()) {
        HADAL_TRY(further, builder_.Declare("a further call"));
        Nfa next = builder_.NewNfa();
        next.Call(next.Literal(next.start(), spelling.between), call, next.accept());
        builder_.Define(further, std::move(next));
      }
      const uint32_t done = nfa.AddState();
      nfa.Repeat(at, builder_.AddRepeat(further, 0, api::Limits::kMaxToolCalls - 1), done);
      at = done;
    }
    nfa.Epsilon(nfa.Literal(at, spelling.block_end), nfa.accept());
    return {};
  }

  Result<uint32_t> Call(const MarkupSpelling& spelling) {
    if (IsDsml(*rules_.markup)) {
      HADAL_TRY(parameters_, DsmlParameters(rules_.control, budget_));
    }
    HADAL_TRY(const uint32_t rule, builder_.Declare("a call"));
    Nfa nfa = builder_.NewNfa();
    const uint32_t begin = nfa.Literal(nfa.start(), spelling.call_begin), end = nfa.AddState();
    for (size_t i = 0; i < rules_.tools.size(); ++i) {
      const api::Tool& tool = rules_.tools[i];
      if (!IsOffered(rules_, tool)) continue;
      HADAL_TRY(const uint32_t arguments, Arguments(i));
      nfa.Call(nfa.Literal(begin, tool.name + spelling.name_end), arguments, end);
    }
    nfa.Epsilon(nfa.Literal(end, spelling.call_end), nfa.accept());
    builder_.Define(rule, std::move(nfa));
    return rule;
  }

  Result<uint32_t> Arguments(size_t i) {
    const api::Tool& tool = rules_.tools[i];
    const uint32_t first = builder_.n_rules();
    std::string field = fmt::format("tools[{}].function.parameters", i);
    const grammar::SchemaOptions options{.ignore_unknown_keywords = !tool.strict,
                                         .ignore_unknown_formats = !tool.strict};
    auto rule = Objects(tool.parameters.empty() ? kNoParameters : tool.parameters, options);
    if (!rule) {
      Error error = OfTool(field, rule.error());
      // What is not enforced is said; work that has no end is refused.
      if (tool.strict || !budget_.left()) return tl::make_unexpected(std::move(error));
      warnings_.push_back(std::move(error));
      rule = Objects(kAnyObject, options);
      if (!rule) return tl::make_unexpected(OfTool(field, rule.error()));
    }
    tools_.push_back({std::move(field), first, builder_.n_rules(), *rule});
    return *rule;
  }

  Result<uint32_t> Objects(std::string_view schema, const grammar::SchemaOptions& options) {
    return IsDsml(*rules_.markup) ? EmitParameters(schema, options, parameters_, json_)
                                  : EmitObjects(schema, options, json_);
  }

  static Error OfTool(const std::string& field, const Error& error) {
    return {error.code, fmt::format("{}: {}", field, error.message), field};
  }
  static tl::unexpected<Error> OfFormat(Error error) {
    if (!error.field.empty() && !error.message.starts_with(error.field)) {
      error.message = fmt::format("{} (at {})", error.message, error.field);
    }
    error.field = "response_format";
    return tl::make_unexpected(std::move(error));
  }

  // Nothing would tell that a tool can never be called.
  Status CheckParts() const {
    if (!format_.field.empty() && !builder_.Matches(format_.rule)) {
      return FailField(ErrorCode::kInvalidArgument, format_.field,
                       "nothing can ever match the format of the answer");
    }
    for (const Part& tool : tools_) {
      if (builder_.Matches(tool.rule)) continue;
      return FailField(ErrorCode::kInvalidArgument, tool.field,
                       "{}: no arguments can ever be valid", tool.field);
    }
    return {};
  }

  Error Blamed(Error error) const {
    const auto blamed = builder_.blamed();
    const auto is_about = [&](const Part& part) {
      return blamed && *blamed >= part.first && *blamed < part.last;
    };
    for (const Part& tool : tools_) {
      if (is_about(tool)) return OfTool(tool.field, error);
    }
    if (is_about(format_)) error.field = format_.field;
    return error;
  }

  const AnswerRules& rules_;
  grammar::Budget budget_;
  grammar::AutomatonBuilder builder_;
  grammar::JsonRules json_;
  grammar::ParameterSyntax parameters_;
  uint32_t before_block_ = 0;
  Part format_;
  std::vector<Part> tools_;
  std::vector<Error> warnings_;
};

void Append(std::string& key, std::string_view text) {
  key += fmt::format("{}:", text.size());
  key += text;
}

}  // namespace

std::string KeyOf(const AnswerRules& rules) {
  std::string key =
      fmt::format("answer {} {} ", rules.markup ? static_cast<int>(*rules.markup) : -1,
                  static_cast<int>(rules.format.kind));
  Append(key, rules.format.text);
  key += fmt::format(" {} ", MustCall(rules));
  if (!MayCall(rules)) return key;
  key += fmt::format("{} ", rules.parallel);
  for (const std::string& token : rules.control) Append(key, token);
  for (size_t i = 0; i < rules.tools.size(); ++i) {
    const api::Tool& tool = rules.tools[i];
    if (!IsOffered(rules, tool)) continue;
    key += fmt::format(" tool {} {} ", i, tool.strict);
    Append(key, tool.name);
    Append(key, tool.parameters);
  }
  return key;
}

Result<grammar::Compiled> CompileAnswer(const AnswerRules& rules, const grammar::Limits& limits) {
  return AnswerCompiler(rules, limits).Run();
}

Result<std::shared_ptr<const grammar::Constraint>> ConstraintOf(AnswerRules rules,
                                                                grammar::ConstraintCache& cache) {
  rules.control = cache.trie().control();
  return cache.Get(KeyOf(rules), [&rules](const grammar::Limits& limits) {
    return CompileAnswer(rules, limits);
  });
}

}  // namespace hadal
