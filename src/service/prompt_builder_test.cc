#include "service/prompt_builder.h"

#include <gmock/gmock.h>

#include "tokenizer/testing/tiny_tokenizer.h"

namespace hadal {
namespace {

using api::Message;
using api::Role;
using Mode = api::Truncation::Mode;
using ::testing::HasSubstr;

constexpr int64_t kContext = 100;

// id = byte; 256 "ab", 257 "abc"; then control tokens.
std::unique_ptr<Tokenizer> MakeTokenizer(bool fim = true) {
  testing::TinyTokenizer tiny;
  tiny.merges = {{"a", "b"}, {"ab", "c"}};
  tiny.added = {{.content = "<｜begin▁of▁sentence｜>", .special = true},
                {.content = "<｜end▁of▁sentence｜>", .special = true}};
  for (const char* token : {"<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"}) {
    tiny.added.push_back({.content = token, .normalized = true});
  }
  if (fim) {
    for (const char* token : {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"}) {
      tiny.added.push_back({.content = token, .normalized = true});
    }
  }
  return std::move(*Tokenizer::Parse(
      tiny.Json(),
      R"({"bos_token":"<｜begin▁of▁sentence｜>","eos_token":"<｜end▁of▁sentence｜>"})"));
}

class PromptBuilderTest : public ::testing::Test {
 protected:
  explicit PromptBuilderTest(bool fim = true) : tokenizer(MakeTokenizer(fim)) {
    format = std::move(*ResolveChatFormat(*tokenizer, "deepseek_v32"));
    trie = *grammar::TokenTrie::Build(*tokenizer, std::vector<TokenId>{*tokenizer->eos()});
    builder = std::make_unique<PromptBuilder>(PromptRules{"demo", kContext, 300}, *tokenizer,
                                              format.get(), none, trie.get());
  }
  static api::Request Chat(std::vector<Message> messages, Mode mode = Mode::kNone) {
    api::Request request;
    request.prompt =
        api::ChatPrompt{.messages = std::move(messages), .thinking = false, .truncation = {mode}};
    return request;
  }
  std::string TextOf(const Prompt& prompt) const { return tokenizer->Decode(prompt.ids); }

  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatFormat> format;
  std::shared_ptr<const grammar::TokenTrie> trie;
  Error none;
  std::unique_ptr<PromptBuilder> builder;
};

Message Of(Role role, std::string content) {
  Message message;
  message.role = role;
  message.content = std::move(content);
  return message;
}
Message User(std::string text) { return Of(Role::kUser, std::move(text)); }
Message Answer(std::string text) { return Of(Role::kAssistant, std::move(text)); }
Message Prefix(std::string text) {
  Message message = Answer(std::move(text));
  message.prefix = true;
  return message;
}

TEST_F(PromptBuilderTest, NothingIsCutUnlessAsked) {
  const auto request = Chat({User(std::string(60, 'x')), Answer("y"), User(std::string(60, 'z'))});
  const auto prompt = builder->Build(request);
  ASSERT_TRUE(prompt);
  const auto refused = builder->MaxTokens(request, *prompt);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kContextLengthExceeded);
  EXPECT_THAT(refused.error().message, HasSubstr("129 tokens"));
  EXPECT_THAT(refused.error().message, HasSubstr("100 tokens"));
}

TEST_F(PromptBuilderTest, TruncationDropsTheFewestWholeTurnsAndSaysWhich) {
  std::vector<Message> talk = {Of(Role::kSystem, "sys")};
  for (const char c : std::string("12345")) {
    talk.push_back(User(std::string(12, c)));
    talk.push_back(Answer(std::string(2, c)));
  }
  talk.push_back(User("last"));
  auto request = Chat(talk, Mode::kFront);
  request.max_tokens = 20;
  auto prompt = builder->Build(request);
  ASSERT_TRUE(prompt) << prompt.error().message;
  ASSERT_TRUE(prompt->dropped);
  EXPECT_EQ(prompt->dropped->messages, 4);
  EXPECT_THAT(TextOf(*prompt), AllOf(HasSubstr("sys"), Not(HasSubstr("2")), HasSubstr("3333")));
  EXPECT_LE(prompt->ids.size(), 80u);
  EXPECT_GT(prompt->ids.size() + 19, 80u) << "one turn fewer would not have fit";

  request = Chat(talk, Mode::kMiddle);
  request.max_tokens = 20;
  prompt = builder->Build(request);
  ASSERT_TRUE(prompt && prompt->dropped);
  EXPECT_THAT(TextOf(*prompt), AllOf(HasSubstr("1111"), Not(HasSubstr("3")), HasSubstr("4444")));

  request = Chat({User("short")}, Mode::kFront);
  prompt = builder->Build(request);
  ASSERT_TRUE(prompt);
  EXPECT_FALSE(prompt->dropped);
  const auto hopeless = builder->Build(Chat({User(std::string(200, 'x'))}, Mode::kFront));
  ASSERT_FALSE(hopeless);
  EXPECT_EQ(hopeless.error().code, ErrorCode::kContextLengthExceeded);
}

TEST(WithoutTurns, KeepsInstructionsTheLastTurnAndInTheMiddleTheFirst) {
  Message call = Answer("");
  call.tool_calls = {{"1", "f", "{}"}};
  Message result = Of(Role::kTool, "r");
  result.tool_call_id = "1";
  const std::vector<Message> talk = {
      User("a"), call, result, Answer("b"), Of(Role::kSystem, "s"), User("c"), User("d")};
  const auto front = WithoutTurns(talk, Mode::kFront, 1);
  ASSERT_TRUE(front);
  ASSERT_EQ(front->size(), 3u) << "a call leaves with its result";
  EXPECT_EQ((*front)[0].content, "s");
  const auto middle = WithoutTurns(talk, Mode::kMiddle, 1);
  ASSERT_TRUE(middle);
  EXPECT_EQ(middle->size(), 6u);
  EXPECT_EQ(middle->back().content, "d");
  EXPECT_FALSE(WithoutTurns(talk, Mode::kMiddle, 2));
  EXPECT_TRUE(WithoutTurns(talk, Mode::kFront, 2));
  EXPECT_FALSE(WithoutTurns(talk, Mode::kFront, 3));
}

TEST_F(PromptBuilderTest, ThePrefixsLastTokenHealsWhereALongerOneBeginsWithIt) {
  auto prompt = builder->Build(Chat({User("q"), Prefix("xyab")}));
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->heal, "ab");
  EXPECT_EQ(prompt->given, "xy");
  EXPECT_THAT(TextOf(*prompt), ::testing::EndsWith("xy"));
  prompt = builder->Build(Chat({User("q"), Prefix("xabc")}));
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->heal, "") << "no token begins with abc but itself";
  EXPECT_EQ(prompt->given, "xabc");
  prompt = builder->Build(Chat({User("ab")}));
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->heal, "");
}

