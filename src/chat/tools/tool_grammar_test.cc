// What constraints of answers allow and refuse, said example by example; the walks over random
// tools are in tool_walks_test.cc.
#include "chat/tools/tool_grammar.h"

#include <gmock/gmock.h>

#include <chrono>

#include "chat/tools/json_text.h"
#include "chat/tools/markup_spelling.h"
#include "chat/tools/testing_answers.h"
#include "chat/tools/tool_format.h"

namespace hadal {
namespace {

using grammar::Matcher;
using testing::AnswerVocabulary;
using Mode = api::ToolChoice::Mode;
using Kind = api::AnswerFormat::Kind;

constexpr ToolMarkup kMarkups[] = {ToolMarkup::kFenced, ToolMarkup::kPlain, ToolMarkup::kDsmlV32,
                                   ToolMarkup::kDsmlV4};
constexpr const char* kWeather = R"({"type":"object","properties":{
    "city":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":14},
    "unit":{"enum":["c","f"]},"note":{"type":["string","null"]}},"required":["city"]})";

api::Tool ToolOf(std::string name, std::string parameters, bool strict = false) {
  return {.name = std::move(name),
          .description = {},
          .parameters = std::move(parameters),
          .strict = strict};
}
std::vector<api::Tool> Weather() { return {ToolOf("weather", kWeather), ToolOf("now", "")}; }

std::shared_ptr<const grammar::Constraint> Make(const AnswerRules& rules) {
  static const std::shared_ptr<const grammar::TokenTrie> bytes = [] {
    std::vector<std::string> all;
    for (int byte = 0; byte < 255; ++byte) all.emplace_back(1, static_cast<char>(byte));
    all.emplace_back();
    const std::vector<std::string_view> views(all.begin(), all.end());
    const std::vector<TokenId> stops{255};
    return *grammar::TokenTrie::Build(views, stops);
  }();
  auto compiled = CompileAnswer(rules, {});
  if (!compiled) {
    ADD_FAILURE() << compiled.error().message;
    return nullptr;
  }
  return std::make_shared<const grammar::Constraint>(std::move(*compiled), bytes,
                                                     grammar::Limits{});
}
// "no", "open" (may go on, may not end), "yes" (may end).
std::string Says(const AnswerRules& rules, std::string_view text) {
  const auto constraint = Make(rules);
  if (!constraint) return "";
  Matcher matcher(constraint);
  const auto ok = matcher.Accept(text);
  if (!ok) return ok.error().message;
  return !*ok ? "no" : matcher.IsComplete() ? "yes" : "open";
}
Error ErrorOf(const AnswerRules& rules) {
  const auto compiled = CompileAnswer(rules, {});
  return compiled ? Error{ErrorCode::kInternal, "it compiled", ""} : compiled.error();
}

std::string Fenced(std::string_view name, std::string_view arguments) {
  return fmt::format(
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>{}\n```json\n{}\n```<｜tool▁call▁end｜>", name,
      arguments);
}
std::string FencedBlock(std::string_view calls) {
  return fmt::format("<｜tool▁calls▁begin｜>{}<｜tool▁calls▁end｜>", calls);
}
std::string Parameter(std::string_view name, bool is_string, std::string_view value) {
  return fmt::format("<｜DSML｜parameter name=\"{}\" string=\"{}\">{}</｜DSML｜parameter>\n", name,
                     is_string, value);
}
std::string Invoke(std::string_view name, std::string_view parameters) {
  return fmt::format("<｜DSML｜invoke name=\"{}\">\n{}</｜DSML｜invoke>\n", name, parameters);
}
std::string DsmlBlock(std::string_view calls, std::string_view block = "tool_calls") {
  return fmt::format("\n\n<｜DSML｜{0}>\n{1}</｜DSML｜{0}>", block, calls);
}

