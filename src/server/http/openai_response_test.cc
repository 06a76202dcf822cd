#include "server/http/openai_response.h"

#include <gmock/gmock.h>

#include <limits>

namespace hadal::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

ResponseHead ChatHead(bool logprobs = false) {
  return {"chatcmpl-1", 1700000000, "demo", "fp", OpenAiRoute::kChat, logprobs};
}
ResponseHead TextHead(bool logprobs = false) {
  return {"cmpl-1", 1700000000, "demo", "fp", OpenAiRoute::kText, logprobs};
}
api::Delta Content(std::string text, int choice = 0) {
  return {
      .choice = choice, .content = std::move(text), .reasoning = {}, .logprobs = {}, .n_tokens = 1};
}
api::Delta Reasoning(std::string text) {
  return {.choice = 0,
          .content = {},
          .reasoning = std::move(text),
          .logprobs = {},
          .n_tokens = 1,
          .in_reasoning = true};
}
const api::Usage kUsage{
    .prompt_tokens = 10, .completion_tokens = 4, .reasoning_tokens = 1, .cached_tokens = 8};

TEST(OpenAiStream, AChatStreamIsRoleReasoningContentFinishUsageDone) {
  StreamWriter writer(ChatHead(), /*include_usage=*/true);
  std::vector<std::string> lines;
  for (const api::Event& event : {api::Event(Reasoning("hm")), api::Event(Content("Hi")),
                                  api::Event(api::Finished{}), api::Event(api::Done{kUsage})}) {
    for (auto& line : writer.On(event)) lines.push_back(line);
  }
  const std::string head =
      R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,)"
      R"("model":"demo","system_fingerprint":"fp","choices":[)";
  const auto choice = [&](std::string delta, std::string finish) {
    return head + R"({"index":0,"delta":)" + delta + R"(,"logprobs":null,"finish_reason":)" +
           finish + R"(}],"usage":null})";
  };
  EXPECT_THAT(
      lines,
      ElementsAre(choice(R"({"role":"assistant","content":null,"reasoning_content":""})", "null"),
                  choice(R"({"content":null,"reasoning_content":"hm"})", "null"),
                  choice(R"({"content":"Hi","reasoning_content":null})", "null"),
                  choice(R"({"content":"","reasoning_content":null})", R"("stop")"),
                  head + R"(],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,)"
                         R"("prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2,)"
                         R"("prompt_tokens_details":{"cached_tokens":8},)"
                         R"("completion_tokens_details":{"reasoning_tokens":1}}})",
                  "[DONE]"));
}

TEST(OpenAiStream, WithoutReasoningThereIsOnlyContent) {
  StreamWriter writer(ChatHead(), false);
  const auto lines = writer.On(Content("a"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], HasSubstr(R"("delta":{"role":"assistant","content":""})"));
  EXPECT_THAT(lines[1], HasSubstr(R"("delta":{"content":"a"})"));
  EXPECT_THAT(lines[1], HasSubstr("\"usage\":null"));
  EXPECT_TRUE(writer.On(api::Finished{}).empty());
  EXPECT_THAT(writer.On(api::Done{kUsage})[0], HasSubstr(R"("delta":{"content":""})"));
}

TEST(OpenAiStream, EachChoiceGetsItsRoleOnceAndADeltaWithoutTextGetsNoChunk) {
  StreamWriter writer(ChatHead(), false);
  EXPECT_EQ(writer.On(Content("a", 0)).size(), 2u);
  EXPECT_EQ(writer.On(Content("b", 1)).size(), 2u);
  EXPECT_EQ(writer.On(Content("a", 0)).size(), 1u);
  EXPECT_EQ(writer.On(Content("", 1)).size(), 0u);
  EXPECT_EQ(writer.On(api::Finished{.choice = 2}).size(), 1u);  // the end itself waits
  EXPECT_EQ(writer.On(api::Finished{.choice = 1}).size(), 1u);
  const auto last = writer.On(api::Done{kUsage});
  ASSERT_EQ(last.size(), 2u);
  EXPECT_THAT(last[0], AllOf(HasSubstr("finish_reason"), HasSubstr("\"usage\":{")));
}

