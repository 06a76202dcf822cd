// The tokenizers of the built-in model and of DeepSeek-V3, Qwen2.5 and Llama-3.1 against the ids of
// the reference implementation, from their own files and by way of GGUF metadata; the vocabularies
// of DeepSeek-LLM and DeepSeek-Coder as GGUF files against the ids of llama.cpp. All but the
// built-in model's are large and not part of this repository: without HADAL_REFERENCE_DIR their
// tests skip.
#include <gmock/gmock.h>
#include <simdjson.h>

#include <chrono>
#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "tokenizer/gguf_vocabulary.h"
#include "tokenizer/pre_tokenizer_rules.h"
#include "tokenizer/tokenizer.h"

namespace hadal {
namespace {

using Special = Tokenizer::Special;

std::filesystem::path FilesOf(std::string_view name) {
  return std::filesystem::path(HADAL_REFERENCE_DIR) / "tokenizers" / name;
}

bool HasReference() { return !std::string_view(HADAL_REFERENCE_DIR).empty(); }

// Each line: a text, its ids, and what they decode to.
void ExpectEveryLine(const Tokenizer& tokenizer, const std::filesystem::path& file, int min_lines) {
  const auto text = ReadFile(file, 16u << 20);
  ASSERT_TRUE(text) << text.error().message;
  simdjson::dom::parser parser;
  simdjson::dom::document_stream stream;
  const simdjson::padded_string padded(*text);
  ASSERT_EQ(parser.parse_many(padded).get(stream), simdjson::SUCCESS);
  int n_lines = 0;
  for (auto line : stream) {
    const std::string_view input = line["text"].get_string().value();
    std::vector<TokenId> ids;
    const simdjson::dom::array numbers = line["ids"].get_array().value();
    for (const int64_t id : numbers) {
      ids.push_back(static_cast<TokenId>(id));
    }
    EXPECT_EQ(tokenizer.Encode(input, Special::kRecognise), ids) << "text: " << input;
    EXPECT_EQ(tokenizer.Decode(ids), line["decoded"].get_string().value());
    ++n_lines;
  }
  EXPECT_GE(n_lines, min_lines);
}

// The tokenizer that is left of a hub tokenizer after it was written as GGUF metadata.
std::unique_ptr<Tokenizer> ByWayOfGguf(const std::filesystem::path& directory, int64_t vocab_size,
                                       std::string_view pre) {
  const auto texts = ReadTokenizerTexts(directory);
  EXPECT_TRUE(texts) << texts.error().message;
  GgufMetadata metadata;
  const Status added = AddGgufVocabulary(*texts, vocab_size, &metadata);
  EXPECT_TRUE(added) << added.error().message;
  if (!added) return nullptr;
  EXPECT_EQ(metadata.Texts("tokenizer.ggml.tokens")->size(), static_cast<size_t>(vocab_size));
  EXPECT_EQ(*metadata.Text("tokenizer.ggml.pre"), pre);
  const auto back = TokenizerTextsOfGguf(metadata);
  EXPECT_TRUE(back) << back.error().message;
  if (!back) return nullptr;
  auto tokenizer = Tokenizer::Parse(back->tokenizer_json, back->config_json);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

void ExpectSameSpecialTokens(const Tokenizer& a, const Tokenizer& b) {
  EXPECT_EQ(a.vocab_size(), b.vocab_size());
  EXPECT_EQ(a.bos(), b.bos());
  EXPECT_EQ(a.eos(), b.eos());
  EXPECT_EQ(a.add_bos(), b.add_bos());
  EXPECT_EQ(a.chat_template(), b.chat_template());
  for (TokenId id = 0; id < a.vocab_size(); ++id) {
    ASSERT_EQ(a.BytesOf(id), b.BytesOf(id)) << id;
    ASSERT_EQ(a.IsAdded(id), b.IsAdded(id)) << id;
  }
}

class ReferenceTokenizer : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!HasReference()) GTEST_SKIP() << "HADAL_REFERENCE_DIR is empty";
    auto loaded = Tokenizer::Load(FilesOf(GetParam()));
    ASSERT_TRUE(loaded) << loaded.error().message;
    tokenizer_ = std::move(*loaded);
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(ReferenceTokenizer, EncodesAndDecodesEveryExpectedLine) {
  ExpectEveryLine(*tokenizer_, FilesOf(GetParam()) / "expected.jsonl", 100);
}

TEST_P(ReferenceTokenizer, LongUniformTextsFinish) {
  const size_t n = 1u << 20;
  std::vector<std::pair<const char*, std::string>> texts;
  texts.emplace_back("letters", std::string(n, 'a'));
  texts.emplace_back("spaces", std::string(n, ' '));
  texts.emplace_back("digits", std::string(n, '7'));
  texts.emplace_back("newlines", std::string(n, '\n'));
  for (auto& [name, unit] : std::vector<std::pair<const char*, std::string>>{
           {"mixed white space", " \t\n \r\n   \xC2\xA0"},
           {"spaces, then a letter", "                x"},
           {"chinese", "模型显存"},
           {"marks", "e\xCC\x81\xCC\xA3"},
           {"adverse marks", "\xCC\x81\xCC\xA3\xCC\x9B"},
           {"quotes", "''''s"},
           {"markup", "<｜User"}}) {
    std::string text;
    while (text.size() < n) text += unit;
    texts.emplace_back(name, std::move(text));
  }
  for (const auto& [name, text] : texts) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<TokenId> ids = tokenizer_->Encode(text, Special::kRecognise);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 60) << name;  // a quadratic algorithm takes hours
    EXPECT_GT(ids.size(), 1000u) << name;
  }
}