TEST(ToolGrammar, CallsAreWrittenAsTheRenderersWriteThem) {
  const auto tools = Weather();
  const AnswerRules v3{.markup = ToolMarkup::kFenced, .tools = tools};
  const std::string call = Fenced("weather", R"({"city": "北京", "days": 3})");
  EXPECT_EQ(Says(v3, "Let me see." + FencedBlock(call)), "yes");
  EXPECT_EQ(Says(v3, FencedBlock(call + "\n" + Fenced("now", "{}") + "\n" + call)), "yes");
  EXPECT_EQ(Says(v3, FencedBlock(call + Fenced("now", "{}"))), "no");  // the newline
  EXPECT_EQ(Says(v3, "<｜tool▁calls▁begin｜>" + call), "open");
  EXPECT_EQ(Says(v3, FencedBlock("")), "no");
  EXPECT_EQ(Says(v3, FencedBlock(call) + "."), "no");
  EXPECT_EQ(Says(v3, call), "no");
  EXPECT_EQ(Says(v3, FencedBlock(Fenced("wheather", "{}"))), "no");
  EXPECT_EQ(Says(v3, FencedBlock(Fenced("weather", R"({"city": 1})"))), "no");
  EXPECT_EQ(Says(v3, FencedBlock(Fenced("weather", "{}"))), "no");
  const AnswerRules v31{.markup = ToolMarkup::kPlain, .tools = tools};
  EXPECT_EQ(Says(v31,
                 "ok<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}"
                 "<｜tool▁call▁end｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\":\"a\"}"
                 "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
            "yes");
  const AnswerRules v32{.markup = ToolMarkup::kDsmlV32, .tools = tools};
  const AnswerRules v4{.markup = ToolMarkup::kDsmlV4, .tools = tools};
  const std::string calls =
      Invoke("weather", Parameter("city", true, "北京 \"<b>\"\n") + Parameter("days", false, "3")) +
      Invoke("now", "\n");
  EXPECT_EQ(Says(v4, "Hm." + DsmlBlock(calls)), "yes");
  EXPECT_EQ(Says(v4, DsmlBlock(calls)), "yes");
  EXPECT_EQ(Says(v32, DsmlBlock(calls, "function_calls")), "yes");
  EXPECT_EQ(Says(v32, DsmlBlock(calls)), "no");
  EXPECT_EQ(Says(v4, DsmlBlock(calls).substr(1)), "no");
  EXPECT_EQ(Says(v4, DsmlBlock(calls) + "\n"), "no");
}

TEST(ToolGrammar, DsmlParametersObeyTheSchemaOfEachProperty) {
  const std::vector<api::Tool> tools{ToolOf("f", R"({"type":"object","properties":{
      "arguments":{"type":"string","maxLength":3},"p":{"type":"string","pattern":"^[a-c<]+$"},
      "e":{"enum":["x y",2,true]},"m":{"type":["string","integer"]},"d":{"type":"string","format":
      "date"},"o":{"type":"object"}},"required":["arguments"],"additionalProperties":{"type":
      "boolean"}})")};
  for (const std::vector<std::string>& control :
       {std::vector<std::string>{}, std::vector<std::string>{"｜DSML｜"}}) {
    const AnswerRules rules{.markup = ToolMarkup::kDsmlV4, .tools = tools, .control = control};
    const auto says = [&](std::string parameters) {
      std::string text = DsmlBlock(Invoke("f", parameters));
      for (size_t at = 0; !control.empty() && (at = text.find("｜DSML｜", at)) != text.npos;
           at += 9) {
        if (text.substr(at - 1, 1) != "_") text.insert(at++, "\xFF");
      }
      return Says(rules, text);
    };
    const std::string a = Parameter("arguments", true, "aé你");
    EXPECT_EQ(says(a), "yes");
    EXPECT_EQ(says(Parameter("arguments", true, "")), "yes");
    EXPECT_EQ(says(Parameter("arguments", true, "abcd")), "no");
    EXPECT_EQ(says(Parameter("arguments", false, "\"a\"")), "no");
    EXPECT_EQ(says(Parameter("p", true, "ab")), "no");  // the required one is missing
    EXPECT_EQ(says(a + Parameter("p", true, "ab<")), "yes");
    EXPECT_EQ(says(a + Parameter("p", true, "abd")), "no");
    EXPECT_EQ(says(Parameter("p", true, "ab") + a), "no");  // the schema's order
    EXPECT_EQ(says(a + Parameter("e", true, "x y")), "yes");
    EXPECT_EQ(says(a + Parameter("e", false, "\"x y\"")), "no");
    EXPECT_EQ(says(a + Parameter("e", false, "2")), "yes");
    EXPECT_EQ(says(a + Parameter("e", true, "2")), "no");
    EXPECT_EQ(says(a + Parameter("m", true, "2")), "yes");
    EXPECT_EQ(says(a + Parameter("m", false, "2")), "yes");
    EXPECT_EQ(says(a + Parameter("m", false, "null")), "no");
    EXPECT_EQ(says(a + Parameter("d", true, "2024-02-30")), "no");
    EXPECT_EQ(says(a + Parameter("d", true, "2024-02-29")), "yes");
    EXPECT_EQ(says(a + Parameter("o", false, R"({"x": ["</｜DSML_parameter>"]})")), "yes");
    EXPECT_EQ(says(a + Parameter("more", false, "true")), "yes");
    EXPECT_EQ(says(a + Parameter("more", true, "true")), "no");
    EXPECT_EQ(says(a + Parameter("p", false, "true")), "no");
    EXPECT_EQ(says(a + Parameter("a\"b", false, "true")), "no");
    EXPECT_EQ(says(a + Parameter(std::string(65, 'k'), false, "true")), "no");
    EXPECT_EQ(says("\n"), "no");
  }
}

