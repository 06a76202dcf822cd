#include "grammar/matcher.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "grammar/testing_vocabulary.h"

namespace hadal::grammar {
namespace {

using testing::IsSet;
using testing::Make;
using testing::Matches;
using testing::SmallVocabulary;

const SmallVocabulary& Vocabulary() {
  static const SmallVocabulary vocabulary;
  return vocabulary;
}

// Constraints of every kind, deep, ambiguous, counted and with characters of several bytes.
std::vector<ConstraintSource> Samples() {
  return {
      {ConstraintKind::kJsonObject, "", {}},
      {ConstraintKind::kJsonObject, "", {.space = JsonSpace::kNone}},
      {ConstraintKind::kJsonSchema,
       R"({"type":"object","properties":{"name":{"type":"string","minLength":2,"maxLength":5},
           "n":{"type":"integer","minimum":-3,"maximum":120},
           "b":{"type":"array","items":{"type":["boolean","null"]},"minItems":1,"maxItems":3}},
           "required":["name"]})",
       {}},
      {ConstraintKind::kJsonSchema,
       R"({"$defs":{"n":{"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#/$defs/n"}},
           {"type":"array","items":{"type":"number"}}]}},"$ref":"#/$defs/n"})",
       {}},
      {ConstraintKind::kJsonSchema, R"({"type":"string","pattern":"^[a-zé]+(你|😀)?$"})", {}},
      {ConstraintKind::kJsonSchema, R"({"type":"string","minLength":3,"maxLength":300})", {}},
      {ConstraintKind::kRegex, "(abc|a.c|[0-9]{2,4}|\\p{Lu}é)+x?", {}},
      {ConstraintKind::kGbnf,
       "root ::= expr\nexpr ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"[\" "
       "expr \"]\" | \"[\" term \"]\" | \"\"\n",
       {}},
      {ConstraintKind::kGbnf,
       "root ::= a | b\na ::= \"[\" root \"]\" | \"1\"\nb ::= \"[\" root \"]]\" | \"12\"\n",
       {}},
  };
}

void ExpectMaskIsBruteForce(const Matcher& matcher, const std::string& where) {
  std::vector<uint64_t> mask(matcher.n_words());
  const Status filled = matcher.FillMask(mask);
  ASSERT_TRUE(filled) << filled.error().message << where;
  for (TokenId id = 0; id < static_cast<TokenId>(matcher.constraint().trie().vocab_size()); ++id) {
    Matcher probe = matcher.Fork();
    const auto ok = probe.Accept(id);
    ASSERT_TRUE(ok);
    ASSERT_EQ(IsSet(mask, id), *ok)
        << "token " << id << " \"" << matcher.constraint().trie().BytesOf(id) << "\" after "
        << where;
  }
}

TEST(Matcher, MasksAllowExactlyTheTokensThatAcceptAccepts) {
  std::mt19937 random(7);
  for (const ConstraintSource& source : Samples()) {
    const auto constraint = Make(source, Vocabulary().trie);
    ASSERT_TRUE(constraint);
    for (int walk = 0; walk < 12; ++walk) {
      Matcher matcher(constraint);
      std::string text;
      for (int step = 0; step < 25; ++step) {
        ExpectMaskIsBruteForce(matcher, text);
        if (::testing::Test::HasFatalFailure()) return;
        std::vector<uint64_t> mask(matcher.n_words());
        ASSERT_TRUE(matcher.FillMask(mask));
        std::vector<TokenId> allowed;
        for (TokenId id = 0; id < Vocabulary().stop; ++id) {
          if (IsSet(mask, id)) allowed.push_back(id);
        }
        if (allowed.empty()) break;
        const TokenId id = allowed[random() % allowed.size()];
        ASSERT_TRUE(matcher.Accept(id).value());
        text += constraint->trie().BytesOf(id);
      }
    }
  }
}