TEST(OpenAiStream, ACallsFirstPieceNamesItAndTheRestAreArguments) {
  StreamWriter writer(ChatHead(), false);
  api::ToolCallDelta first;
  first.first = true;
  first.id = "call_00_x";
  first.name = "f";
  EXPECT_THAT(writer.On(first)[1],
              HasSubstr(R"("delta":{"tool_calls":[{"index":0,"id":"call_00_x","type":"function",)"
                        R"("function":{"name":"f","arguments":""}}]})"));
  api::ToolCallDelta more;
  more.arguments = "{\"a\":";
  EXPECT_THAT(
      writer.On(more)[0],
      HasSubstr(R"("delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]})"));
  api::ToolCallDelta end;
  end.last = true;
  EXPECT_TRUE(writer.On(end).empty());
}

TEST(OpenAiStream, TextChunksHaveTextAndNoRole) {
  StreamWriter writer(TextHead(), false);
  EXPECT_THAT(writer.On(Content("a")),
              ElementsAre(R"({"id":"cmpl-1","object":"text_completion","created":1700000000,)"
                          R"("model":"demo","system_fingerprint":"fp","choices":[{"index":0,)"
                          R"("text":"a","logprobs":null,"finish_reason":null}],"usage":null})"));
  EXPECT_TRUE(writer.On(api::Finished{.choice = 0, .reason = api::FinishReason::kLength}).empty());
  EXPECT_THAT(writer.On(api::Done{kUsage})[0],
              HasSubstr(R"("text":"","logprobs":null,"finish_reason":"length")"));
}

TEST(OpenAiStream, HostileModelTextStaysOnePayloadOnOneLine) {
  const std::string text =
      "x\n\ndata: [DONE]\n\n\r\revent: \xe2\x80\xa8\xe2\x80\xa9\xc2\x85 \xff\xf0\x9f "
      "end\x0b\x0c\x1e";
  StreamWriter writer(TextHead(), false);
  const auto lines = writer.On(Content(text));
  ASSERT_EQ(lines.size(), 1u);
  for (const char* separator :
       {"\n", "\r", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xc2\x85", "\x0b", "\x0c", "\x1e"}) {
    EXPECT_THAT(lines[0], Not(HasSubstr(separator)));
  }
  const auto parsed = OrderedJson::parse(lines[0]);
  EXPECT_EQ(parsed["choices"][0]["text"],
            "x\n\ndata: [DONE]\n\n\r\revent: \xe2\x80\xa8\xe2\x80\xa9\xc2\x85 \xef\xbf\xbd\xef\xbf"
            "\xbd end\x0b\x0c\x1e");
}

TEST(OpenAiStream, AFailureIsAnErrorPayloadWithoutDone) {
  StreamWriter writer(ChatHead(), true);
  writer.On(Content("a"));
  EXPECT_THAT(writer.On(api::Failed{{ErrorCode::kUnavailable, "draining", {}}}),
              ElementsAre(R"({"error":{"message":"draining","type":"server_error","param":null,)"
                          R"("code":"unavailable"}})"));
}

TEST(OpenAiResponse, AChatCompletionHasEveryChoiceAndUsage) {
  ResponseCollector collector(ChatHead());
  collector.On(Reasoning("th"));
  collector.On(Reasoning("ink"));
  collector.On(Content("A"));
  collector.On(Content("B", 1));
  collector.On(api::Finished{.choice = 1, .reason = api::FinishReason::kLength});
  collector.On(api::Finished{.choice = 0, .reason = api::FinishReason::kStop});
  EXPECT_FALSE(collector.finished());
  collector.On(api::Done{kUsage});
  ASSERT_TRUE(collector.finished());
  EXPECT_EQ(collector.Body(),
            R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"demo",)"
            R"("system_fingerprint":"fp","choices":[{"index":0,"message":{"role":"assistant",)"
            R"("content":"A","reasoning_content":"think"},"logprobs":null,"finish_reason":"stop"},)"
            R"({"index":1,"message":{"role":"assistant","content":"B"},"logprobs":null,)"
            R"("finish_reason":"length"}],"usage":{"prompt_tokens":10,"completion_tokens":4,)"
            R"("total_tokens":14,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2,)"
            R"("prompt_tokens_details":{"cached_tokens":8},)"
            R"("completion_tokens_details":{"reasoning_tokens":1}}})");
}

TEST(OpenAiResponse, KeepsTheErrorOfAFailedRequest) {
  ResponseCollector collector(TextHead());
  collector.On(Content("half"));
  collector.On(api::Failed{{ErrorCode::kTimeout, "deadline", {}}});
  ASSERT_TRUE(collector.failure());
  EXPECT_EQ(collector.failure()->code, ErrorCode::kTimeout);
}