TEST(ToolGrammar, TheChoiceDecidesWhatMayCome) {
  const auto tools = Weather();
  const std::string block = FencedBlock(Fenced("now", "{}"));
  const std::string two = FencedBlock(Fenced("now", "{}") + "\n" + Fenced("now", "{}"));
  const auto says = [&](Mode mode, std::string_view text, bool parallel = true) {
    return Says({.markup = ToolMarkup::kFenced,
                 .tools = tools,
                 .choice = {mode, "now"},
                 .parallel = parallel},
                text);
  };
  EXPECT_EQ(says(Mode::kAuto, "Hi."), "yes");
  EXPECT_EQ(says(Mode::kAuto, ""), "yes");
  EXPECT_EQ(says(Mode::kAuto, "Hi." + two), "yes");
  EXPECT_EQ(says(Mode::kAuto, two, false), "no");
  EXPECT_EQ(says(Mode::kAuto, block, false), "yes");
  EXPECT_EQ(says(Mode::kNone, "Hi."), "yes");
  EXPECT_EQ(says(Mode::kNone, "Hi.<｜tool"), "no");
  EXPECT_EQ(says(Mode::kRequired, "Hi."), "no");
  EXPECT_EQ(says(Mode::kRequired, "Hi." + block), "no");
  EXPECT_EQ(says(Mode::kRequired, block), "yes");
  EXPECT_EQ(says(Mode::kNamed, "Hi."), "no");
  EXPECT_EQ(says(Mode::kNamed, block), "yes");
  EXPECT_EQ(says(Mode::kNamed, FencedBlock(Fenced("weather", R"({"city":"a"})"))), "no");
  EXPECT_EQ(ErrorOf({.markup = ToolMarkup::kFenced, .choice = {Mode::kRequired, ""}}).field,
            "tool_choice");
  EXPECT_EQ(ErrorOf({.tools = tools, .choice = {Mode::kRequired, ""}}).field, "tool_choice");
  EXPECT_EQ(
      ErrorOf({.markup = ToolMarkup::kFenced, .tools = tools, .choice = {Mode::kNamed, "x"}}).field,
      "tool_choice.function.name");
}

TEST(ToolGrammar, AFormatIsFollowedOrABlockComesInItsPlace) {
  const auto tools = Weather();
  const std::string block = FencedBlock(Fenced("now", "{}"));
  for (const auto& [kind, text, fits] :
       {std::tuple(Kind::kJsonObject, "", R"({"a": [1]})"),
        {Kind::kJsonSchema, R"({"properties":{"a":{"type":"array"}},"type":"object"})",
         R"({"a": [1]})"},
        {Kind::kRegex, "[^a]+]}", R"({"b": [1]})"},
        {Kind::kGrammar, "root ::= [^a] tail\ntail ::= [^\\n]+", R"({"a": [1]})"}}) {
    AnswerRules rules{.markup = ToolMarkup::kFenced, .tools = tools, .format = {kind, text}};
    EXPECT_EQ(Says(rules, fits), "yes") << text;
    EXPECT_EQ(Says(rules, block), "yes") << text;
    EXPECT_EQ(Says(rules, fits + block), "no") << text;
    rules.choice.mode = Mode::kRequired;
    EXPECT_EQ(Says(rules, fits), "no") << text;
    EXPECT_EQ(Says(rules, block), "yes") << text;
    rules.choice.mode = Mode::kNone;
    EXPECT_EQ(Says(rules, fits), "yes") << text;
    EXPECT_EQ(Says(rules, block), "no") << text;
    rules.markup.reset();
    EXPECT_EQ(Says(rules, fits), "yes") << text;
  }
}

