#include "server/http/responses_response.h"

#include <gmock/gmock.h>

#include <map>
#include <string>
#include <vector>

#include "net/sse.h"

namespace hadal::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

ResponsesHead Head(bool stream, bool logprobs = false) {
  return {.id = "resp_1",
          .created = 1700000000,
          .model = "demo",
          .echo = Json::parse(R"({"store":false,"temperature":1.0})"),
          .stream = stream,
          .logprobs = logprobs};
}
api::Delta Content(std::string text) {
  api::Delta delta;
  delta.content = std::move(text);
  delta.n_tokens = 1;
  return delta;
}
api::Delta Reasoning(std::string text) {
  api::Delta delta;
  delta.reasoning = std::move(text);
  delta.n_tokens = 1;
  delta.in_reasoning = true;
  return delta;
}
api::ToolCallDelta Call(int call, bool first, bool last, std::string arguments,
                        bool complete = true) {
  api::ToolCallDelta delta;
  delta.call = call;
  delta.first = first;
  delta.last = last;
  delta.complete = last && complete;
  if (first) delta.id = "call_" + std::to_string(call), delta.name = "f";
  delta.arguments = std::move(arguments);
  return delta;
}
api::Finished End(api::FinishReason reason = api::FinishReason::kStop) {
  return {.choice = 0, .reason = reason};
}
const api::Done kDone{
    {.prompt_tokens = 10, .completion_tokens = 4, .reasoning_tokens = 1, .cached_tokens = 8}};

// Ids are random: the n-th id is written "#n".
Json WithoutIds(const Json& json) {
  std::string text = json.dump();
  std::map<std::string, std::string> names;
  for (const std::string prefix : {"\"rs_", "\"msg_", "\"fc_"}) {
    for (size_t at = 0; (at = text.find(prefix, at)) != std::string::npos; ++at) {
      const std::string id = text.substr(at + 1, text.find('"', at + 1) - at - 1);
      const auto name = names.try_emplace(id, "#" + std::to_string(names.size())).first->second;
      text.replace(at + 1, id.size(), name);
    }
  }
  Json out = Json::parse(text);
  if (out.is_object()) out.erase("completed_at");
  return out;
}

std::vector<Json> Stream(const ResponsesHead& head, const std::vector<api::Event>& events) {
  ResponsesWriter writer(head);
  EXPECT_TRUE(writer.streams());
  EXPECT_EQ(writer.content_type(), "text/event-stream; charset=utf-8");
  std::string bytes = writer.Begin(10);
  for (const api::Event& event : events) bytes += writer.On(event);
  SseParser parser(1 << 20);
  std::vector<SseMessage> messages;
  EXPECT_TRUE(parser.Feed(bytes, &messages));
  std::vector<Json> out;
  for (const SseMessage& message : messages) {
    out.push_back(Json::parse(message.data));
    EXPECT_EQ(out.back()["type"], message.event);
    EXPECT_EQ(out.back()["sequence_number"], out.size() - 1);
  }
  return out;
}
std::vector<std::string> Types(const std::vector<Json>& events) {
  std::vector<std::string> out;
  for (const Json& event : events) {
    std::string type = event["type"];
    EXPECT_TRUE(type.starts_with("response."));
    out.push_back(type.substr(9));
  }
  return out;
}
Json Whole(const ResponsesHead& head, const std::vector<api::Event>& events) {
  ResponsesWriter writer(head);
  EXPECT_EQ(writer.content_type(), "application/json");
  EXPECT_EQ(writer.KeepAlive(), "");
  EXPECT_EQ(writer.Begin(10), "");
  for (const api::Event& event : events) EXPECT_EQ(writer.On(event), "");
  return Json::parse(writer.Body());
}

// What a client builds of the events before the last.
Json Accumulated(const std::vector<Json>& events) {
  Json output = Json::array();
  for (const Json& event : events) {
    const std::string type = event["type"];
    const auto item = [&]() -> Json& { return output.at(event["output_index"].get<size_t>()); };
    if (type == "response.output_item.added") output.push_back(event["item"]);
    if (type == "response.content_part.added") item()["content"].push_back(event["part"]);
    if (type == "response.output_text.delta" || type == "response.reasoning_text.delta") {
      Json& text = item()["content"].at(event["content_index"].get<size_t>())["text"];
      text = text.get<std::string>() + event["delta"].get<std::string>();
      EXPECT_EQ(event["item_id"], item()["id"]);
    }
    if (type == "response.function_call_arguments.delta") {
      Json& text = item()["arguments"];
      text = text.get<std::string>() + event["delta"].get<std::string>();
    }
    if (type == "response.output_text.done" || type == "response.reasoning_text.done") {
      EXPECT_EQ(event["text"], item()["content"][0]["text"]);
    }
    if (type == "response.function_call_arguments.done") {
      EXPECT_EQ(event["arguments"], item()["arguments"]);
      EXPECT_EQ(event["name"], item()["name"]);
    }
    if (type == "response.content_part.done") {
      EXPECT_EQ(event["part"]["text"], item()["content"][0]["text"]);
    }
    if (type == "response.output_item.done") {
      Json built = item();
      built["status"] = event["item"]["status"];
      if (!built.contains("content") || built["content"][0]["type"] != "output_text") {
        EXPECT_EQ(built, event["item"]);
      }
      item() = event["item"];
    }
  }
  return output;
}

