// Random answers under the constraints of random tools: the parser reads calls of the tools with
// arguments that validate and the text that was written, never markup.
#include <gtest/gtest.h>

#include <set>

#include "chat/tools/markup_spelling.h"
#include "chat/tools/testing_answers.h"
#include "grammar/testing_schema.h"

namespace hadal {
namespace {

using grammar::testing::Json;
using grammar::testing::RandomSchema;
using grammar::testing::Validator;
using testing::AnswerVocabulary;
using testing::AnswerWalker;
using testing::ReadAnswer;
using Mode = api::ToolChoice::Mode;

constexpr ToolMarkup kMarkups[] = {ToolMarkup::kFenced, ToolMarkup::kPlain, ToolMarkup::kDsmlV32,
                                   ToolMarkup::kDsmlV4};
constexpr Mode kModes[] = {Mode::kNone, Mode::kAuto, Mode::kRequired, Mode::kNamed};

// An object of random properties, or whatever comes.
Json RandomParameters(std::mt19937& random) {
  RandomSchema schemas(random);
  Json any = schemas.Next();
  const bool object = any.contains("type") && any["type"] == "object";
  if (object && random() % 2 == 0) return any;
  const Json defs = any["$defs"];
  any.erase("$defs");
  Json out{{"type", "object"},
           {"properties",
            {{"arguments", any},
             {"s", {{"type", "string"}}},
             {"short", {{"type", "string"}, {"minLength", 1}, {"maxLength", 6}}},
             {"n", {{"type", "integer"}}},
             {"any", Json::object()},
             {"one", {{"enum", {"a<b", 2, "</｜DSML｜parameter>"}}}}}},
           {"required", Json::array()},
           {"$defs", defs}};
  for (const char* name : {"arguments", "s", "short", "n", "any", "one"}) {
    if (random() % 3 == 0)
      out["properties"].erase(name);
    else if (random() % 2 == 0)
      out["required"].push_back(name);
  }
  if (random() % 4 == 0) out["additionalProperties"] = Json{{"type", {"string", "boolean"}}};
  return out;
}

struct Offer {
  std::vector<api::Tool> tools;
  std::vector<Json> schemas;
};
Offer RandomOffer(std::mt19937& random) {
  Offer offer;
  const size_t n = 1 + random() % 3;
  for (size_t i = 0; i < n; ++i) {
    const bool none = random() % 8 == 0;
    offer.schemas.push_back(none ? Json{{"maxProperties", 0}} : RandomParameters(random));
    offer.tools.push_back({.name = fmt::format("tool-{}_{}", i, random() % 10),
                           .description = {},
                           .parameters = none ? "" : offer.schemas.back().dump(),
                           .strict = true});
  }
  return offer;
}

api::AnswerFormat RandomFormat(std::mt19937& random) {
  using Kind = api::AnswerFormat::Kind;
  static const api::AnswerFormat formats[] = {
      {Kind::kJsonObject, ""},
      {Kind::kJsonSchema, R"({"type":"object","properties":{"a":{"type":"string"},
          "b":{"type":"string","maxLength":9},"c":{"enum":["<b>",1]}}})"},
      {Kind::kRegex, "(<|[^a])*</?(｜|\\|)?[^]*x?"},
      {Kind::kGrammar, "root ::= piece* piece\npiece ::= open | [^(]\nopen ::= \"<\" \"/\"?"}};
  return formats[random() % std::size(formats)];
}

// A key that is written twice cannot be kept out.
bool HasTwice(const std::string& text) {
  std::set<std::string> keys;
  for (size_t at = 0; (at = text.find("parameter name=\"", at)) != text.npos; ++at) {
    const size_t begin = at + 16;
    if (!keys.insert(text.substr(begin, text.find("\" string=", begin) - begin)).second)
      return true;
  }
  return false;
}