TEST(ToolGrammar, FormattedTextHoldsNoMarkupEither) {
  const auto says = [](Kind kind, std::string text, std::string_view output,
                       std::optional<ToolMarkup> markup = ToolMarkup::kDsmlV4) {
    return Says({.markup = markup, .format = {kind, std::move(text)}}, output);
  };
  const std::string tag = R"({"a":"<｜DSML｜tool_calls>"})";
  EXPECT_EQ(says(Kind::kJsonObject, "", tag), "no");
  EXPECT_EQ(says(Kind::kJsonObject, "", tag, std::nullopt), "yes");
  EXPECT_EQ(says(Kind::kJsonObject, "", tag, ToolMarkup::kPlain), "yes");
  EXPECT_EQ(says(Kind::kJsonObject, "", R"({"a":"<b> </｜DS \u003c｜DSML｜"})"), "yes");
  const char* counted = R"({"type":"object","properties":{"a":{"type":"string","maxLength":40}}})";
  EXPECT_EQ(says(Kind::kJsonSchema, counted, tag), "no");
  EXPECT_EQ(says(Kind::kJsonSchema, counted, R"({"a":"\u003c｜DSML｜tool_calls>"})"), "yes");
  EXPECT_EQ(says(Kind::kJsonSchema, counted, R"({"a":"<b>"})"), "no");
  const char* list = R"({"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":300})";
  EXPECT_EQ(says(Kind::kJsonSchema, list, "[1, 2, 3]"), "yes");
  EXPECT_EQ(says(Kind::kJsonSchema, list, "[1]"), "no");
  // A tag that comes together from two rules.
  const char* split = "root ::= a b \"x\"\na ::= \"<\" | \"(\"\nb ::= \"|DSML|\" | [a-z]+";
  EXPECT_EQ(says(Kind::kGrammar, split, "<|DSML|x"), "no");
  EXPECT_EQ(says(Kind::kGrammar, split, "(|DSML|x"), "yes");
  EXPECT_EQ(says(Kind::kGrammar, split, "<abx"), "yes");
  EXPECT_EQ(says(Kind::kRegex, "<.*", "<</｜DSM"), "open");
  EXPECT_EQ(says(Kind::kRegex, "<.*", "<</｜DSML｜"), "no");
}

// The parser's table knows no tag that free text could hold, and free text is read as it is.
TEST(ToolGrammar, EveryTagBeginsWithAWordThatTextCannotHold) {
  for (const ToolMarkup markup : kMarkups) {
    const TagTable table(markup);
    const AnswerRules rules{.markup = markup};
    const auto beginnings = BeginningsOf(markup);
    std::vector<std::pair<uint16_t, std::string>> work{{TagTable::kRoot, ""}};
    int tags = 0;
    while (!work.empty()) {
      const auto [node, text] = work.back();
      work.pop_back();
      for (const auto& [byte, next] : table.at(node).next) work.emplace_back(next, text + byte);
      const auto begins = [&](const std::string& word) { return text.starts_with(word); };
      const bool tag = table.at(node).tag != ToolTag::kNone;
      if (tag || table.at(node).distinctive) {
        ++tags;
        EXPECT_TRUE(std::any_of(beginnings.begin(), beginnings.end(), begins)) << text;
      }
    }
    EXPECT_GT(tags, 20);
    // A text that ends inside a tag: allowed exactly where the parser reads it as text.
    const auto constraint = Make(rules);
    for (const std::string& word : beginnings) {
      for (size_t n = 1; n <= word.size(); ++n) {
        Matcher matcher(constraint);
        const std::string text = "a" + word.substr(0, n);
        const bool may_end = *matcher.Accept(text) && matcher.IsComplete();
        ToolCallParser parser(table, markup, "x");
        ToolEvents events;
        parser.Push(text, events);
        const bool malformed = parser.Finish(events).malformed;
        EXPECT_FALSE(may_end && malformed) << text;
        EXPECT_EQ(may_end, n <= 3 && text.find('\xEF') == text.npos) << text;
      }
    }
  }
}

