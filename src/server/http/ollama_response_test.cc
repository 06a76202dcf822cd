#include "server/http/ollama_response.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace hadal::server {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

// A clock that the test moves.
TimePoint g_now;
TimePoint TestNow() { return g_now; }
void Pass(int ms) { g_now += std::chrono::milliseconds(ms); }

OllamaHead Head(bool stream, OllamaRoute route = OllamaRoute::kChat, bool logprobs = false) {
  return {.model = "demo", .route = route, .stream = stream, .logprobs = logprobs};
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
  if (first) delta.id = "call_" + std::to_string(call), delta.name = "f" + std::to_string(call);
  delta.arguments = std::move(arguments);
  delta.n_tokens = 1;
  return delta;
}
api::Finished End(api::FinishReason reason = api::FinishReason::kStop) {
  return {.choice = 0, .reason = reason};
}
const api::Done kDone{
    {.prompt_tokens = 10, .completion_tokens = 4, .reasoning_tokens = 1, .cached_tokens = 8}};

// The objects of a stream.
std::vector<Json> Lines(const OllamaHead& head, const std::vector<api::Event>& events) {
  OllamaWriter writer(head, TestNow);
  EXPECT_EQ(writer.content_type(), "application/x-ndjson");
  EXPECT_EQ(writer.Begin(3), "");
  EXPECT_EQ(writer.KeepAlive(), "");
  std::string bytes;
  for (const api::Event& event : events) {
    Pass(100);
    bytes += writer.On(event);
  }
  std::vector<Json> lines;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = bytes.find('\n', at);
    EXPECT_NE(end, std::string::npos) << "a line without its end";
    lines.push_back(Json::parse(bytes.substr(at, end - at)));
    at = end + 1;
  }
  return lines;
}
Json Whole(const OllamaHead& head, const std::vector<api::Event>& events) {
  OllamaWriter writer(head, TestNow);
  EXPECT_EQ(writer.content_type(), "application/json");
  for (const api::Event& event : events) {
    Pass(100);
    EXPECT_EQ(writer.On(event), "");
  }
  return Json::parse(writer.Body());
}

// What a client makes of a stream.
Json Joined(const std::vector<Json>& lines, bool chat) {
  Json out = lines.back();
  std::string content, thinking;
  Json calls = Json::array(), logprobs = Json::array();
  for (const Json& line : lines) {
    const Json& part = chat ? line["message"] : line;
    content += part.value(chat ? "content" : "response", "");
    thinking += part.value("thinking", "");
    for (const Json& call : part.value("tool_calls", Json::array())) calls.push_back(call);
    for (const Json& entry : line.value("logprobs", Json::array())) logprobs.push_back(entry);
  }
  Json& part = chat ? out["message"] : out;
  part[chat ? "content" : "response"] = content;
  if (!thinking.empty()) part["thinking"] = thinking;
  if (!calls.empty()) part["tool_calls"] = calls;
  if (!logprobs.empty()) out["logprobs"] = logprobs;
  return out;
}
void ExpectSame(Json a, Json b) {
  for (Json* json : {&a, &b}) json->erase("created_at");
  // Members in another order are the same object.
  EXPECT_EQ(nlohmann::json::parse(a.dump()), nlohmann::json::parse(b.dump()));
}

TEST(OllamaWriter, AChatStreamIsThinkingContentAndALastLineWithCounts) {
  const auto lines = Lines(Head(true), {Reasoning("hm"), Content("Hi"), Content(" you"),
                                        api::Event(End()), api::Event(kDone)});
  ASSERT_EQ(lines.size(), 4u);
  for (const Json& line : lines) {
    EXPECT_EQ(line["model"], "demo");
    EXPECT_EQ(line["message"]["role"], "assistant");
    EXPECT_THAT(line["created_at"].get<std::string>(),
                MatchesRegex("20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{9}Z"));
  }
  EXPECT_EQ(lines[0]["message"],
            Json::parse(R"({"role":"assistant","content":"","thinking":"hm"})"));
  EXPECT_EQ(lines[1]["message"], Json::parse(R"({"role":"assistant","content":"Hi"})"));
  EXPECT_EQ(lines[1]["done"], false);
  EXPECT_FALSE(lines[1].contains("done_reason"));
  const Json& last = lines[3];
  EXPECT_EQ(last["done"], true);
  EXPECT_EQ(last["done_reason"], "stop");
  EXPECT_EQ(last["message"], Json::parse(R"({"role":"assistant","content":""})"));
  EXPECT_EQ(last["prompt_eval_count"], 10);
  EXPECT_EQ(last["eval_count"], 4);
  // Events came every 100 ms: three tokens, the end, done.
  EXPECT_EQ(last["prompt_eval_duration"], 100'000'000);
  EXPECT_EQ(last["eval_duration"], 200'000'000);
  EXPECT_EQ(last["total_duration"], 500'000'000);
  EXPECT_EQ(last["load_duration"], 0);
  EXPECT_FALSE(last.contains("cut_tool_calls"));
  EXPECT_FALSE(last.contains("truncation"));
}

