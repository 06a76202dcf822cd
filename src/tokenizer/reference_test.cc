// The tokenizers of the built-in model and of DeepSeek-V3, Qwen2.5 and Llama-3.1 against the ids of
// the reference implementation. The files of the latter are large and not part of this repository:
// without HADAL_REFERENCE_DIR their tests skip.
#include <gmock/gmock.h>
#include <simdjson.h>

#include <chrono>
#include <filesystem>

#include "base/file.h"
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
    for (const int64_t id : line["ids"].get_array().value()) {
      ids.push_back(static_cast<TokenId>(id));
    }
    EXPECT_EQ(tokenizer.Encode(input, Special::kRecognise), ids) << "text: " << input;
    EXPECT_EQ(tokenizer.Decode(ids), line["decoded"].get_string().value());
    ++n_lines;
  }
  EXPECT_GE(n_lines, min_lines);
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

INSTANTIATE_TEST_SUITE_P(All, ReferenceTokenizer,
                         ::testing::Values("deepseek_v3", "qwen2_5", "llama3_1"),
                         [](const auto& p) { return std::string(p.param); });

TEST(DemoTokenizer, EncodesAndDecodesEveryExpectedLine) {
  const std::filesystem::path source = HADAL_SOURCE_DIR;
  const auto tokenizer = Tokenizer::Load(source / "models/demo");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  ExpectEveryLine(**tokenizer, source / "tests/golden/demo/tokenizer.jsonl", 56);
}

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