TEST(ToolGrammar, WithoutCallsNoByteOfATagCanFollowItsBeginning) {
  const auto tools = Weather();
  for (const ToolMarkup markup : kMarkups) {
    for (const bool with_tokens : {false, true}) {
      const auto vocabulary = testing::SmallAnswerVocabulary(markup, with_tokens);
      const AnswerRules rules{.markup = markup,
                              .tools = tools,
                              .choice = {Mode::kNone, ""},
                              .control = vocabulary.trie->control()};
      auto compiled = CompileAnswer(rules, {});
      ASSERT_TRUE(compiled);
      const auto constraint = std::make_shared<const grammar::Constraint>(
          std::move(*compiled), vocabulary.trie, grammar::Limits{});
      std::vector<uint64_t> mask(vocabulary.trie->n_words());
      for (const std::string& word : BeginningsOf(markup)) {
        for (size_t begun = 0; begun < word.size(); ++begun) {
          Matcher matcher(constraint);
          ASSERT_TRUE(matcher.Accept("text\n\n" + word.substr(0, begun)).value());
          ASSERT_TRUE(matcher.FillMask(mask));
          for (TokenId id = 0; id < vocabulary.tokenizer->vocab_size(); ++id) {
            const std::string_view bytes = vocabulary.tokenizer->BytesOf(id);
            const bool set = (mask[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
            if (vocabulary.tokens.Has(id)) EXPECT_FALSE(set) << bytes;
            if (bytes.starts_with(word.substr(begun))) EXPECT_FALSE(set) << bytes;
          }
        }
      }
    }
  }
}

TEST(ToolGrammar, TagsAreTokensWhereTheVocabularyHasThem) {
  const auto tools = Weather();
  for (const ToolMarkup markup : kMarkups) {
    const auto vocabulary = testing::SmallAnswerVocabulary(markup, true);
    const AnswerRules rules{.markup = markup,
                            .tools = tools,
                            .choice = {Mode::kRequired, ""},
                            .control = vocabulary.trie->control()};
    EXPECT_EQ(Says(rules, SpellingOf(markup, rules.control).block_begin), "open");
    EXPECT_EQ(Says(rules, SpellingOf(markup, {}).block_begin), "no");
    // A JSON string may hold a tag's text, but not its token.
    if (IsDsml(markup)) continue;
    const MarkupSpelling words = SpellingOf(markup, rules.control);
    const std::string begun = words.block_begin + words.call_begin + "weather" + words.name_end +
                              "{\"city\": \"2>&1 ``` </｜DSML｜";
    EXPECT_EQ(Says(rules, begun + "<｜tool▁call▁end｜>"), "open");
    EXPECT_EQ(Says(rules, begun + "\xFF<｜tool▁call▁end｜>"), "no");
  }
}

// What the renderers write of an answer with calls, in pieces.
TEST(ToolGrammar, WhatTheRenderersWriteIsAllowed) {
  testing::TinyTokenizer tiny;
  for (const char* token :
       {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>",
        "<think>", "</think>", "｜DSML｜", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"}) {
    tiny.added.push_back({.content = token, .special = true});
  }
  const std::vector<api::Tool> tools{
      ToolOf("weather", kWeather), ToolOf("now", ""),
      ToolOf("any", R"({"type":"object","additionalProperties":true})")};
  std::mt19937 random(5);
  const auto text_of = [&random] {
    static constexpr const char* kWords[] = {"a",   " <b>",  "\n", "北京", "\"", "\\",
                                             "```", "</｜D", "｜", "{}",   "🙂"};
    std::string out;
    for (size_t i = random() % 6; i > 0; --i) out += kWords[random() % std::size(kWords)];
    return out;
  };
  int calls = 0;
  for (const ToolPrompt prompt :
       {ToolPrompt::kV3, ToolPrompt::kR1, ToolPrompt::kV31, ToolPrompt::kV32, ToolPrompt::kV4}) {
    const ToolMarkup markup = prompt == ToolPrompt::kV31   ? ToolMarkup::kPlain
                              : prompt == ToolPrompt::kV32 ? ToolMarkup::kDsmlV32
                              : prompt == ToolPrompt::kV4  ? ToolMarkup::kDsmlV4
                                                           : ToolMarkup::kFenced;
    auto parsed = Tokenizer::Parse(
        tiny.Json(),
        R"({"bos_token":"<｜begin▁of▁sentence｜>","eos_token":"<｜end▁of▁sentence｜>"})");
    ASSERT_TRUE(parsed) << parsed.error().message;
    const TokenId stop = *(*parsed)->IdOf("<｜end▁of▁sentence｜>");
    const AnswerVocabulary vocabulary(std::move(*parsed), markup, stop);
    const auto format = MakeToolFormat(*vocabulary.tokenizer, prompt);
    ASSERT_TRUE(format);
    auto compiled = CompileAnswer(
        {.markup = markup, .tools = tools, .control = vocabulary.trie->control()}, {});
    ASSERT_TRUE(compiled);
    const auto constraint = std::make_shared<const grammar::Constraint>(
        std::move(*compiled), vocabulary.trie, grammar::Limits{});
    for (int n = 0; n < 60; ++n) {
      api::Message answer{
          .role = api::Role::kAssistant, .content = text_of(), .reasoning_content = {}};
      for (size_t i = 1 + random() % 3; i > 0; --i) {
        const std::string city = QuoteJson(text_of()),
                          note = random() % 2 ? "null" : QuoteJson(text_of());
        const std::string arguments[] = {
            fmt::format(R"({{"city": {}, "days": 14, "note": {}}})", city, note), "{}",
            fmt::format(R"({{"x{}": {}, "y": [1, {{"z": -0.5}}], "z": true}})", i, city)};
        const size_t which = random() % 3;
        answer.tool_calls.push_back({std::to_string(i), tools[which].name, arguments[which]});
        ++calls;
      }
      const std::vector<api::Message> talk{
          {.role = api::Role::kUser, .content = "q", .reasoning_content = {}}, answer};
      std::vector<api::Message> answered = talk;
      for (const api::ToolCall& call : answer.tool_calls) {
        api::Message result{.role = api::Role::kTool, .content = "r", .reasoning_content = {}};
        result.tool_call_id = call.id;
        answered.push_back(result);
      }
      const auto rendered = (*format)->Render(answered, {.tools = tools});
      ASSERT_TRUE(rendered) << rendered.error().message;
      // The answer stands between its first words and the end of its turn.
      Matcher matcher(constraint);
      bool inside = false;
      const auto& pieces = rendered->pieces;
      const TokenId assistant = *vocabulary.tokenizer->IdOf("<｜Assistant｜>");
      const auto think_end = vocabulary.tokenizer->IdOf("</think>");
      for (const Piece& piece : pieces) {
        const auto* id = std::get_if<TokenId>(&piece);
        if (id != nullptr && *id == assistant) {
          inside = true;
        } else if (inside && id != nullptr && *id == stop) {
          break;
        } else if (inside && !(id != nullptr && *id == *think_end)) {
          const auto ok =
              id != nullptr ? matcher.Accept(*id) : matcher.Accept(std::get<TextPiece>(piece).text);
          ASSERT_TRUE(ok && *ok) << (id != nullptr ? vocabulary.tokenizer->BytesOf(*id)
                                                   : std::get<TextPiece>(piece).text);
        }
      }
      EXPECT_TRUE(matcher.IsComplete());
      EXPECT_GT(matcher.n_accepted(), 3u);
    }
  }
  EXPECT_GT(calls, 400);
}

TEST(ToolGrammar, ASchemaThatCannotBeEnforcedIsRefusedWhereStrictAndSaidElsewhere) {
  const char* schema = R"({"type":"object","properties":{"a":{"not":{"type":"null"}}}})";
  std::vector<api::Tool> tools{ToolOf("ok", kWeather), ToolOf("odd", schema, true)};
  for (const ToolMarkup markup : kMarkups) {
    tools[1].strict = true;
    const Error error = ErrorOf({.markup = markup, .tools = tools});
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(error.field, "tools[1].function.parameters");
    EXPECT_THAT(error.message, ::testing::HasSubstr("#/properties/a/not"));
    tools[1].strict = false;
    const auto compiled = CompileAnswer({.markup = markup, .tools = tools}, {});
    ASSERT_TRUE(compiled) << compiled.error().message;
    ASSERT_EQ(compiled->warnings.size(), 1u);
    EXPECT_EQ(compiled->warnings[0].field, "tools[1].function.parameters");
    EXPECT_THAT(compiled->warnings[0].message, ::testing::HasSubstr("#/properties/a/not"));
    // Of another choice the tool's schema is not read.
    EXPECT_TRUE(
        CompileAnswer({.markup = markup, .tools = tools, .choice = {Mode::kNamed, "ok"}}, {})
            ->warnings.empty());
  }
  EXPECT_EQ(Says({.markup = ToolMarkup::kFenced, .tools = tools},
                 FencedBlock(Fenced("odd", R"({"b": 1, "a": null})"))),
            "yes");
  EXPECT_EQ(Says({.markup = ToolMarkup::kDsmlV4, .tools = tools},
                 DsmlBlock(Invoke("odd", Parameter("b", false, "1")))),
            "yes");
  // What JSON Schema itself ignores is no reason.
  const char* extra =
      R"({"type":"object","properties":{"a":{"type":"string","format":"x","y":1}}})";
  for (const bool strict : {false, true}) {
    const std::vector<api::Tool> own{ToolOf("f", extra, strict)};
    const auto compiled = CompileAnswer({.markup = ToolMarkup::kPlain, .tools = own}, {});
    EXPECT_EQ(compiled.has_value(), !strict);
    if (compiled) EXPECT_TRUE(compiled->warnings.empty());
  }
}

TEST(ToolGrammar, SchemasThatAllowNothingOrNoObjectAreRefused) {
  for (const char* schema :
       {R"({"type":"object","properties":{"a":false},"required":["a"]})",
        R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
        R"({"anyOf":[{"type":"null"},{"type":"string"}]})",
        R"({"properties":{"a":{"anyOf":[{"$ref":"#/$defs/x"},{"type":"null"}]}},
            "$defs":{"x":{"anyOf":[{"$ref":"#/$defs/x"},{"type":"null"}]}}})"}) {
    for (const ToolMarkup markup : kMarkups) {
      for (const Mode mode : {Mode::kAuto, Mode::kNamed}) {
        const std::vector<api::Tool> tools{ToolOf("ok", ""), ToolOf("f", schema, true)};
        const Error error = ErrorOf({.markup = markup, .tools = tools, .choice = {mode, "f"}});
        EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << schema;
        EXPECT_EQ(error.field, "tools[1].function.parameters") << schema << error.message;
      }
    }
  }
  const Error format = ErrorOf({.format = {Kind::kJsonSchema, R"({"type":7})"}});
  EXPECT_EQ(format.field, "response_format");
  EXPECT_THAT(format.message, ::testing::HasSubstr("#/type"));
  EXPECT_EQ(ErrorOf({.format = {Kind::kGrammar, "root ::= root \"a\""}}).field, "response_format");
  EXPECT_EQ(ErrorOf({.format = {Kind::kRegex, "[^\\u0000-\\uFFFF]{0}a^"}}).field,
            "response_format");
}

TEST(ToolGrammar, OuterSchemasThatReferOrChooseAreFollowed) {
  const char* schema = R"({"$ref":"#/$defs/r","$defs":{"r":{"anyOf":[
      {"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},
      {"type":"object","properties":{"b":{"$ref":"#"}},"required":["b"]}]}}})";
  const std::vector<api::Tool> tools{ToolOf("f", schema, true)};
  const auto dsml = [&](const std::string& parameters) {
    return Says({.markup = ToolMarkup::kDsmlV4, .tools = tools},
                DsmlBlock(Invoke("f", parameters)));
  };
  EXPECT_EQ(dsml(Parameter("a", false, "1")), "yes");
  EXPECT_EQ(dsml(Parameter("b", false, R"({"b": {"a": 1}})")), "yes");
  EXPECT_EQ(dsml(Parameter("a", false, "1") + Parameter("b", false, R"({"a": 1})")), "no");
  EXPECT_EQ(Says({.markup = ToolMarkup::kFenced, .tools = tools},
                 FencedBlock(Fenced("f", R"({"b": {"b": {"a": 1}}})"))),
            "yes");
}