TEST(Matcher, RollbackAndForkEqualReadingAnew) {
  std::mt19937 random(11);
  for (const ConstraintSource& source : Samples()) {
    const auto constraint = Make(source, Vocabulary().trie);
    ASSERT_TRUE(constraint);
    Matcher matcher(constraint);
    std::vector<TokenId> ids;
    std::vector<uint64_t> mask(matcher.n_words()), other(matcher.n_words());
    for (int step = 0; step < 120; ++step) {
      ASSERT_TRUE(matcher.FillMask(mask));
      std::vector<TokenId> allowed;
      for (TokenId id = 0; id < Vocabulary().stop; ++id) {
        if (IsSet(mask, id)) allowed.push_back(id);
      }
      if (allowed.empty() || random() % 5 == 0) {
        const size_t n = random() % (ids.size() + 1);
        matcher.Rollback(n);
        ids.resize(ids.size() - n);
      } else {
        ids.push_back(allowed[random() % allowed.size()]);
        ASSERT_TRUE(matcher.Accept(ids.back()).value());
      }
      if (step % 10 == 0) matcher = matcher.Fork();
      Matcher anew(constraint);
      for (const TokenId id : ids) ASSERT_TRUE(anew.Accept(id).value());
      ASSERT_EQ(anew.IsComplete(), matcher.IsComplete());
      ASSERT_EQ(anew.n_accepted(), matcher.n_accepted());
      ASSERT_TRUE(matcher.FillMask(mask));
      ASSERT_TRUE(anew.FillMask(other));
      ASSERT_EQ(mask, other);
    }
  }
}

TEST(Matcher, StopTokensAreAllowedExactlyWhenTheOutputIsComplete) {
  const auto constraint = Make({ConstraintKind::kRegex, "ab?", {}}, Vocabulary().trie);
  Matcher matcher(constraint);
  const TokenId stop = Vocabulary().stop;
  EXPECT_FALSE(matcher.IsComplete());
  EXPECT_FALSE(matcher.Accept(stop).value());
  ASSERT_TRUE(matcher.Accept("a").value());
  EXPECT_TRUE(matcher.IsComplete());
  ASSERT_TRUE(matcher.Accept(stop).value());
  EXPECT_TRUE(matcher.IsFinished());
  std::vector<uint64_t> mask(matcher.n_words(), ~uint64_t{0});
  ASSERT_TRUE(matcher.FillMask(mask));
  EXPECT_EQ(std::count(mask.begin(), mask.end(), 0u), static_cast<long>(mask.size()));
  EXPECT_FALSE(matcher.Accept("b").value());
  matcher.Rollback(1);
  EXPECT_TRUE(matcher.Accept("b").value());
}

TEST(Matcher, ARefusedTokenChangesNothing) {
  const auto constraint = Make({ConstraintKind::kJsonObject, "", {}}, Vocabulary().trie);
  Matcher matcher(constraint);
  ASSERT_TRUE(matcher.Accept("{\"a\": [1, {").value());
  std::vector<uint64_t> before(matcher.n_words()), after(matcher.n_words());
  ASSERT_TRUE(matcher.FillMask(before));
  EXPECT_FALSE(matcher.Accept("}]}}").value());
  EXPECT_FALSE(matcher.Accept(Vocabulary().stop - 1).value());  // a control token
  EXPECT_FALSE(matcher.Accept(-1).value());
  EXPECT_FALSE(matcher.Accept(1 << 30).value());
  EXPECT_EQ(matcher.n_accepted(), 1u);
  ASSERT_TRUE(matcher.FillMask(after));
  EXPECT_EQ(before, after);
  EXPECT_TRUE(matcher.Accept("}]}").value());
  EXPECT_TRUE(matcher.IsComplete());
}

