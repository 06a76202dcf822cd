// OpenAI's Responses API over a real socket.
#include <gmock/gmock.h>

#include <thread>
#include <vector>

#include "server/http/testing/front_fixture.h"

namespace hadal::server {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr const char* kPath = "/v1/responses";
constexpr const char* kBody = R"({"model":"demo","input":"hi"})";

class ResponsesFrontTest : public HttpFrontTest {};

TEST_F(ResponsesFrontTest, AnswersWithAResponseOnBothPaths) {
  AnswerWith(service, "Hello");
  StartFront();
  for (const char* path : {kPath, "/responses"}) {
    const auto response = Post(path, kBody);
    EXPECT_EQ(response.status, 200);
    const Json body = Json::parse(response.body);
    EXPECT_EQ(body["object"], "response");
    EXPECT_EQ(body["status"], "completed");
    EXPECT_THAT(body["id"].get<std::string>(), MatchesRegex("resp_[0-9a-f-]{36}"));
    EXPECT_EQ(body["output"][0]["content"][0]["text"], "Hello");
    EXPECT_EQ(body["usage"]["input_tokens_details"]["cached_tokens"], 4);
    EXPECT_EQ(body["store"], false);
  }
}

TEST_F(ResponsesFrontTest, StreamsTypedEventsWithoutDone) {
  AnswerWith(service, "Hello");
  StartFront();
  const auto response = Post(kPath, R"({"model":"demo","input":"hi","stream":true})");
  EXPECT_THAT(std::string(response.headers.Get("Content-Type")), HasSubstr("text/event-stream"));
  const auto events = EventsOf(response.body);
  ASSERT_EQ(events.size(), 9u);
  EXPECT_EQ(events.front().event, "response.created");
  EXPECT_EQ(events[4].event, "response.output_text.delta");
  EXPECT_EQ(events.back().event, "response.completed");
}

TEST_F(ResponsesFrontTest, ErrorsAreOpenAisAndNameTheClientsField) {
  StartFront();
  const auto error = [&](const std::string& body, int status) {
    const auto response = Post(kPath, body);
    EXPECT_EQ(response.status, status);
    return Json::parse(response.body)["error"];
  };
  EXPECT_EQ(error(R"({"model":"demo","input":"a","previous_response_id":"r"})", 400)["param"],
            "previous_response_id");
  EXPECT_EQ(error(R"({"model":"x","input":"a"})", 404)["code"], "model_not_found");
  EXPECT_EQ(service.submitted(), 0u);
}

TEST_F(ResponsesFrontTest, RefusalsOfTheServiceAreAboutTheClientsItems) {
  service.refusal = Error{ErrorCode::kContextLengthExceeded,
                          "max_tokens is 9; max_tokens must be at most 5", "max_tokens"};
  StartFront();
  const Json error = Json::parse(Post(kPath, kBody).body)["error"];
  EXPECT_EQ(error["param"], "max_output_tokens");
  EXPECT_EQ(error["message"], "max_output_tokens is 9; max_output_tokens must be at most 5");
  EXPECT_EQ(error["code"], "context_length_exceeded");
}

TEST_F(ResponsesFrontTest, AStreamThatBreaksEndsWithResponseFailed) {
  StartFront();
  std::thread model([&] {
    service.Emit(0, ContentDelta("He"));
    service.Emit(0, api::Failed{{ErrorCode::kInternal, "broken", {}}});
  });
  const auto response = Post(kPath, R"({"model":"demo","input":"hi","stream":true})");
  model.join();
  const auto events = EventsOf(response.body);
  EXPECT_EQ(events.back().event, "response.failed");
  EXPECT_EQ(Json::parse(events.back().data)["response"]["error"]["message"], "broken");
}

}  // namespace
}  // namespace hadal::server