TEST(ToolGrammar, APrefixThatIsGivenAlreadyCounts) {
  const auto tools = Weather();
  const AnswerRules rules{.markup = ToolMarkup::kDsmlV4, .tools = tools};
  Matcher matcher(Make(rules));
  ASSERT_TRUE(matcher.Accept("Sure, I look.\n").value());
  EXPECT_TRUE(matcher.IsComplete());
  Matcher fork = matcher.Fork();
  ASSERT_TRUE(matcher.Accept("\n<｜DSML｜tool_calls>\n").value());
  EXPECT_FALSE(matcher.IsComplete());
  EXPECT_FALSE(matcher.Accept("x").value());
  matcher.Rollback(2);
  EXPECT_EQ(matcher.n_accepted(), 0u);
  ASSERT_TRUE(fork.Accept(" Done.").value());
  EXPECT_TRUE(fork.IsComplete());
  Matcher json(Make({.markup = ToolMarkup::kDsmlV4, .format = {Kind::kJsonObject, ""}}));
  ASSERT_TRUE(json.Accept("{\"a\": \"x").value());
  EXPECT_FALSE(json.IsComplete());
  ASSERT_TRUE(json.Accept("y\"}").value());
  EXPECT_TRUE(json.IsComplete());
  EXPECT_FALSE(Matcher(Make({.format = {Kind::kJsonObject, ""}})).Accept("Sure").value());
}