TEST(ResponsesStream, HasEveryEventInOrder) {
  const auto events =
      Stream(Head(true), {Reasoning("h"), Reasoning("m"), Content("Hi"), Call(0, true, false, ""),
                          Call(0, false, true, "{}"), End(api::FinishReason::kToolCalls), kDone});
  EXPECT_THAT(Types(events),
              ElementsAre("created", "in_progress", "output_item.added", "content_part.added",
                          "reasoning_text.delta", "reasoning_text.delta", "reasoning_text.done",
                          "content_part.done", "output_item.done", "output_item.added",
                          "content_part.added", "output_text.delta", "output_text.done",
                          "content_part.done", "output_item.done", "output_item.added",
                          "function_call_arguments.delta", "function_call_arguments.done",
                          "output_item.done", "completed"));
  EXPECT_EQ(events[0]["response"]["status"], "in_progress");
  EXPECT_EQ(events[0]["response"]["id"], "resp_1");
  EXPECT_EQ(events[0]["response"]["output"], Json::array());
  EXPECT_TRUE(events[0]["response"]["usage"].is_null());
  EXPECT_EQ(events[0]["response"]["temperature"], 1.0);
  EXPECT_EQ(events[2]["item"]["content"], Json::array());
  EXPECT_EQ(events[4]["delta"], "h");
  EXPECT_EQ(events[11]["output_index"], 1);
  EXPECT_EQ(events[11]["logprobs"], Json::array());
  EXPECT_EQ(events[15]["item"]["call_id"], "call_0");
  EXPECT_EQ(events[15]["item"]["arguments"], "");
  EXPECT_EQ(events[19]["response"]["status"], "completed");
  EXPECT_EQ(events[19]["response"]["output"].size(), 3u);
}

TEST(ResponsesStream, AWholeAnswerIsTheStreamsLastAndWhatAClientBuilds) {
  const std::vector<std::vector<api::Event>> answers = {
      {Reasoning("h"), Reasoning("m"), Content("Hi"), Content(" you"), End(), kDone},
      {Content("a"), Call(0, true, false, "{\"x\""), Call(0, false, true, ":1}"),
       Call(1, true, true, "{}"), Content("b"), End(api::FinishReason::kToolCalls), kDone},
      {Reasoning("h"), End(api::FinishReason::kLength), kDone},
      {Call(0, true, true, "{\"x\"", false), End(api::FinishReason::kLength), kDone},
      {Call(0, true, false, "{\"x\""), End(api::FinishReason::kLength), kDone},
      {End(), kDone},
  };
  for (const auto& answer : answers) {
    const auto events = Stream(Head(true), answer);
    const Json last = events.back()["response"];
    EXPECT_EQ(WithoutIds(last), WithoutIds(Whole(Head(false), answer)));
    EXPECT_EQ(Accumulated(events), last["output"]);
  }
}

TEST(ResponsesWhole, HasItemsUsageAndStatus) {
  const Json body = WithoutIds(Whole(Head(false), {Reasoning("hm"), Content("Hi"), End(), kDone}));
  EXPECT_EQ(body.dump(),
            R"({"id":"resp_1","object":"response","created_at":1700000000,"status":"completed",)"
            R"("error":null,"incomplete_details":null,"model":"demo","output":[)"
            R"({"id":"#0","type":"reasoning","status":"completed","summary":[],"content":[)"
            R"({"type":"reasoning_text","text":"hm"}]},)"
            R"({"id":"#1","type":"message","status":"completed","role":"assistant","content":[)"
            R"({"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}]}],)"
            R"("usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":8},)"
            R"("output_tokens":4,"output_tokens_details":{"reasoning_tokens":1},)"
            R"("total_tokens":14},"store":false,"temperature":1.0})");
  const Json again = Whole(Head(false), {Reasoning("hm"), Content("Hi"), End(), kDone});
  EXPECT_THAT(again["output"][0]["id"].get<std::string>(), MatchesRegex("rs_[0-9a-f-]{36}"));
  EXPECT_THAT(again["output"][1]["id"].get<std::string>(), MatchesRegex("msg_[0-9a-f-]{36}"));
  EXPECT_GT(again["completed_at"], 1700000000);
}

