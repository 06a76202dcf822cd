#include "service/answer_guide.h"

#include <gmock/gmock.h>

#include "grammar/constraint_cache.h"
#include "tokenizer/testing/tiny_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace hadal {
namespace {

constexpr TokenId kEnd = 260, kThink = 261, kEndThink = 262, kMarkup = 263;

// id = byte; 256 "</", 257 "th", 258 ">{", 259 "ab"; then control tokens.
std::shared_ptr<const Tokenizer> Vocabulary() {
  testing::TinyTokenizer tiny;
  tiny.merges = {{"<", "/"}, {"t", "h"}, {">", "{"}, {"a", "b"}};
  tiny.added = {{.content = "<end>", .special = true},
                {.content = "<think>"},
                {.content = "</think>"},
                {.content = "<｜tool▁calls▁begin｜>"}};
  return std::move(*Tokenizer::Parse(tiny.Json(), ""));
}

std::shared_ptr<GuideRules> Rules(const char* regex = nullptr) {
  const auto tokenizer = Vocabulary();
  auto rules = std::make_shared<GuideRules>();
  rules->trie = *grammar::TokenTrie::Build(*tokenizer, std::vector<TokenId>{kEnd});
  rules->think_begin = kThink;
  rules->think_end = kEndThink;
  rules->close_reasoning = {kEndThink};
  rules->never_in_reasoning = {kMarkup};
  if (regex != nullptr) {
    grammar::ConstraintCache cache(rules->trie, {});
    rules->answer = *cache.Get({grammar::ConstraintKind::kRegex, regex, {}});
  }
  return rules;
}

std::unique_ptr<AnswerGuide> Guide(std::shared_ptr<const GuideRules> rules) {
  auto guide = AnswerGuide::Make(std::move(rules));
  EXPECT_TRUE(guide) << guide.error().message;
  return std::move(*guide);
}

// The allowed tokens; all 264 when nothing is limited.
std::vector<TokenId> Allowed(AnswerGuide& guide) {
  std::vector<uint64_t> mask(5, 0);
  const auto limits = guide.Fill(mask);
  EXPECT_TRUE(limits) << limits.error().message;
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < 264; ++id) {
    const bool set = (mask[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
    if (!*limits || set) ids.push_back(id);
  }
  return ids;
}
bool Allows(AnswerGuide& guide, TokenId id) {
  const auto ids = Allowed(guide);
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}
void Take(AnswerGuide& guide, std::string_view bytes) {
  for (const char c : bytes) ASSERT_TRUE(guide.Accept(static_cast<uint8_t>(c)));
}

TEST(AnswerGuide, WithoutRulesEverythingMayCome) {
  EXPECT_EQ(Allowed(*Guide(Rules())).size(), 264u);
}

TEST(AnswerGuide, TheConstraintBeginsBehindTheReasoning) {
  auto rules = Rules("ab+");
  rules->starts_in_reasoning = true;
  const auto guide = Guide(rules);
  EXPECT_TRUE(Allows(*guide, 'x'));
  EXPECT_FALSE(Allows(*guide, kEnd)) << "the text must not end before the answer";
  EXPECT_FALSE(Allows(*guide, kMarkup));
  Take(*guide, "why");
  ASSERT_TRUE(guide->Accept(kEndThink));
  EXPECT_THAT(Allowed(*guide), ::testing::ElementsAre('a', 259));
  ASSERT_TRUE(guide->Accept(259));
  EXPECT_THAT(Allowed(*guide), ::testing::ElementsAre('b', kEnd));
  EXPECT_FALSE(guide->Accept('x'));
}

TEST(AnswerGuide, ASpelledOutEndOfReasoningCannotEndInsideAToken) {
  auto rules = Rules("ab+");
  rules->starts_in_reasoning = true;
  const auto guide = Guide(rules);
  Take(*guide, "so </think");
  EXPECT_FALSE(Allows(*guide, 258)) << "\">{\" would begin the answer unseen";
  EXPECT_FALSE(Allows(*guide, '>'));
  EXPECT_TRUE(Allows(*guide, kEndThink));
  EXPECT_TRUE(Allows(*guide, 'x'));
}

TEST(AnswerGuide, TheBudgetClosesTheReasoning) {
  for (const int64_t budget : {0, 1, 2, 5}) {
    auto rules = Rules();
    rules->starts_in_reasoning = true;
    rules->max_thinking_tokens = budget;
    const auto guide = Guide(rules);
    int64_t n = 0;
    while (Allowed(*guide).size() > 1) {
      Take(*guide, "x");
      ASSERT_LE(++n, 5);
    }
    EXPECT_THAT(Allowed(*guide), ::testing::ElementsAre(kEndThink));
    EXPECT_EQ(n + 1, std::max<int64_t>(budget, 1)) << "the end of the reasoning counts, too";
    ASSERT_TRUE(guide->Accept(kEndThink));
    EXPECT_EQ(Allowed(*guide).size(), 264u);
  }
}

TEST(AnswerGuide, AFormatsWhiteSpaceIsWrittenAroundTheForcedEnd) {
  auto rules = Rules();
  rules->starts_in_reasoning = true;
  rules->max_thinking_tokens = 3;
  rules->close_reasoning = {'\n', kEndThink, '\n', '\n'};
  const auto guide = Guide(rules);
  Take(*guide, "x");
  for (const TokenId id : rules->close_reasoning) {
    EXPECT_THAT(Allowed(*guide), ::testing::ElementsAre(id));
    ASSERT_TRUE(guide->Accept(id));
  }
  EXPECT_EQ(Allowed(*guide).size(), 264u);
}

TEST(AnswerGuide, AModelThatOpensItsReasoningItselfIsBoundToo) {
  auto rules = Rules();
  rules->max_thinking_tokens = 2;
  const auto guide = Guide(rules);
  ASSERT_TRUE(guide->Accept(kThink));
  Take(*guide, "x");
  EXPECT_THAT(Allowed(*guide), ::testing::ElementsAre(kEndThink));
}

TEST(AnswerGuide, AHealedPromptGoesOnWithItsBytes) {
  auto rules = Rules();
  rules->heal = "ab";
  const auto guide = Guide(rules);
  EXPECT_THAT(Allowed(*guide), ::testing::ElementsAre('a', 259));
  Take(*guide, "a");
  EXPECT_THAT(Allowed(*guide), ::testing::ElementsAre('b'));
  Take(*guide, "b");
  EXPECT_EQ(Allowed(*guide).size(), 264u);
}

TEST(AnswerGuide, WhatIsGivenIsTheBeginningOfAConstrainedAnswer) {
  auto rules = Rules("ab+c");
  rules->given = "a";
  rules->heal = "b";
  const auto guide = Guide(rules);
  EXPECT_THAT(Allowed(*guide), ::testing::ElementsAre('b'));
  Take(*guide, "b");
  EXPECT_THAT(Allowed(*guide), ::testing::ElementsAre('b', 'c'));
  auto wrong = Rules("ab+c");
  wrong->given = "x";
  const auto refused = AnswerGuide::Make(wrong);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace hadal
