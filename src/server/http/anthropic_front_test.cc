// Anthropic's Messages API over a real socket.
#include <gmock/gmock.h>

#include <string>
#include <thread>
#include <vector>

#include "server/http/testing/front_fixture.h"

namespace hadal::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr std::string_view kPath = "/v1/messages";
constexpr std::string_view kDeepSeekPath = "/anthropic/v1/messages";
constexpr std::string_view kCountPath = "/v1/messages/count_tokens";

class AnthropicFrontTest : public HttpFrontTest {
 protected:
  static std::string Body(std::string_view fields = {}) {
    return R"({"model":"demo","max_tokens":9,"messages":[{"role":"user","content":"hi"}])" +
           (fields.empty() ? std::string() : "," + std::string(fields)) + "}";
  }
  // The error of a response that must be one in Anthropic's shape.
  static Json ErrorOf(const HttpResponse& response) {
    const Json body = Json::parse(response.body, nullptr, false);
    EXPECT_TRUE(body.is_object()) << response.body;
    if (!body.is_object()) return {};
    EXPECT_EQ(body.size(), 2u) << response.body;
    EXPECT_EQ(body.value("type", ""), "error") << response.body;
    EXPECT_EQ(body["error"].size(), 2u) << response.body;
    EXPECT_TRUE(body["error"]["message"].is_string()) << response.body;
    return body["error"];
  }
  static std::vector<std::string> NamesOf(const std::vector<SseMessage>& events) {
    std::vector<std::string> names;
    for (const SseMessage& event : events) names.push_back(event.event);
    return names;
  }
};

TEST_F(AnthropicFrontTest, AnswersAMessageOnBothPaths) {
  AnswerWith(service, "Hello");
  StartFront();
  for (const std::string& path :
       {std::string(kPath), std::string(kDeepSeekPath), std::string(kPath) + "?beta=true"}) {
    const auto response = Post(path, Body());
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.headers.Get("Content-Type"), "application/json");
    const Json body = Json::parse(response.body);
    EXPECT_THAT(body["id"].get<std::string>(), MatchesRegex("msg_[0-9a-f-]{36}"));
    EXPECT_EQ(body["content"], Json::array({{{"type", "text"}, {"text", "Hello"}}}));
    EXPECT_EQ(body["stop_reason"], "end_turn");
    EXPECT_EQ(body["usage"]["input_tokens"], 1);
    EXPECT_EQ(body["usage"]["cache_read_input_tokens"], 4);
  }
  EXPECT_EQ(service.RequestOf(0).max_tokens, 9);
}

TEST_F(AnthropicFrontTest, StreamsNamedEventsAsTheyCome) {
  StartFront();
  std::thread model([&] {
    service.Emit(0, ContentDelta("He"));
    service.Emit(0, ContentDelta("llo"));
    service.Emit(0, api::Finished{.stop = "END"});
    service.Emit(0, DoneWith(5, 2, 4));
  });
  const auto response = Post(kPath, Body("\"stream\":true"));
  model.join();
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(std::string(response.headers.Get("Content-Type")), HasSubstr("text/event-stream"));
  const auto events = EventsOf(response.body);
  ASSERT_THAT(NamesOf(events), ElementsAre("message_start", "content_block_start",
                                           "content_block_delta", "content_block_delta",
                                           "content_block_stop", "message_delta", "message_stop"));
  EXPECT_EQ(Json::parse(events[0].data)["message"]["usage"]["input_tokens"], 5);
  EXPECT_EQ(Json::parse(events[3].data)["delta"]["text"], "llo");
  EXPECT_EQ(Json::parse(events[5].data)["delta"],
            Json({{"stop_reason", "stop_sequence"}, {"stop_sequence", "END"}}));
  EXPECT_EQ(Json::parse(events[5].data)["usage"]["input_tokens"], 1);
}