TEST_F(PromptBuilderTest, AGapIsWrittenAsItsTokensSay) {
  api::Request request;
  request.prompt = api::FimPrompt{"xyab", "<｜fim▁end｜>z"};
  const auto prompt = builder->Build(request);
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->heal, "ab");
  EXPECT_EQ(TextOf(*prompt), "<｜fim▁begin｜>xy<｜fim▁hole｜><｜fim▁end｜>z<｜fim▁end｜>");
  const TokenId end = *tokenizer->IdOf("<｜fim▁end｜>");
  EXPECT_EQ(std::count(prompt->ids.begin(), prompt->ids.end(), end), 1);
}

class WithoutFim : public PromptBuilderTest {
 protected:
  WithoutFim() : PromptBuilderTest(/*fim=*/false) {}
};

TEST_F(WithoutFim, AVocabularyThatCannotFillAGapSaysSo) {
  api::Request request;
  request.prompt = api::FimPrompt{"a", "b"};
  const auto refused = builder->Build(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().field, "suffix");
}

TEST_F(PromptBuilderTest, ARequestMayBoundItsContext) {
  auto request = Chat({User("0123456789")});
  request.context = 20;
  const auto prompt = builder->Build(request);
  ASSERT_TRUE(prompt);
  EXPECT_EQ(*builder->MaxTokens(request, *prompt), 20 - static_cast<int64_t>(prompt->ids.size()));
  request.context = 5;
  EXPECT_EQ(builder->MaxTokens(request, *prompt).error().code, ErrorCode::kContextLengthExceeded);
  request.context = 1000000;
  EXPECT_EQ(*builder->MaxTokens(request, *prompt),
            kContext - static_cast<int64_t>(prompt->ids.size()));
}

}  // namespace
}  // namespace hadal
