// Masks over a real vocabulary of 128,000 tokens: right, and what they cost (reported, not
// asserted).
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <random>

#include "grammar/testing_schema.h"
#include "grammar/testing_vocabulary.h"
#include "tokenizer/tokenizer.h"

namespace hadal::grammar {
namespace {

using testing::IsSet;

struct Costs {
  std::vector<double> cold, warm;  // microseconds
  static std::string Show(std::vector<double> v) {
    if (v.empty()) return "-";
    std::sort(v.begin(), v.end());
    return fmt::format("median {:.1f} p99 {:.1f} worst {:.1f} us ({} masks)", v[v.size() / 2],
                       v[v.size() * 99 / 100], v.back(), v.size());
  }
};

constexpr const char* kPerson = R"({"type":"object","properties":{
    "name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":150},
    "email":{"type":"string","format":"email"},
    "tags":{"type":"array","items":{"type":"string","maxLength":40},"maxItems":5},
    "address":{"type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"},
      "kind":{"enum":["home","work"]}},"required":["street","city"],"additionalProperties":false},
    "score":{"type":"number"},"active":{"type":"boolean"}},
    "required":["name","age","address"],"additionalProperties":false})";

constexpr const char* kTexts[] = {
    R"({"name": "张伟 Müller", "age": 42, "email": "a.b@example.com", "tags": ["red", "a longer tag, with ",
"绿"], "address": {"street": "12 High Street", "city": "Zürich", "kind": "home"}, "score": -3.25e2,
"active": true})",
    "{\n  \"name\": \"Ann\",\n  \"age\": 7,\n  \"address\": {\n    \"street\": \"\\\"x\\\" "
    "\\u00e9\",\n"
    "    \"city\": \"😀\"\n  }\n}"};

// The text's own tokens are fed; at each place the mask is filled and timed.
void Follow(const std::shared_ptr<const Constraint>& constraint, const Tokenizer& tokenizer,
            const std::string& text, std::vector<double>& costs) {
  Matcher matcher(constraint);
  std::vector<uint64_t> mask(matcher.n_words());
  for (const TokenId id : tokenizer.Encode(text, Tokenizer::Special::kAsText)) {
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_TRUE(matcher.FillMask(mask));
    costs.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count());
    ASSERT_TRUE(IsSet(mask, id)) << tokenizer.BytesOf(id);
    ASSERT_TRUE(matcher.Accept(id).value()) << tokenizer.BytesOf(id);
  }
  EXPECT_TRUE(matcher.IsComplete());
}

class OverVocabulary : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string name = GetParam();
    const std::filesystem::path path =
        name == "demo" ? std::filesystem::path(HADAL_SOURCE_DIR) / "models/demo"
                       : std::filesystem::path(HADAL_REFERENCE_DIR) / "tokenizers" / name;
    if (name != "demo" && std::string_view(HADAL_REFERENCE_DIR).empty()) {
      GTEST_SKIP() << "HADAL_REFERENCE_DIR is not set";
    }
    auto loaded = Tokenizer::Load(path);
    ASSERT_TRUE(loaded) << loaded.error().message;
    tokenizer_ = std::move(*loaded);
    const std::vector<TokenId> stops{tokenizer_->eos().value_or(0)};
    auto trie = TokenTrie::Build(*tokenizer_, stops);
    ASSERT_TRUE(trie);
    trie_ = *trie;
  }
  std::unique_ptr<Tokenizer> tokenizer_;
  std::shared_ptr<const TokenTrie> trie_;
};

TEST_P(OverVocabulary, MasksAllowTheTokensOfValidTextsQuickly) {
  for (const bool schema : {false, true}) {
    const ConstraintSource source{
        schema ? ConstraintKind::kJsonSchema : ConstraintKind::kJsonObject, kPerson, {}};
    const auto constraint = testing::Make(source, trie_);
    ASSERT_TRUE(constraint);
    Costs costs;
    for (int round = 0; round < 20; ++round) {
      for (std::string text : kTexts) {
        if (schema && text.find("-3.25e2") != text.npos)
          text.replace(text.find("-3.25e2"), 7, "-3.25");
        Follow(constraint, *tokenizer_, text, round == 0 ? costs.cold : costs.warm);
        if (HasFatalFailure()) return;
      }
    }
    std::cout << GetParam() << (schema ? " schema" : " object")
              << " cold: " << Costs::Show(costs.cold) << "\n  warm: " << Costs::Show(costs.warm)
              << "\n  states " << constraint->automaton().n_states() << ", masks "
              << constraint->masks().bytes() / 1024 << " KiB, trie nodes " << trie_->n_nodes()
              << "\n";
  }
}

TEST_P(OverVocabulary, MasksAreThoseOfBruteForceAlongARandomWalk) {
  std::mt19937 random(1);
  const auto constraint = testing::Make({ConstraintKind::kJsonSchema, kPerson, {}}, trie_);
  Matcher matcher(constraint);
  std::vector<uint64_t> mask(matcher.n_words());
  for (int step = 0; step < 12; ++step) {
    ASSERT_TRUE(matcher.FillMask(mask));
    std::vector<TokenId> allowed;
    for (TokenId id = 0; id < tokenizer_->vocab_size(); ++id) {
      const bool ok = matcher.Accept(id).value();
      ASSERT_EQ(IsSet(mask, id), ok) << tokenizer_->BytesOf(id);
      if (ok) matcher.Rollback(1);
      if (ok && !trie_->IsStop(id)) allowed.push_back(id);
    }
    if (allowed.empty()) break;
    ASSERT_TRUE(matcher.Accept(allowed[random() % allowed.size()]).value());
  }
}

TEST_P(OverVocabulary, ControlTokensAreNeverAllowed) {
  const auto constraint = testing::Make({ConstraintKind::kRegex, "[^]*", {}}, trie_);
  Matcher matcher(constraint);
  std::vector<uint64_t> mask(matcher.n_words());
  ASSERT_TRUE(matcher.FillMask(mask));
  for (TokenId id = 0; id < tokenizer_->vocab_size(); ++id) {
    if (tokenizer_->IsSpecial(id) && !trie_->IsStop(id)) EXPECT_FALSE(IsSet(mask, id)) << id;
  }
  EXPECT_TRUE(IsSet(mask, trie_->stops()[0]));
  if (const auto user = tokenizer_->IdOf("<｜User｜>")) EXPECT_FALSE(IsSet(mask, *user));
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, OverVocabulary,
                         ::testing::Values("demo", "deepseek_v3", "qwen2_5"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace hadal::grammar