TEST_F(AnthropicFrontTest, AFailureAfterTheFirstEventIsAnErrorEvent) {
  StartFront();
  std::thread model([&] {
    service.Emit(0, ContentDelta("He"));
    service.Emit(0, api::Failed{{ErrorCode::kInternal, "broken", {}}});
  });
  const auto response = Post(kPath, Body("\"stream\":true"));
  model.join();
  const auto events = EventsOf(response.body);
  EXPECT_THAT(NamesOf(events),
              ElementsAre("message_start", "content_block_start", "content_block_delta", "error"));
  EXPECT_EQ(Json::parse(events.back().data),
            Json::parse(R"({"type":"error","error":{"type":"api_error","message":"broken"}})"));
}

TEST_F(AnthropicFrontTest, SilenceIsFilledWithPings) {
  options.stream.keep_alive = std::chrono::milliseconds(1);
  StartFront();
  std::string body;
  bool answered = false;
  const auto response = Call("POST", kPath, Body("\"stream\":true"), {},
                             [&](const HttpResponse&, std::string_view bytes) {
                               body += bytes;
                               if (!answered && body.find("event: ping\n") != body.npos) {
                                 answered = true;
                                 service.Emit(0, ContentDelta("after"));
                                 service.Emit(0, DoneWith(1, 1, 0));
                               }
                               return true;
                             });
  ASSERT_TRUE(response);
  EXPECT_TRUE(answered);
  EXPECT_EQ(EventsOf(body).back().event, "message_stop");
}

TEST_F(AnthropicFrontTest, CountsTokensAsTheMessageWouldHaveThem) {
  StartFront();
  for (const std::string path :
       {"/v1/messages/count_tokens", "/anthropic/v1/messages/count_tokens"}) {
    const auto response =
        Post(path, R"({"model":"demo","system":"s","messages":[{"role":"user","content":"x"}]})");
    EXPECT_EQ(response.body, R"({"input_tokens":3})");
  }
  ASSERT_EQ(service.rendered.size(), 2u);
  const auto& chat = std::get<api::ChatPrompt>(service.rendered[0].prompt);
  EXPECT_EQ(chat.messages.size(), 2u);
  EXPECT_EQ(chat.thinking, false);
}

TEST_F(AnthropicFrontTest, ListsModels) {
  StartFront();
  const Json list = Json::parse(Get("/anthropic/v1/models").body);
  EXPECT_EQ(list["data"][0]["id"], "demo");
  EXPECT_EQ(list["data"][0]["created_at"], "1970-01-01T00:00:07Z");
  EXPECT_EQ(Json::parse(Get("/anthropic/v1/models/demo").body), list["data"][0]);
  EXPECT_EQ(ErrorOf(Get("/anthropic/v1/models/other"))["type"], "not_found_error");
}

TEST_F(AnthropicFrontTest, EveryErrorHasAnthropicsShapeAndNamesTheField) {
  options.server.limits.body_bytes = 1 << 20;
  StartFront();
  struct Row {
    std::string path, body;
    int status;
    std::string type, says;
  };
  const std::string path(kPath), count(kCountPath), invalid = "invalid_request_error";
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
  const std::vector<Row> rows = {
      {path, "", 400, invalid, "the body is empty"},
      {path, "[]", 400, invalid, "must be an object"},
      {path, "{\"system\":" + deep, 400, invalid, "system"},
      {path, R"({"model":"demo","model":"demo"})", 400, invalid, "model"},
      {path, "{\"system\":\"\xff\"}", 400, invalid, "system"},
      {path, Body("\"temperature\":2"), 400, invalid, "temperature is 2; it must be a number"},
      {path, Body("\"top_k\":-1"), 400, invalid, "top_k"},
      {path, R"({"model":"demo","messages":[{"role":"user","content":"x"}]})", 400, invalid,
       "max_tokens is missing"},
      {path, R"({"model":"gpt","max_tokens":1,"messages":[]})", 404, "not_found_error", "gpt"},
      {path, "{\"x\":\"" + std::string(2 << 20, 'x') + "\"}", 413, "request_too_large", ""},
      {path + "/batches", "{}", 404, "not_found_error", ""},
      {"/anthropic/v1/complete", "{}", 404, "not_found_error", ""},
      {"/anthropic/v1/models", "{}", 405, invalid, "GET"},
      {count, R"({"model":"demo"})", 400, invalid, "messages is missing"},
      {count, R"({"model":"demo","messages":[{"role":"user","content":[{"type":"image"}]}]})", 400,
       invalid, "messages[0].content[0].type"},
  };
  for (const Row& row : rows) {
    const auto response = Post(row.path, row.body);
    const std::string what = row.path + " " + row.body.substr(0, 60);
    EXPECT_EQ(response.status, row.status) << what;
    const Json error = ErrorOf(response);
    EXPECT_EQ(error["type"], row.type) << what;
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(row.says)) << what;
    EXPECT_LT(response.body.size(), 600u) << what;
  }
  EXPECT_EQ(ErrorOf(Post(kPath, Body(), {{"Content-Type", "text/plain"}}))["type"], invalid);
  EXPECT_EQ(service.submitted(), 0u);
  EXPECT_EQ(Get("/health").status, 200);
}