class ToolWalks : public ::testing::Test {
 protected:
  void Check(const AnswerVocabulary& vocabulary, const AnswerRules& rules, const Offer& offer,
             const std::vector<TokenId>& ids) {
    const ReadAnswer read = testing::Read(vocabulary, ids);
    if (IsDsml(vocabulary.markup) && HasTwice(read.text)) {
      ++twice_;
      return;
    }
    SCOPED_TRACE(read.text);
    EXPECT_EQ(read.malformed, "");
    EXPECT_FALSE(read.in_block_at_end);
    const bool must = rules.choice.mode == Mode::kRequired || rules.choice.mode == Mode::kNamed;
    if (must) EXPECT_GE(read.calls.size(), 1u);
    if (rules.choice.mode == Mode::kNone) EXPECT_TRUE(read.calls.empty());
    if (!rules.parallel) EXPECT_LE(read.calls.size(), 1u);
    if (read.calls.empty()) {
      EXPECT_EQ(read.content, read.text);
    } else {
      const MarkupSpelling words = SpellingOf(vocabulary.markup, {});
      EXPECT_EQ(read.content, read.text.substr(0, read.text.find(words.block_begin)));
    }
    for (const ReadAnswer::Call& call : read.calls) {
      EXPECT_TRUE(call.complete);
      size_t i = 0;
      while (i < offer.tools.size() && offer.tools[i].name != call.name) ++i;
      ASSERT_LT(i, offer.tools.size()) << call.name;
      if (rules.choice.mode == Mode::kNamed) EXPECT_EQ(call.name, rules.choice.name);
      const Json value = Json::parse(call.arguments, nullptr, false);
      ASSERT_TRUE(value.is_object()) << call.arguments;
      ASSERT_TRUE(Validator(offer.schemas[i]).Valid(offer.schemas[i], value))
          << call.arguments << "\n"
          << offer.schemas[i].dump();
      ++calls_;
    }
    ++answers_;
  }

  void Walks(const AnswerVocabulary& vocabulary, std::mt19937& random, int offers, int walks) {
    const MarkupSpelling words = SpellingOf(vocabulary.markup, vocabulary.trie->control());
    auto parameters = ParameterEnd(vocabulary);
    const std::vector<std::string> closers{
        words.block_end, words.call_end, parameters, "]", "}", "\"", "]}"};
    for (int n = 0; n < offers; ++n) {
      const Offer offer = RandomOffer(random);
      AnswerRules rules{.markup = vocabulary.markup,
                        .tools = offer.tools,
                        .choice = {kModes[n % 4], offer.tools.back().name},
                        .parallel = random() % 4 != 0,
                        .control = vocabulary.trie->control()};
      if (random() % 3 == 0) rules.format = RandomFormat(random);
      auto compiled = CompileAnswer(rules, {});
      if (!compiled) {  // bounds that exclude each other, or a refusal
        EXPECT_EQ(compiled.error().code, ErrorCode::kInvalidArgument);
        ++refused_;
        continue;
      }
      const auto constraint = std::make_shared<const grammar::Constraint>(
          std::move(*compiled), vocabulary.trie, grammar::Limits{});
      AnswerWalker walker(vocabulary, constraint, random);
      for (int i = 0; i < walks; ++i) {
        const auto ids = walker.Walk(words.block_begin, closers, static_cast<int>(random() % 60));
        if (ids.empty()) ++unfinished_;
        if (!ids.empty()) Check(vocabulary, rules, offer, ids);
        if (HasFailure()) {
          ADD_FAILURE() << offer.schemas[0].dump();
          return;
        }
      }
    }
  }
  static std::string ParameterEnd(const AnswerVocabulary& vocabulary) {
    grammar::Budget budget{grammar::Limits{}};
    return DsmlParameters(vocabulary.trie->control(), budget)->end;
  }
  int answers_ = 0, calls_ = 0, refused_ = 0, unfinished_ = 0, twice_ = 0;
};

TEST_F(ToolWalks, WhatTheConstraintAllowsTheParserReadsAsCompleteCalls) {
  std::mt19937 random(20);
  for (const ToolMarkup markup : kMarkups) {
    for (const bool with_tokens : {false, true}) {
      const auto vocabulary = testing::SmallAnswerVocabulary(markup, with_tokens);
      Walks(vocabulary, random, 40, 8);
      if (HasFailure()) return;
    }
    Walks(testing::DemoVocabulary(markup), random, 12, 4);
    if (HasFailure()) return;
  }
  std::cout << answers_ << " answers with " << calls_ << " calls; " << unfinished_
            << " unfinished, " << refused_ << " refused, " << twice_ << " with a key twice\n";
  EXPECT_GT(answers_, 2000);
  EXPECT_GT(calls_, 1500);
  EXPECT_LT(twice_, 40);
}

}  // namespace
}  // namespace hadal