TEST(OllamaWriter, AWholeAnswerIsTheJoinedStream) {
  const std::vector<api::Event> events = {Reasoning("h"),
                                          Reasoning("m"),
                                          Content("Hi"),
                                          Content(" you"),
                                          Call(0, true, false, ""),
                                          Call(0, false, true, R"({"a":1})"),
                                          Call(1, true, true, "{}"),
                                          End(api::FinishReason::kToolCalls),
                                          kDone};
  for (const auto route : {OllamaRoute::kChat, OllamaRoute::kGenerate}) {
    const auto lines = Lines(Head(true, route), events);
    ExpectSame(Whole(Head(false, route), events), Joined(lines, route == OllamaRoute::kChat));
  }
}

TEST(OllamaWriter, GenerateAnswersInResponseAndThinking) {
  const auto lines =
      Lines(Head(true, OllamaRoute::kGenerate),
            {Reasoning("hm"), Content("Hi"), End(api::FinishReason::kLength), kDone});
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["thinking"], "hm");
  EXPECT_EQ(lines[0]["response"], "");
  EXPECT_EQ(lines[1]["response"], "Hi");
  EXPECT_FALSE(lines[1].contains("message"));
  EXPECT_EQ(lines[2]["done_reason"], "length");
}

TEST(OllamaWriter, ACallComesOnceItIsWholeWithItsArgumentsAsAnObject) {
  OllamaWriter writer(Head(true), TestNow);
  EXPECT_EQ(writer.On(Call(0, true, false, "{\n \"z\"")), "");
  EXPECT_EQ(writer.On(Call(0, false, false, ":1,")), "");
  const std::string line = writer.On(Call(0, false, true, "\"a\":[\"x\"]}"));
  EXPECT_THAT(line, HasSubstr(R"("tool_calls":[{"id":"call_0","function":{"index":0,"name":"f0",)"
                              R"("arguments":{"z":1,"a":["x"]}}}])"));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  writer.On(End(api::FinishReason::kToolCalls));
  EXPECT_THAT(writer.On(kDone), HasSubstr(R"("done_reason":"stop")"));
}

TEST(OllamaWriter, ACutCallIsNoCallAndItsTextIsNotLost) {
  const std::vector<std::vector<api::Event>> answers = {
      {Call(0, true, true, R"({"a")", false), End(api::FinishReason::kLength), kDone},
      {Call(0, true, false, R"({"a")"), End(api::FinishReason::kLength), kDone},
  };
  for (const auto& events : answers) {
    const Json whole = Whole(Head(false), events);
    EXPECT_FALSE(whole["message"].contains("tool_calls"));
    EXPECT_EQ(whole["done_reason"], "length");
    EXPECT_EQ(whole["cut_tool_calls"], Json::parse(R"([{"name":"f0","arguments":"{\"a\""}])"));
    const auto lines = Lines(Head(true), events);
    ASSERT_EQ(lines.size(), 1u);
    ExpectSame(whole, lines[0]);
  }
}

TEST(OllamaWriter, ArgumentsNestedBeyondTheLimitAreNoCall) {
  const std::string deep = R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  const Json whole = Whole(Head(false), {Call(0, true, true, deep), End(), kDone});
  EXPECT_FALSE(whole["message"].contains("tool_calls"));
  EXPECT_EQ(whole["cut_tool_calls"][0]["arguments"], deep);
}