TEST(Matcher, NestingIsBoundedByTheLimitOfFramesOnly) {
  const auto constraint = Make({ConstraintKind::kJsonObject, "", {}}, Vocabulary().trie);
  Matcher matcher(constraint);
  ASSERT_TRUE(matcher.Accept("{\"a\":").value());
  const std::string open(100'000, '['), close(100'000, ']');
  ASSERT_TRUE(matcher.Accept(open).value());
  ASSERT_TRUE(matcher.Accept(close).value());
  ASSERT_TRUE(matcher.Accept("}").value());
  EXPECT_TRUE(matcher.IsComplete());
  Limits limits;
  limits.max_stack_frames = 1000;
  Matcher small(Make({ConstraintKind::kJsonObject, "", {}}, Vocabulary().trie, limits));
  ASSERT_TRUE(small.Accept("{\"a\":").value());
  const auto refused = small.Accept(open);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(small.Accept("1}").value());  // and it goes on from where it was
}

TEST(Matcher, MasksStayRightWhenTheCacheIsClearedAgainAndAgain) {
  Limits limits;
  limits.max_mask_bytes = 1;
  for (const ConstraintSource& source : Samples()) {
    const auto bounded = Make(source, Vocabulary().trie, limits);
    Matcher matcher(bounded);
    for (int step = 0; step < 4; ++step) {
      ExpectMaskIsBruteForce(matcher, "a cleared cache");
      if (::testing::Test::HasFatalFailure()) return;
    }
    EXPECT_GE(bounded->masks().counts().cleared, 3u);
  }
}

TEST(Matcher, AVocabularyThatCannotWriteTheNextCharacterIsAnError) {
  const std::vector<std::string_view> words{"a", "b", ""};
  const std::vector<TokenId> stops{2};
  const auto trie = *TokenTrie::Build(words, stops);
  Matcher matcher(Make({ConstraintKind::kRegex, "ac", {}}, trie));
  std::vector<uint64_t> mask(matcher.n_words());
  ASSERT_TRUE(matcher.FillMask(mask));
  ASSERT_TRUE(matcher.Accept(0).value());
  const Status filled = matcher.FillMask(mask);
  ASSERT_FALSE(filled);
  EXPECT_EQ(filled.error().code, ErrorCode::kInvalidArgument);
}

TEST(JsonMode, EveryFinishedRandomOutputIsAnObject) {
  std::mt19937 random(3);
  for (const JsonSpace space : {JsonSpace::kNone, JsonSpace::kFlexible}) {
    const auto constraint =
        Make({ConstraintKind::kJsonObject, "", {.space = space}}, Vocabulary().trie);
    int finished = 0;
    for (int i = 0; i < 150; ++i) {
      Matcher matcher(constraint);
      const std::string out = testing::RandomOutput(matcher, random, 30, 3000);
      if (out.empty()) continue;
      ++finished;
      const auto json = nlohmann::json::parse(out, nullptr, false);
      ASSERT_TRUE(json.is_object()) << out;
    }
    EXPECT_GT(finished, 120);
  }
}

TEST(JsonMode, WhiteSpaceIsBoundedAndStringsHoldNoLoneSurrogate) {
  const ConstraintSource any{ConstraintKind::kJsonObject, "", {}};
  EXPECT_TRUE(Matches(
      any, "{\n  \"a\": [1, -0.5e+3, \"\\ud83d\\uDE00\\u00e9 é😀\", {}, []],\n\t\"b\": null\n}"));
  EXPECT_FALSE(Matches(any, "{  }"));
  EXPECT_FALSE(Matches(any, "{}\n"));
  EXPECT_FALSE(Matches(any, "{\"a\" :1}"));
  EXPECT_FALSE(Matches(any, "{\"\\ud83d\":1}"));
  EXPECT_FALSE(Matches(any, "{\"\\ude00\":1}"));
  EXPECT_FALSE(Matches(any, "{\"\xC3\":1}"));
  EXPECT_FALSE(Matches(any, "{\"\xED\xA0\x80\":1}"));
  EXPECT_FALSE(Matches(any, "{\"a\":01}"));
  EXPECT_FALSE(Matches(any, "{\"a\":1,}"));
  EXPECT_FALSE(Matches(any, "[1]"));
  EXPECT_FALSE(
      Matches({ConstraintKind::kJsonObject, "", {.space = JsonSpace::kNone}}, "{\"a\": 1}"));
}

}  // namespace
}  // namespace hadal::grammar