TEST_P(ReferenceTokenizer, NoAddedTokenComesOutOfUserText) {
  for (TokenId id = 0; id < tokenizer_->vocab_size(); ++id) {
    if (!tokenizer_->IsAdded(id)) continue;
    const std::string text = "x" + std::string(tokenizer_->BytesOf(id)) + "y";
    for (const TokenId got : tokenizer_->Encode(text, Special::kAsText)) {
      EXPECT_FALSE(tokenizer_->IsAdded(got)) << text;
    }
  }
}

TEST_P(ReferenceTokenizer, GgufMetadataKeepsEveryId) {
  const std::string_view name = GetParam();
  const auto [rows, pre] = name == "deepseek_v3" ? std::pair(129280, "deepseek-v3")
                           : name == "qwen2_5"   ? std::pair(151936, "qwen2")
                                                 : std::pair(128256, "llama-bpe");
  const auto tokenizer = ByWayOfGguf(FilesOf(name), rows, pre);
  ASSERT_TRUE(tokenizer);
  ExpectEveryLine(*tokenizer, FilesOf(name) / "expected.jsonl", 100);
  ExpectSameSpecialTokens(*tokenizer, *tokenizer_);
  EXPECT_NE(tokenizer->chat_template(), "");
}

TEST_P(ReferenceTokenizer, ThePublishedPreTokenizerIsTheNamedOne) {
  const std::string_view name = GetParam();
  const SplitRules* rules = FindSplitRules(name == "deepseek_v3" ? "deepseek-v3"
                                           : name == "qwen2_5"   ? "qwen2"
                                                                 : "llama-bpe");
  const auto text = ReadFile(FilesOf(name) / "tokenizer.json", 16u << 20);
  ASSERT_TRUE(text);
  simdjson::dom::parser published, ours;
  const simdjson::dom::element file = published.parse(*text);
  const simdjson::dom::element named = ours.parse(PreTokenizerJson(*rules));
  EXPECT_EQ(simdjson::minify(file["pre_tokenizer"]), simdjson::minify(named));
  std::string_view normalizer;
  const bool nfc =
      file["normalizer"]["type"].get(normalizer) == simdjson::SUCCESS && normalizer == "NFC";
  EXPECT_EQ(rules->nfc, nfc);
  bool ignore_merges = false;
  if (file["model"]["ignore_merges"].get(ignore_merges) != simdjson::SUCCESS) ignore_merges = false;
  EXPECT_EQ(rules->ignore_merges, ignore_merges);
}

INSTANTIATE_TEST_SUITE_P(All, ReferenceTokenizer,
                         ::testing::Values("deepseek_v3", "qwen2_5", "llama3_1"),
                         [](const auto& p) { return std::string(p.param); });

TEST(DemoTokenizer, EncodesAndDecodesEveryExpectedLine) {
  const std::filesystem::path source = HADAL_SOURCE_DIR;
  const auto tokenizer = Tokenizer::Load(source / "models/demo");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  ExpectEveryLine(**tokenizer, source / "tests/golden/demo/tokenizer.jsonl", 56);
}