TEST(ToolGrammar, AtMostAsManyCallsAsTheParserTakes) {
  const std::vector<api::Tool> tools{ToolOf("f", "")};
  const AnswerRules rules{.markup = ToolMarkup::kPlain, .tools = tools};
  std::string calls;
  const auto with = [&](int n) {
    calls.clear();
    for (int i = 0; i < n; ++i) {
      calls += "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁end｜>";
    }
    return Says(rules, FencedBlock(calls));
  };
  EXPECT_EQ(with(api::Limits::kMaxToolCalls), "yes");
  EXPECT_EQ(with(api::Limits::kMaxToolCalls + 1), "no");
}

TEST(ToolGrammar, ManyToolsAndDeepSchemasCompileWithinASecondOrAreRefused) {
  std::string wide = R"({"type":"object","properties":{)";
  for (int i = 0; i < 30; ++i) {
    wide +=
        fmt::format(R"({}"p{}":{{"type":"string","pattern":"^[a-z]{{1,8}}{}$","maxLength":20}})",
                    i == 0 ? "" : ",", i, i);
  }
  wide += R"(},"additionalProperties":{"type":"array","items":{"type":"number"}}})";
  std::string deep = "true", refers = R"({"$ref":"#/$defs/d0","$defs":{"d60":{"type":"object"})";
  for (int i = 0; i < 2000; ++i) deep = R"({"type":"object","properties":{"a":)" + deep + "}}";
  for (int i = 0; i < 60; ++i) {
    refers +=
        fmt::format(R"(,"d{}":{{"anyOf":[{{"$ref":"#/$defs/d{}"}},{{"type":"object","properties":
        {{"x{}":{{"enum":[1,2,3]}}}}}}]}})",
                    i, i + 1, i);
  }
  refers += "}}";
  const std::string exploding = R"({"type":"object","properties":{"a":{"type":"string","pattern":
      "(a|b)*a(a|b){12}c"}}})";
  const std::pair<ToolMarkup, const std::string*> cases[] = {
      {ToolMarkup::kFenced, &wide},   {ToolMarkup::kFenced, &deep},
      {ToolMarkup::kFenced, &refers}, {ToolMarkup::kFenced, &exploding},
      {ToolMarkup::kDsmlV4, &wide},   {ToolMarkup::kDsmlV4, &deep}};
  for (const auto& [markup, schema] : cases) {
    std::vector<api::Tool> tools;
    for (int i = 0; i < api::Limits::kMaxTools; ++i) {
      tools.push_back(ToolOf(fmt::format("tool_number_{}", i), *schema, true));
    }
    const auto begin = std::chrono::steady_clock::now();
    const auto compiled = CompileAnswer({.markup = markup, .tools = tools}, {});
    const auto spent = std::chrono::steady_clock::now() - begin;
    std::cout << std::chrono::duration_cast<std::chrono::milliseconds>(spent).count()
              << " ms: " << (compiled ? "compiled" : compiled.error().message.substr(0, 100))
              << "\n";
    if (compiled) continue;
    EXPECT_EQ(compiled.error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(compiled.error().field.empty());
    EXPECT_LT(compiled.error().message.size(), 600u);
  }
  // What many callers send compiles.
  std::vector<api::Tool> tools;
  for (int i = 0; i < api::Limits::kMaxTools; ++i) {
    tools.push_back(ToolOf(fmt::format("tool_number_{}", i), kWeather, true));
  }
  for (const ToolMarkup markup : kMarkups) {
    EXPECT_TRUE(CompileAnswer({.markup = markup, .tools = tools}, {}));
  }
}

