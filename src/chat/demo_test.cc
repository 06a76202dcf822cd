// The built-in model's prompts, text and ids, against its published template's output.
#include <gmock/gmock.h>
#include <simdjson.h>

#include <filesystem>

#include "base/file.h"
#include "chat/chat_format.h"

namespace hadal {
namespace {

using simdjson::dom::element;

constexpr const char* kGoldens = HADAL_SOURCE_DIR "/tests/golden/demo/";

struct Example {
  std::vector<api::Message> messages;
  bool thinking = false;
  std::string rendered;         // of chat.jsonl
  std::vector<TokenId> prompt;  // of answers.jsonl
};

std::vector<Example> ReadExamples(const std::string& file) {
  std::vector<Example> out;
  const auto text = ReadFile(kGoldens + file, 1u << 20);
  EXPECT_TRUE(text) << text.error().message;
  if (!text) return out;
  const simdjson::padded_string padded(*text);
  simdjson::dom::parser parser;
  simdjson::dom::document_stream stream;
  EXPECT_EQ(parser.parse_many(padded).get(stream), simdjson::SUCCESS);
  for (auto row : stream) {
    Example& c = out.emplace_back();
    const simdjson::dom::array entries = row["messages"].get_array().value();
    for (const element entry : entries) {
      api::Message& message = c.messages.emplace_back();
      const std::string_view role = entry["role"].get_string().value();
      message.role = role == "system"      ? api::Role::kSystem
                     : role == "assistant" ? api::Role::kAssistant
                                           : api::Role::kUser;
      message.content = entry["content"].get_string().value();
    }
    c.thinking = row["thinking"].get_bool().value();
    if (std::string_view rendered; !row["rendered"].get(rendered)) c.rendered = rendered;
    if (simdjson::dom::array ids; !row["prompt_ids"].get(ids)) {
      for (const int64_t id : ids) c.prompt.push_back(static_cast<TokenId>(id));
    }
  }
  return out;
}

class DemoChat : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loaded = Tokenizer::Load(HADAL_SOURCE_DIR "/models/demo");
    ASSERT_TRUE(loaded) << loaded.error().message;
    tokenizer_ = std::move(*loaded);
    auto format = ResolveChatFormat(*tokenizer_, "deepseek_v3");
    ASSERT_TRUE(format) << format.error().message;
    format_ = std::move(*format);
    ASSERT_EQ(format_->name(), "deepseek-v3.1");
  }
  std::vector<TokenId> PromptOf(const Example& c) {
    const auto prompt = format_->Render(c.messages, {.thinking = c.thinking});
    EXPECT_TRUE(prompt) << prompt.error().message;
    if (!prompt) return {};
    EXPECT_EQ(prompt->starts_in_reasoning, c.thinking);
    return EncodePieces(*tokenizer_, prompt->pieces);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ChatFormat> format_;
};

TEST_F(DemoChat, MessagesBecomeTheTextOfTheTemplate) {
  const auto examples = ReadExamples("chat.jsonl");
  EXPECT_GE(examples.size(), 22u);
  for (const Example& c : examples) {
    ASSERT_FALSE(c.rendered.empty());
    const auto ids = PromptOf(c);
    EXPECT_EQ(tokenizer_->Decode(ids), c.rendered);
    // No rendered message holds a control token, so the whole text has the same ids as its pieces.
    EXPECT_EQ(ids, tokenizer_->Encode(c.rendered, Tokenizer::Special::kRecognise)) << c.rendered;
  }
}

TEST_F(DemoChat, MessagesBecomeTheIdsThatTheModelAnswered) {
  const auto examples = ReadExamples("answers.jsonl");
  EXPECT_GE(examples.size(), 22u);
  for (const Example& c : examples) {
    ASSERT_FALSE(c.prompt.empty());
    EXPECT_EQ(PromptOf(c), c.prompt) << c.messages.back().content;
  }
}

}  // namespace
}  // namespace hadal