TEST(DemoTokenizer, GgufMetadataKeepsEveryId) {
  const std::filesystem::path source = HADAL_SOURCE_DIR;
  const auto original = Tokenizer::Load(source / "models/demo");
  ASSERT_TRUE(original) << original.error().message;
  const auto tokenizer = ByWayOfGguf(source / "models/demo", 4096, "deepseek-v3");
  ASSERT_TRUE(tokenizer);
  ExpectEveryLine(*tokenizer, source / "tests/golden/demo/tokenizer.jsonl", 56);
  ExpectSameSpecialTokens(*tokenizer, **original);
}

// Texts are separated by a line of their own, so each ends before the newline in front of it; every
// line of the other file holds the ids of one text.
std::vector<std::pair<std::string, std::vector<TokenId>>> VocabularyCases(
    const std::filesystem::path& gguf) {
  std::string texts = ReadFile(gguf.string() + ".inp", 1u << 20).value_or("");
  const std::string ids = ReadFile(gguf.string() + ".out", 1u << 20).value_or("");
  const std::string_view separator = "\n__ggml_vocab_test__\n";
  std::vector<std::pair<std::string, std::vector<TokenId>>> cases;
  std::istringstream lines(ids);
  std::string line;
  for (size_t at = 0; std::getline(lines, line);) {
    const size_t end = texts.find(separator, at);
    if (end == std::string::npos) break;
    std::istringstream numbers(line);
    cases.emplace_back(texts.substr(at, end - at), std::vector<TokenId>{});
    for (TokenId id; numbers >> id;) cases.back().second.push_back(id);
    at = end + separator.size();
  }
  return cases;
}

class GgufFixture : public ::testing::TestWithParam<const char*> {};

TEST_P(GgufFixture, EncodesEveryTextAsLlamaCppDoes) {
  if (!HasReference()) GTEST_SKIP() << "HADAL_REFERENCE_DIR is empty";
  const auto path = std::filesystem::path(HADAL_REFERENCE_DIR) / "vocab" / GetParam();
  const auto tokenizer = Tokenizer::Load(path);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto cases = VocabularyCases(path);
  EXPECT_GE(cases.size(), 46u);
  for (const auto& [text, ids] : cases) {
    for (const auto special : {Special::kRecognise, Special::kAsText}) {
      EXPECT_EQ((*tokenizer)->Encode(text, special), ids) << "text: " << text;
    }
    EXPECT_EQ((*tokenizer)->Decode(ids), text);
  }
  EXPECT_TRUE((*tokenizer)->add_bos());
  EXPECT_EQ((*tokenizer)->BytesOf((*tokenizer)->bos().value_or(-1)), "<｜begin▁of▁sentence｜>");
  EXPECT_EQ((*tokenizer)->BytesOf((*tokenizer)->eos().value_or(-1)), "<｜end▁of▁sentence｜>");
}

INSTANTIATE_TEST_SUITE_P(All, GgufFixture,
                         ::testing::Values("deepseek-llm.gguf", "deepseek-coder.gguf"),
                         [](const auto& p) {
                           return std::string(p.param).substr(9,
                                                              std::string(p.param).find('.') - 9);
                         });

TEST(ReferenceConfig, BosAndEosComeFromTheFiles) {
  if (!HasReference()) GTEST_SKIP() << "HADAL_REFERENCE_DIR is empty";
  const auto v3 = Tokenizer::Load(FilesOf("deepseek_v3"));
  const auto qwen = Tokenizer::Load(FilesOf("qwen2_5"));
  const auto llama = Tokenizer::Load(FilesOf("llama3_1"));
  ASSERT_TRUE(v3 && qwen && llama);
  EXPECT_EQ((*v3)->bos(), 0);
  EXPECT_EQ((*v3)->eos(), 1);
  EXPECT_TRUE((*v3)->add_bos());
  EXPECT_EQ((*v3)->vocab_size(), 128815);
  EXPECT_EQ((*v3)->IdOf("<｜User｜>"), 128803);
  EXPECT_FALSE((*v3)->IsSpecial(128803));
  EXPECT_EQ((*qwen)->bos(), std::nullopt);
  EXPECT_EQ((*qwen)->eos(), 151645);
  EXPECT_FALSE((*qwen)->add_bos());
  EXPECT_EQ((*llama)->bos(), 128000);
  EXPECT_TRUE((*llama)->add_bos());  // the post-processor's template; the config is silent
}

}  // namespace
}  // namespace hadal