TEST(ResponsesWhole, TokensThatRanOutAreIncomplete) {
  const auto events = Stream(Head(true), {Content("a"), End(api::FinishReason::kLength), kDone});
  EXPECT_EQ(events.back()["type"], "response.incomplete");
  const Json& response = events.back()["response"];
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(response["output"][0]["status"], "incomplete");
  EXPECT_FALSE(response.contains("completed_at"));
}

TEST(ResponsesWhole, ACutCallIsIncompleteWithTheTextThatThereIs) {
  const Json body =
      Whole(Head(false), {Call(0, true, false, "{\"a\":"), End(api::FinishReason::kLength), kDone});
  EXPECT_EQ(body["output"][0]["status"], "incomplete");
  EXPECT_EQ(body["output"][0]["arguments"], "{\"a\":");
}

TEST(ResponsesWhole, LogprobsStandInTheTextPart) {
  api::Delta delta = Content("a");
  delta.logprobs = {
      {.id = 1, .bytes = "a", .logprob = -0.5f, .top = {{1, -0.5f}}, .top_bytes = {"a"}}};
  const auto events = Stream(Head(true, true), {delta, Content(""), End(), kDone});
  EXPECT_EQ(events[4]["logprobs"][0]["token"], "a");
  const Json part = events.back()["response"]["output"][0]["content"][0];
  EXPECT_EQ(part["logprobs"].size(), 1u);
  EXPECT_EQ(part["logprobs"][0]["top_logprobs"][0]["logprob"], -0.5);
  EXPECT_EQ(Stream(Head(true), {delta, End(), kDone})[4]["logprobs"], Json::array());
  delta.in_reasoning = true;
  std::swap(delta.content, delta.reasoning);
  EXPECT_FALSE(Stream(Head(true, true), {delta, End(), kDone})[4].contains("logprobs"));
}

TEST(ResponsesWhole, WhatWasLeftOutOfTheInputIsSaid) {
  api::Done done = kDone;
  done.dropped = api::Dropped{.messages = 4, .tokens = 900};
  EXPECT_EQ(Whole(Head(false), {Content("a"), End(), done})["truncation_details"],
            Json::parse(R"({"dropped_messages":4,"dropped_tokens":900})"));
}

TEST(ResponsesStream, AFailureIsResponseFailedWithWhatThereIs) {
  const api::Failed failed{{ErrorCode::kUnavailable, "stopping", {}}};
  const auto events = Stream(Head(true), {Content("a"), failed});
  const Json& last = events.back();
  EXPECT_EQ(last["type"], "response.failed");
  EXPECT_EQ(last["response"]["status"], "failed");
  EXPECT_EQ(last["response"]["error"],
            Json::parse(R"({"code":"unavailable","message":"stopping"})"));
  EXPECT_EQ(last["response"]["output"][0]["status"], "incomplete");
  EXPECT_EQ(last["response"]["output"][0]["content"][0]["text"], "a");
  // A failure before the beginning still begins, because clients need the response first.
  ResponsesWriter early(Head(true));
  const std::string bytes = early.On(failed);
  EXPECT_THAT(bytes, HasSubstr("event: response.created\n"));
  EXPECT_THAT(bytes, HasSubstr("event: response.failed\n"));
}

TEST(ResponsesStream, ModelTextCannotForgeAnEvent) {
  const std::string text = "a\n\nevent: response.completed\ndata: {}\n\n\r\xe2\x80\xa8\xff";
  ResponsesWriter writer(Head(true));
  const std::string bytes =
      writer.Begin(1) + writer.On(Content(text)) + writer.On(End()) + writer.On(kDone);
  SseParser parser(1 << 20);
  std::vector<SseMessage> messages;
  ASSERT_TRUE(parser.Feed(bytes, &messages));
  EXPECT_EQ(messages.size(), 9u);
  EXPECT_THAT(bytes, Not(HasSubstr("\xe2\x80\xa8")));
  EXPECT_THAT(bytes, Not(HasSubstr("[DONE]")));
  EXPECT_EQ(Json::parse(messages[4].data)["delta"].get<std::string>().substr(0, 9), "a\n\nevent:");
}

}  // namespace
}  // namespace hadal::server
