// Words kept out of what sources of every kind describe, several sources in one automaton, and
// control tokens in the tree.
#include "grammar/text_filter.h"

#include <gtest/gtest.h>

#include "grammar/testing_vocabulary.h"
#include "tokenizer/tokenizer.h"

namespace hadal::grammar {
namespace {

const std::vector<std::string> kWords{"<|x", "abab", "}\""};

const testing::SmallVocabulary& Vocabulary() {
  static const testing::SmallVocabulary vocabulary;
  return vocabulary;
}
bool MayEnd(std::string_view held) { return held != "<|" && held != "aba"; }

// What is held of the words at the end of a text; nullopt when one is in it.
std::optional<std::string> HeldBy(std::string_view text) {
  std::string held;
  for (const char c : text) {
    held += c;
    for (const std::string& word : kWords) {
      if (held.ends_with(word)) return std::nullopt;
    }
    const auto begins = [&](const std::string& word) { return word.starts_with(held); };
    while (std::none_of(kWords.begin(), kWords.end(), begins)) held.erase(0, 1);
  }
  return held;
}

std::shared_ptr<const Constraint> Filtered(const ConstraintSource& source) {
  Budget budget{Limits{}};
  AutomatonBuilder builder(budget);
  const auto rule = EmitSource(source, builder);
  EXPECT_TRUE(rule) << rule.error().message;
  const auto filtered = Filter(builder, *rule, Avoiding(kWords, MayEnd));
  EXPECT_TRUE(filtered) << filtered.error().message;
  const auto built = builder.Build(*filtered);
  EXPECT_TRUE(built) << built.error().message;
  return std::make_shared<const Constraint>(*built, Vocabulary().trie, Limits{});
}

TEST(TextFilter, LeavesExactlyTheOutputsWithoutTheWords) {
  const ConstraintSource sources[] = {
      {ConstraintKind::kText, "", {}},
      {ConstraintKind::kRegex, "(ab|a|<\\|?|x)*b?", {}},
      {ConstraintKind::kJsonObject, "", {}},
      {ConstraintKind::kGbnf,
       "root ::= (a | b)* end?\na ::= \"<\" | \"a\" b\nb ::= \"|x\" | \"b\" | \"(\" root \")\"\n"
       "end ::= \"<|\" | \"aba\"",
       {}},
      {ConstraintKind::kJsonSchema,
       R"({"type":"array","items":{"anyOf":[{"$ref":"#"},{"type":"string"},{"enum":["<|x","ab"]}]}})",
       {}}};
  std::mt19937 random(3);
  for (const ConstraintSource& source : sources) {
    const auto whole = testing::Make(source, Vocabulary().trie);
    const auto filtered = Filtered(source);
    int refused = 0;
    for (int walk = 0; walk < 200; ++walk) {
      Matcher a(whole), b(filtered);
      std::string text;
      for (int step = 0; step < 300; ++step) {
        // Bytes that begin words, or any that may come.
        const std::string_view liked = "<|xab\"}[(";
        const char c =
            random() % 3 != 0 ? liked[random() % liked.size()] : static_cast<char>(random() % 128);
        const bool fits = a.Accept(std::string_view(&c, 1)).value();
        const auto held = HeldBy(text + c);
        const bool accepted = b.Accept(std::string_view(&c, 1)).value();
        // In a language with calls, what may never end well is not allowed to begin either.
        if (accepted) ASSERT_TRUE(fits && held) << text << c;
        if (source.kind == ConstraintKind::kText) ASSERT_EQ(accepted, fits && held) << text << c;
        refused += fits && !accepted ? 1 : 0;
        if (fits && !accepted) a.Rollback(1);
        if (!accepted) continue;
        text += c;
        ASSERT_EQ(b.IsComplete(), a.IsComplete() && MayEnd(*held)) << text;
      }
    }
    EXPECT_GT(refused, 2) << source.text;
  }
}

TEST(TextFilter, CountedStringsHoldNoFirstByteOfAWord) {
  const auto filtered = Filtered(
      {ConstraintKind::kJsonSchema, R"({"type":"string","minLength":2,"maxLength":4})", {}});
  EXPECT_TRUE(testing::Matches(filtered, "\"bcde\""));
  EXPECT_FALSE(testing::Matches(filtered, "\"bcdef\""));
  EXPECT_FALSE(testing::Matches(filtered, "\"b\""));
  EXPECT_FALSE(testing::Matches(filtered, "\"bab\""));
  EXPECT_TRUE(testing::Matches(filtered, "\"b\\u0061b\""));
}

TEST(TextFilter, WhatNothingIsLeftOfMatchesNothing) {
  Budget budget{Limits{}};
  AutomatonBuilder builder(budget);
  const auto rule = EmitSource({ConstraintKind::kRegex, "q*<\\|x", {}}, builder);
  const auto filtered = Filter(builder, *rule, Avoiding(kWords, MayEnd));
  ASSERT_TRUE(filtered);
  EXPECT_FALSE(builder.Build(*filtered));
  EXPECT_FALSE(builder.Matches(*filtered));
  EXPECT_EQ(builder.blamed(), *filtered);
}

TEST(TextFilter, WorkIsBounded) {
  std::string source = "root ::= r0*\n";
  for (int i = 0; i < 60; ++i) {
    source += fmt::format("r{} ::= [a-b<|x] r{}* | r{}\n", i, (i + 1) % 60, i < 59 ? i + 1 : 99);
  }
  source += "r99 ::= [a-z]";
  Limits limits;
  limits.max_steps = 100'000;
  Budget budget(limits);
  AutomatonBuilder builder(budget);
  const auto rule = EmitSource({ConstraintKind::kGbnf, source, {}}, builder);
  ASSERT_TRUE(rule) << rule.error().message;
  const auto filtered = Filter(builder, *rule, Avoiding(kWords, MayEnd));
  ASSERT_FALSE(filtered);
  EXPECT_EQ(filtered.error().code, ErrorCode::kInvalidArgument);
}

TEST(Composition, SourcesOfAllKindsAreRulesOfOneAutomaton) {
  Budget budget{Limits{}};
  AutomatonBuilder builder(budget);
  const auto root = builder.Declare("root");
  Nfa nfa = builder.NewNfa();
  const std::tuple<const char*, ConstraintSource, const char*> parts[] = {
      {"j", {ConstraintKind::kJsonObject, "", {}}, "{\"a\": 1}"},
      {"s", {ConstraintKind::kJsonSchema, R"({"enum":[1,"x"]})", {}}, "\"x\""},
      {"r", {ConstraintKind::kRegex, "[0-9]{2}", {}}, "42"},
      {"g", {ConstraintKind::kGbnf, "root ::= \"(\" root? \")\"", {}}, "(())"},
      {"t", {ConstraintKind::kText, "", {}}, "any 你"}};
  for (const auto& [name, source, example] : parts) {
    const auto rule = EmitSource(source, builder);
    ASSERT_TRUE(rule) << rule.error().message;
    nfa.Call(nfa.Literal(nfa.start(), name), *rule, nfa.accept());
  }
  builder.Define(*root, std::move(nfa));
  const auto built = builder.Build(*root);
  ASSERT_TRUE(built) << built.error().message;
  const auto all = std::make_shared<const Constraint>(*built, Vocabulary().trie, Limits{});
  for (const auto& [name, source, example] : parts) {
    EXPECT_TRUE(testing::Matches(all, std::string(name) + example));
    EXPECT_FALSE(testing::Matches(all, example)) << example;
  }
  EXPECT_FALSE(testing::Matches(all, "r{}"));
}

TEST(TokenTrie, ListedControlTokensAreAllowedOnlyWhereAGrammarNamesThem) {
  const auto tokenizer = Tokenizer::Load(std::string(HADAL_SOURCE_DIR) + "/models/demo");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const std::string begin = "<｜tool▁calls▁begin｜>", end = "<｜tool▁calls▁end｜>";
  const std::vector<TokenId> control{*(*tokenizer)->IdOf(end), *(*tokenizer)->IdOf(begin)};
  const std::vector<TokenId> stops{*(*tokenizer)->eos()};
  const auto trie = TokenTrie::Build(**tokenizer, stops, control);
  ASSERT_TRUE(trie) << trie.error().message;
  EXPECT_EQ(std::vector<std::string>((*trie)->control().begin(), (*trie)->control().end()),
            (std::vector<std::string>{begin, end}));
  EXPECT_EQ((*trie)->BytesOf(control[1]), TokenTrie::kControl + begin);
  const auto text = testing::Make({ConstraintKind::kText, "", {}}, *trie);
  Matcher anything(text);
  std::vector<uint64_t> mask(anything.n_words());
  ASSERT_TRUE(anything.FillMask(mask));
  for (const TokenId id : control) {
    EXPECT_FALSE(testing::IsSet(mask, id));
    EXPECT_FALSE(anything.Accept(id).value());
  }
  EXPECT_TRUE(anything.Accept(begin).value());  // as text

  Budget budget{Limits{}};
  AutomatonBuilder builder(budget);
  const auto root = builder.Declare("root");
  Nfa nfa = builder.NewNfa();
  nfa.Epsilon(nfa.Literal(nfa.start(), "a" + (TokenTrie::kControl + begin)), nfa.accept());
  builder.Define(*root, std::move(nfa));
  Matcher named(std::make_shared<const Constraint>(*builder.Build(*root), *trie, Limits{}));
  ASSERT_TRUE(named.Accept("a").value());
  EXPECT_FALSE(named.Accept(begin).value());
  ASSERT_TRUE(named.FillMask(mask));
  for (TokenId id = 0; id < (*tokenizer)->vocab_size(); ++id) {
    EXPECT_EQ(testing::IsSet(mask, id), id == control[1]) << id;
  }
  ASSERT_TRUE(named.Accept(control[1]).value());
  EXPECT_TRUE(named.IsComplete());
  EXPECT_FALSE(TokenTrie::Build(**tokenizer, stops, std::vector<TokenId>{-1}));
}

TEST(Matcher, AForkOfALongOutputGoesOnByItself) {
  Matcher matcher(testing::Make({ConstraintKind::kJsonObject, "", {}}, Vocabulary().trie));
  ASSERT_TRUE(matcher.Accept("{\"a\":[").value());
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(matcher.Accept("[1],").value());
  Matcher fork = matcher.Fork();
  matcher.Rollback(1000);
  EXPECT_EQ(fork.n_accepted(), 1001u);
  ASSERT_TRUE(fork.Accept("0]}").value());
  EXPECT_TRUE(fork.IsComplete());
  ASSERT_TRUE(matcher.Accept("]}").value());
  EXPECT_TRUE(matcher.IsComplete());
}

}  // namespace
}  // namespace hadal::grammar
