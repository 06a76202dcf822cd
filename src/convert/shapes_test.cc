#include <gtest/gtest.h>

#include <map>

#include "convert/hub_tensors.h"
#include "convert/made_up_vocabulary.h"
#include "convert/synth.h"
#include "tokenizer/gguf_vocabulary.h"
#include "tokenizer/tokenizer.h"

namespace hadal {
namespace {

PublishedShape Shape_(std::string_view name) {
  auto shape = FindShape(name);
  EXPECT_TRUE(shape.has_value()) << name;
  return shape.value_or(PublishedShape{});
}

int64_t Parameters(const ModelConfig& config) {
  int64_t n = 0;
  for (const HubTensor& t : HubTensorsOf(config)) n += t.shape.elements();
  return n;
}

// Published totals, in millions (DeepSeek-V3 without its multi-token prediction layer).
TEST(PublishedShapes, HaveThePublishedNumberOfParameters) {
  const std::map<std::string_view, double> millions = {
      {"r1-distill-qwen-1.5b", 1777},
      {"r1-distill-qwen-7b", 7616},
      {"r1-distill-qwen-14b", 14770},
      {"r1-distill-qwen-32b", 32764},
      {"r1-distill-llama-8b", 8030},
      {"r1-distill-llama-70b", 70554},
      {"r1-0528-qwen3-8b", 8191},
      {"deepseek-llm-7b", 6910},
      {"deepseek-llm-67b", 67425},
      {"deepseek-coder-1.3b", 1346},
      {"deepseek-coder-6.7b", 6741},
      {"deepseek-moe-16b", 16376},
      {"v2-lite", 15706},
      {"coder-v2-lite", 15706},
      {"v2", 235741},
      {"v2.5", 235741},
      {"coder-v2", 235741},
      {"v3", 671026},
      {"v3-0324", 671026},
      {"r1", 671026},
      {"r1-0528", 671026},
      {"v3.1", 671026},
  };
  EXPECT_EQ(PublishedShapes().size(), millions.size());
  for (const auto& [name, want] : millions) {
    const double got = static_cast<double>(Parameters(Shape_(name).config)) / 1e6;
    EXPECT_NEAR(got / want, 1, 1e-3) << name << " has " << got << " M";
  }
}

TEST(PublishedShapes, AreFoundByNameTitleAndWithOrWithoutThePrefix) {
  EXPECT_EQ(Shape_("DeepSeek-V2-Lite-Chat").name, "v2-lite");
  EXPECT_EQ(Shape_("deepseek-v3.1").name, "v3.1");
  EXPECT_EQ(Shape_("LLM-7b").name, "deepseek-llm-7b");
}

TEST(PublishedShapes, ASlipOfThePenIsAnsweredWithTheNearestName) {
  const auto wrong = FindShape("r1-distil-qwen-1.5b");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(wrong.error().message.find("did you mean 'r1-distill-qwen-1.5b'?"), std::string::npos)
      << wrong.error().message;
  const auto far = FindShape("gpt-oss-120b");
  ASSERT_FALSE(far.has_value());
  EXPECT_EQ(far.error().message.find("did you mean"), std::string::npos);
  EXPECT_NE(far.error().message.find("v2-lite"), std::string::npos);
}

TEST(PublishedShapes, LaterArchitecturesAreKnownAndRefused) {
  for (const char* name : {"v3.2", "deepseek-v3.2-exp", "v4-flash", "V4-Pro", "v4.1-flash"}) {
    const auto later = FindShape(name);
    ASSERT_FALSE(later.has_value()) << name;
    EXPECT_EQ(later.error().code, ErrorCode::kUnsupportedModel) << name;
  }
}

TEST(MadeUpVocabulary, IsAWorkingTokenizerWithThePublishedIdsForEveryShape) {
  for (const PublishedShape& shape : PublishedShapes()) {
    GgufMetadata metadata;
    const Status made = AddMadeUpVocabulary(shape.vocabulary, shape.config.vocab_size, &metadata);
    ASSERT_TRUE(made.has_value()) << shape.name << ": " << made.error().message;
    const auto* tokens = metadata.Texts("tokenizer.ggml.tokens");
    ASSERT_NE(tokens, nullptr);
    ASSERT_EQ(static_cast<int64_t>(tokens->size()), shape.config.vocab_size);
    const auto texts = TokenizerTextsOfGguf(metadata);
    ASSERT_TRUE(texts.has_value()) << shape.name << ": " << texts.error().message;
    const auto tokenizer = Tokenizer::Parse(texts->tokenizer_json, texts->config_json);
    ASSERT_TRUE(tokenizer.has_value()) << shape.name << ": " << tokenizer.error().message;
    EXPECT_EQ((*tokenizer)->vocab_size(), shape.config.vocab_size) << shape.name;

    const VocabularyEnds ends = EndsOfVocabulary(shape.vocabulary);
    EXPECT_EQ((*tokenizer)->bos(), ends.bos) << shape.name;
    EXPECT_EQ((*tokenizer)->eos(), ends.eos) << shape.name;
    const std::string text = "What is the answer to 1+1? 你是什么模型\n\n\x01 zü🐳";
    const auto ids = (*tokenizer)->Encode(text, Tokenizer::Special::kAsText);
    EXPECT_EQ((*tokenizer)->Decode(ids), text) << shape.name;
    EXPECT_LT(ids.size(), text.size()) << shape.name;  // the merges are used
    EXPECT_FALSE((*tokenizer)->chat_template().empty());
  }
}

TEST(MadeUpVocabulary, ControlTokensStandAtTheirPublishedIds) {
  const auto id = [](std::string_view vocabulary, int64_t size, std::string_view token) {
    GgufMetadata m;
    EXPECT_TRUE(AddMadeUpVocabulary(vocabulary, size, &m).has_value());
    const auto texts = TokenizerTextsOfGguf(m);
    EXPECT_TRUE(texts.has_value());
    if (!texts) return TokenId{-1};
    const auto tokenizer = Tokenizer::Parse(texts->tokenizer_json, texts->config_json);
    EXPECT_TRUE(tokenizer.has_value());
    return tokenizer ? (*tokenizer)->IdOf(token).value_or(-1) : TokenId{-1};
  };
  EXPECT_EQ(id("r1", 129280, "<think>"), 128798);
  EXPECT_EQ(id("v3", 129280, "<think>"), -1);
  EXPECT_EQ(id("v3.1", 129280, "<｜search▁begin｜>"), 128796);
  EXPECT_EQ(id("r1-qwen", 151936, "<｜begin▁of▁sentence｜>"), 151646);
  EXPECT_EQ(id("r1-qwen3", 151936, "<｜User｜>"), 151669);
  EXPECT_EQ(id("r1-llama", 128256, "</think>"), 128014);
  EXPECT_EQ(id("coder", 32256, "<|EOT|>"), 32021);
  EXPECT_EQ(id("llm", 102400, "<｜end▁of▁sentence｜>"), 100001);
}

}  // namespace
}  // namespace hadal