TEST_F(AnthropicFrontTest, AKeyIsNeededInEitherHeader) {
  options.keys = *ApiKeys::Create({{.key = std::string(kTestKey)}});
  AnswerWith(service, "ok");
  StartFront();
  const auto refused = Post(kPath, Body());
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(ErrorOf(refused)["type"], "authentication_error");
  EXPECT_EQ(Post(kPath, Body(), {{"x-api-key", std::string(kTestKey)}}).status, 200);
  EXPECT_EQ(Post(kPath, Body(), {{"Authorization", "Bearer " + std::string(kTestKey)}}).status,
            200);
  for (const char* path : {"/v1/messages/count_tokens", "/anthropic/v1/messages"}) {
    EXPECT_EQ(Post(path, Body()).status, 401) << path;
  }
}

TEST_F(AnthropicFrontTest, RefusalsOfTheServiceAreInTheClientsWords) {
  service.refusal =
      Error{ErrorCode::kInvalidArgument, "messages[2].tool_call_id is \"b\"; there is no such call",
            "messages[2].tool_call_id"};
  StartFront();
  const std::string body =
      R"({"model":"demo","max_tokens":9,"messages":[{"role":"user","content":"x"},)"
      R"({"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},)"
      R"({"role":"user","content":[{"type":"text","text":"x"},)"
      R"({"type":"tool_result","tool_use_id":"b"}]}]})";
  for (const auto path : {kPath, kCountPath}) {
    const auto response = Post(path, body);
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(ErrorOf(response)["message"],
              "messages[2].content[1].tool_use_id is \"b\"; there is no such call");
  }
}

TEST_F(AnthropicFrontTest, APromptBeyondTheContextIsA400WithBothCounts) {
  service.refusal = Error{ErrorCode::kContextLengthExceeded,
                          "the prompt has 9000 tokens and the context is 4096 tokens", "messages"};
  StartFront();
  const auto response = Post(kPath, Body("\"stream\":true"));
  EXPECT_EQ(response.status, 400);
  const Json error = ErrorOf(response);
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(error["message"],
            "prompt is too long: the prompt has 9000 tokens and the context is 4096 tokens");
}

TEST_F(AnthropicFrontTest, AFullQueueIsA429WithRetryAfter) {
  service.refusal = Error{ErrorCode::kQueueFull, "the queue is full", {}};
  StartFront();
  const auto response = Post(kPath, Body());
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.Get("Retry-After"), "7");
  EXPECT_EQ(ErrorOf(response)["type"], "rate_limit_error");
}

TEST_F(AnthropicFrontTest, UnknownFieldsAreRefusedWhenTheSettingSaysSo) {
  options.refuse_unknown_fields = true;
  StartFront();
  EXPECT_EQ(ErrorOf(Post(kPath, Body("\"context_management\":{}")))["type"],
            "invalid_request_error");
}

}  // namespace
}  // namespace hadal::server