TEST(ToolGrammar, TheCacheKeepsOneConstraintPerSetOfRules) {
  const auto vocabulary = testing::SmallAnswerVocabulary(ToolMarkup::kFenced, true);
  grammar::ConstraintCache cache(vocabulary.trie, {});
  std::vector<api::Tool> tools = Weather();
  const AnswerRules rules{.markup = ToolMarkup::kFenced, .tools = tools};
  const auto first = ConstraintOf(rules, cache);
  ASSERT_TRUE(first);
  const std::vector<api::Tool> same = Weather();
  EXPECT_EQ(*ConstraintOf({.markup = ToolMarkup::kFenced, .tools = same}, cache), *first);
  EXPECT_EQ(cache.counts().compiled, 1u);
  std::vector<AnswerRules> others(6, rules);
  others[0].markup = ToolMarkup::kPlain;
  others[1].choice.mode = Mode::kRequired;
  others[2].parallel = false;
  others[3].format.kind = Kind::kJsonObject;
  others[4].choice = {Mode::kNamed, "now"};
  const std::vector<api::Tool> odd{tools[0], ToolOf("no", "w")};
  EXPECT_NE(KeyOf(rules), KeyOf({.markup = ToolMarkup::kFenced, .tools = odd}));
  others[5].tools = std::span(tools).first(1);
  for (const AnswerRules& other : others) {
    EXPECT_NE(KeyOf(other), KeyOf(rules));
    EXPECT_NE(*ConstraintOf(other, cache), *first);
  }
  EXPECT_EQ(cache.counts().entries, 7u);
  // What the descriptions say does not matter.
  tools[0].description = "else";
  EXPECT_EQ(*ConstraintOf(rules, cache), *first);
}

}  // namespace
}  // namespace hadal