api::Delta WithLogprobs() {
  api::Delta delta = Content("é");
  delta.logprobs = {{.id = 1,
                     .bytes = "\xc3",
                     .logprob = -0.5f,
                     .top = {{1, -0.5f}, {2, -1.0f}},
                     .top_bytes = {"\xc3", "a"}},
                    {.id = 3,
                     .bytes = "\xa9",
                     .logprob = -std::numeric_limits<float>::infinity(),
                     .top = {},
                     .top_bytes = {}}};
  return delta;
}

TEST(OpenAiLogprobs, ChatHasExactBytesAndNoInfinity) {
  StreamWriter writer(ChatHead(true), false);
  const auto chunk = OrderedJson::parse(writer.On(WithLogprobs())[1]);
  const auto& content = chunk["choices"][0]["logprobs"]["content"];
  EXPECT_EQ(content[0].dump(),
            R"({"token":"�","logprob":-0.5,"bytes":[195],"top_logprobs":[{"token":"�",)"
            R"("logprob":-0.5,"bytes":[195]},{"token":"a","logprob":-1.0,"bytes":[97]}]})");
  EXPECT_EQ(content[1]["logprob"], -9999.0);
  EXPECT_EQ(content[1]["top_logprobs"].size(), 0u);
}

TEST(OpenAiLogprobs, ThoseOfReasoningAreKeptApart) {
  api::Delta delta = WithLogprobs();
  delta.in_reasoning = true;
  std::swap(delta.content, delta.reasoning);
  StreamWriter writer(ChatHead(true), false);
  const auto chunk = OrderedJson::parse(writer.On(delta)[1]);
  EXPECT_EQ(chunk["choices"][0]["logprobs"]["content"].size(), 0u);
  EXPECT_EQ(chunk["choices"][0]["logprobs"]["reasoning_content"].size(), 2u);
  ResponseCollector collector(ChatHead(true));
  collector.On(delta);
  collector.On(Content("x"));
  collector.On(api::Done{});
  const auto body = OrderedJson::parse(collector.Body());
  EXPECT_EQ(body["choices"][0]["logprobs"]["reasoning_content"].size(), 2u);
}

TEST(OpenAiLogprobs, TextArraysAreParallelAndOffsetsCountCharacters) {
  StreamWriter writer(TextHead(true), false);
  writer.On(Content("日本"));
  const auto chunk = OrderedJson::parse(writer.On(WithLogprobs())[0]);
  EXPECT_EQ(chunk["choices"][0]["logprobs"].dump(),
            R"({"tokens":["bytes:\\xc3","bytes:\\xa9"],"token_logprobs":[-0.5,-9999.0],)"
            R"("top_logprobs":[{"bytes:\\xc3":-0.5,"a":-1.0},{}],"text_offset":[2,3]})");
}

TEST(OpenAiError, NamesFieldCodeAndType) {
  EXPECT_EQ(ErrorJson({ErrorCode::kInvalidArgument, "n is 0", "n"}),
            R"({"error":{"message":"n is 0","type":"invalid_request_error","param":"n",)"
            R"("code":"invalid_value"}})");
  EXPECT_THAT(ErrorJson({ErrorCode::kNotFound, "m", "model"}), HasSubstr("\"model_not_found\""));
  EXPECT_THAT(ErrorJson({ErrorCode::kNotFound, "m", {}}), HasSubstr("\"not_found\""));
  EXPECT_THAT(ErrorJson({ErrorCode::kQueueFull, "m", {}}), HasSubstr("rate_limit_error"));
  EXPECT_THAT(ErrorJson({ErrorCode::kInternal, "\xff\n", {}}), HasSubstr("\\n"));
}

TEST(OpenAiModels, ListsTheCards) {
  const ModelCard card{
      .name = "demo", .architecture = "deepseek_v3", .context = 4096, .created = 7, .chat = true};
  EXPECT_EQ(ModelsBody({&card, 1}),
            R"({"object":"list","data":[{"id":"demo","object":"model","created":7,)"
            R"("owned_by":"hadal","context_length":4096,"architecture":"deepseek_v3",)"
            R"("chat":true}]})");
}

}  // namespace
}  // namespace hadal::server