TEST(OllamaWriter, LogprobsStandBesideTheirTextInOrder) {
  api::Delta half = Reasoning("");  // half a character has a token and no text yet
  half.logprobs = {{.id = 1, .bytes = "\xc3", .logprob = -0.5f, .top = {}, .top_bytes = {}}};
  api::Delta rest = Content("a");
  rest.logprobs = {
      {.id = 2, .bytes = "a", .logprob = -1.0f, .top = {{2, -1.0f}}, .top_bytes = {"a"}}};
  const OllamaHead head = Head(true, OllamaRoute::kChat, true);
  const auto lines = Lines(head, {half, rest, End(), kDone});
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["logprobs"][0]["bytes"], Json::array({195}));
  EXPECT_EQ(lines[1]["logprobs"][0]["token"], "a");
  EXPECT_EQ(lines[1]["logprobs"][0]["top_logprobs"][0]["logprob"], -1.0);
  EXPECT_FALSE(lines[2].contains("logprobs"));
  ExpectSame(Whole(Head(false, OllamaRoute::kChat, true), {half, rest, End(), kDone}),
             Joined(lines, true));
  EXPECT_FALSE(Lines(Head(true), {rest, End(), kDone})[0].contains("logprobs"));
}

TEST(OllamaWriter, AnAnswerWithoutTextHasAnEndAndItsTimes) {
  const Json whole = Whole(Head(false), {End(), kDone});
  EXPECT_EQ(whole["message"], Json::parse(R"({"role":"assistant","content":""})"));
  EXPECT_EQ(whole["done"], true);
  EXPECT_EQ(whole["prompt_eval_duration"], whole["total_duration"]);
  EXPECT_GT(whole["eval_duration"], 0);  // clients divide by it
}

TEST(OllamaWriter, WhatWasLeftOutOfTheConversationIsSaid) {
  api::Done done = kDone;
  done.dropped = api::Dropped{.messages = 4, .tokens = 900};
  const auto lines = Lines(Head(true), {Content("a"), End(), done});
  EXPECT_EQ(lines[1]["truncation"], Json::parse(R"({"dropped_messages":4,"dropped_tokens":900})"));
  EXPECT_TRUE(Whole(Head(false), {Content("a"), End(), done}).contains("truncation"));
}

TEST(OllamaWriter, AFailureIsALineWithAnErrorAndNoEnd) {
  const auto lines =
      Lines(Head(true), {Content("a"), api::Failed{{ErrorCode::kUnavailable, "stopping", {}}}});
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1], Json::parse(R"({"error":"stopping"})"));
}

TEST(OllamaWriter, ModelTextStaysOnOneLineAndIsValidUtf8) {
  const std::string text = "a\n{\"done\":true}\r\n\xe2\x80\xa8\xc2\x85\xff\xe4\xb8";
  OllamaWriter writer(Head(true), TestNow);
  const std::string line = writer.On(Content(text));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_EQ(line.back(), '\n');
  EXPECT_THAT(line, Not(HasSubstr("\xe2\x80\xa8")));
  EXPECT_THAT(line, Not(HasSubstr("\xc2\x85")));
  EXPECT_EQ(Json::parse(line)["message"]["content"].get<std::string>().substr(0, 3), "a\n{");
}

TEST(OllamaError, IsOneSentence) {
  EXPECT_EQ(OllamaErrorBody({ErrorCode::kInvalidArgument, "n is\n0", "n"}),
            R"({"error":"n is\n0"})");
  EXPECT_EQ(OllamaErrorBody({ErrorCode::kInvalidArgument, "#/type is 7", "format"}),
            R"({"error":"format: #/type is 7"})");
  EXPECT_EQ(OllamaErrorBody({ErrorCode::kInternal, "lost", {}}), R"({"error":"lost"})");
  EXPECT_TRUE(Json::accept(OllamaErrorBody({ErrorCode::kInternal, "\xff\xfe", {}})));
}

TEST(OllamaTime, IsRfc3339WithNanoseconds) {
  using std::chrono::system_clock;
  const auto at = [](std::chrono::nanoseconds since) {
    return Rfc3339(
        system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(since)));
  };
  EXPECT_EQ(at(std::chrono::nanoseconds(0)), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(at(std::chrono::seconds(1709210096) + std::chrono::nanoseconds(7)),
            "2024-02-29T12:34:56.000000007Z");
}

}  // namespace
}  // namespace hadal::server
