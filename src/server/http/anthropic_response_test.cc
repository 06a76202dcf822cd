#include "server/http/anthropic_response.h"

#include <gmock/gmock.h>

#include <random>
#include <vector>

#include "net/sse.h"
#include "server/json_body.h"

namespace hadal::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

api::Delta Content(std::string text, std::string reasoning = {}) {
  api::Delta delta;
  delta.content = std::move(text);
  delta.reasoning = std::move(reasoning);
  delta.n_tokens = 1;
  return delta;
}
api::Delta Reasoning(std::string text) { return Content({}, std::move(text)); }
api::ToolCallDelta CallBegins(std::string id, std::string name) {
  api::ToolCallDelta call;
  call.first = true;
  call.id = std::move(id);
  call.name = std::move(name);
  return call;
}
api::ToolCallDelta CallGoesOn(std::string arguments, bool last = false) {
  api::ToolCallDelta call;
  call.last = last;
  call.arguments = std::move(arguments);
  return call;
}
const api::Usage kUsage{
    .prompt_tokens = 10, .completion_tokens = 4, .reasoning_tokens = 1, .cached_tokens = 8};

using Events = std::vector<api::Event>;

std::string Streamed(const Events& events, AnthropicHead head = {"msg_1", "demo"}) {
  const auto writer = NewAnthropicStream(std::move(head));
  std::string bytes = writer->Begin(10);
  for (const api::Event& event : events) bytes += writer->On(event);
  return bytes;
}
Json Whole(const Events& events, AnthropicHead head = {"msg_1", "demo"}) {
  const auto writer = NewAnthropicWhole(std::move(head));
  for (const api::Event& event : events) EXPECT_EQ(writer->On(event), "");
  return Json::parse(writer->Body());
}

// What a client makes of a stream; fails when the events are not in the order that clients expect.
class Client {
 public:
  void Read(const std::string& bytes) {
    SseParser parser(1 << 20);
    std::vector<SseMessage> events;
    ASSERT_TRUE(parser.Feed(bytes, &events));
    for (const SseMessage& event : events) {
      const Json json = Json::parse(event.data);
      ASSERT_EQ(json["type"], event.event);
      ASSERT_FALSE(stopped) << "after message_stop: " << event.data;
      Take(json);
      if (testing::Test::HasFatalFailure()) return;
    }
    EXPECT_FALSE(open_) << bytes;
  }

  Json message;
  bool stopped = false;

 private:
  void Take(const Json& event) {
    const std::string& type = event["type"].get_ref<const std::string&>();
    if (type == "message_start") {
      ASSERT_TRUE(message.is_null());
      message = event["message"];
    } else if (type == "content_block_start") {
      ASSERT_FALSE(open_);
      ASSERT_EQ(event["index"], message["content"].size());
      message["content"].push_back(event["content_block"]);
      open_ = true;
      json_.clear();
    } else if (type == "content_block_delta") {
      ASSERT_TRUE(open_);
      ASSERT_EQ(event["index"], message["content"].size() - 1);
      AddDelta(event["delta"]);
    } else if (type == "content_block_stop") {
      ASSERT_TRUE(open_);
      ASSERT_EQ(event["index"], message["content"].size() - 1);
      open_ = false;
      EndInput();
    } else if (type == "message_delta") {
      ASSERT_FALSE(open_);
      message.update(event["delta"]);
      message["usage"].update(event["usage"]);
      if (event.contains("truncation")) message["truncation"] = event["truncation"];
      ended_ = true;
    } else {
      ASSERT_EQ(type, "message_stop");
      ASSERT_TRUE(ended_);
      stopped = true;
    }
  }

  void AddDelta(const Json& delta) {
    Json& block = message["content"].back();
    if (delta["type"] == "text_delta") {
      ASSERT_EQ(block["type"], "text");
      block["text"] = block["text"].get<std::string>() + delta["text"].get<std::string>();
    } else if (delta["type"] == "thinking_delta") {
      ASSERT_EQ(block["type"], "thinking");
      block["thinking"] =
          block["thinking"].get<std::string>() + delta["thinking"].get<std::string>();
    } else if (delta["type"] == "signature_delta") {
      ASSERT_EQ(block["type"], "thinking");
      block["signature"] = delta["signature"];
    } else {
      ASSERT_EQ(delta["type"], "input_json_delta");
      ASSERT_EQ(block["type"], "tool_use");
      json_ += delta["partial_json"].get<std::string>();
    }
  }

  void EndInput() {
    Json& block = message["content"].back();
    if (block["type"] != "tool_use" || json_.empty()) return;
    const Json input = Json::parse(json_, nullptr, false);
    if (input.is_object()) {
      block["input"] = input;
    } else {
      block["partial_json"] = json_;
    }
  }

  bool open_ = false, ended_ = false;
  std::string json_;
};

TEST(AnthropicStream, ThinkingTextAndAToolAreBlocksOneAfterTheOther) {
  const std::string bytes =
      Streamed({Reasoning("hm"), Content("Hi"), CallBegins("call_1", "get"), CallGoesOn("{\"a\":"),
                CallGoesOn("1}", true), api::Finished{.reason = api::FinishReason::kToolCalls},
                api::Done{kUsage}});
  EXPECT_EQ(bytes,
            R"(event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"demo","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0,"output_tokens_details":{"thinking_tokens":0}}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":""}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"call_1","name":"get","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":2,"cache_creation_input_tokens":0,"cache_read_input_tokens":8,"output_tokens":4,"output_tokens_details":{"thinking_tokens":1}}}

event: message_stop
data: {"type":"message_stop"}

)");
}

TEST(AnthropicStream, OneEventWithReasoningAndContentGivesBothBlocks) {
  Client client;
  client.Read(Streamed({Content("b", "a"), api::Finished{}, api::Done{kUsage}}));
  ASSERT_EQ(client.message["content"].size(), 2u);
  EXPECT_EQ(client.message["content"][0]["thinking"], "a");
  EXPECT_EQ(client.message["content"][1]["text"], "b");
}

TEST(AnthropicStream, AnEmptyAnswerHasNoBlock) {
  const Events events = {Content(""), api::Finished{}, api::Done{kUsage}};
  Client client;
  client.Read(Streamed(events));
  EXPECT_TRUE(client.stopped);
  EXPECT_EQ(client.message["content"], Json::array());
  EXPECT_EQ(client.message, Whole(events));
}

TEST(AnthropicStream, AFailureIsAnErrorEventAndNothingLooksLikeTheEnd) {
  const std::string bytes = Streamed(
      {Content("Hi"), api::Failed{{ErrorCode::kUnavailable, "the server is stopping", {}}}});
  EXPECT_TRUE(bytes.ends_with(
      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
      "\"message\":\"the server is stopping\"}}\n\n"))
      << bytes;
  EXPECT_THAT(bytes, Not(HasSubstr("content_block_stop")));
  EXPECT_THAT(bytes, Not(HasSubstr("message_delta")));
  EXPECT_THAT(bytes, Not(HasSubstr("message_stop")));
}

TEST(AnthropicStream, SilenceIsFilledWithPings) {
  EXPECT_EQ(NewAnthropicStream({"msg_1", "demo"})->KeepAlive(),
            "event: ping\ndata: {\"type\":\"ping\"}\n\n");
  EXPECT_EQ(NewAnthropicWhole({"msg_1", "demo"})->KeepAlive(), "");
}

TEST(AnthropicStream, ModelTextCannotForgeAnEvent) {
  const std::string text =
      "a\n\nevent: message_stop\ndata: {}\n\n\r\n\xe2\x80\xa8\xe2\x80\xa9\xc2\x85:c";
  Client client;
  client.Read(Streamed({Content(text), api::Finished{}, api::Done{kUsage}}));
  EXPECT_EQ(client.message["content"][0]["text"], text);
}

TEST(AnthropicMessage, EveryFinishHasItsStopReason) {
  using enum api::FinishReason;
  struct Row {
    api::Finished finished;
    Json reason, sequence;
  };
  const std::vector<Row> rows = {
      {{.reason = kStop}, "end_turn", nullptr},
      {{.reason = kStop, .stop = "END"}, "stop_sequence", "END"},
      {{.reason = kLength}, "max_tokens", nullptr},
      {{.reason = kToolCalls}, "tool_use", nullptr},
  };
  for (const Row& row : rows) {
    const Events events = {Content("x"), row.finished, api::Done{kUsage}};
    const Json whole = Whole(events);
    EXPECT_EQ(whole["stop_reason"], row.reason);
    EXPECT_EQ(whole["stop_sequence"], row.sequence);
    Client client;
    client.Read(Streamed(events));
    EXPECT_EQ(client.message, whole);
  }
}

TEST(AnthropicMessage, HasUsageWithoutTheCachedPartAndWhatWasDropped) {
  const Events events = {Content("x"), api::Finished{},
                         api::Done{.usage = kUsage, .dropped = api::Dropped{3, 200}}};
  const Json whole = Whole(events);
  EXPECT_EQ(whole["id"], "msg_1");
  EXPECT_EQ(whole["type"], "message");
  EXPECT_EQ(whole["role"], "assistant");
  EXPECT_EQ(whole["model"], "demo");
  EXPECT_EQ(whole["usage"]["input_tokens"], 2);
  EXPECT_EQ(whole["usage"]["cache_read_input_tokens"], 8);
  EXPECT_EQ(whole["usage"]["cache_creation_input_tokens"], 0);
  EXPECT_EQ(whole["usage"]["output_tokens"], 4);
  EXPECT_EQ(whole["truncation"], Json({{"dropped_messages", 3}, {"dropped_tokens", 200}}));
  Client client;
  client.Read(Streamed(events));
  EXPECT_EQ(client.message["truncation"], whole["truncation"]);
}

TEST(AnthropicMessage, ArgumentsThatAreNoObjectAreKeptAsTheyAre) {
  const auto tool = [](const std::string& arguments) {
    return Whole({CallBegins("c", "f"), CallGoesOn(arguments), api::Finished{},
                  api::Done{kUsage}})["content"][0];
  };
  EXPECT_EQ(tool(R"({"b":1,"a":{"c":[]}})").dump(),
            R"({"type":"tool_use","id":"c","name":"f","input":{"b":1,"a":{"c":[]}}})");
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100'000; ++i) deep += '[';
  for (const std::string& cut : {std::string(R"({"a":"b)"), std::string("[1]"), deep}) {
    EXPECT_EQ(tool(cut)["input"], Json::object());
    EXPECT_EQ(tool(cut)["partial_json"], cut);
  }
  EXPECT_EQ(tool("").dump(), R"({"type":"tool_use","id":"c","name":"f","input":{}})");
}

TEST(AnthropicMessage, HiddenThinkingKeepsItsEmptyBlock) {
  const AnthropicHead head{"msg_1", "demo", /*hides_thinking=*/true};
  const Events events = {Reasoning("secret"), Content("x"), api::Finished{}, api::Done{kUsage}};
  const Json whole = Whole(events, head);
  EXPECT_EQ(whole["content"][0], Json({{"type", "thinking"}, {"thinking", ""}, {"signature", ""}}));
  const std::string bytes = Streamed(events, head);
  EXPECT_THAT(bytes, Not(HasSubstr("secret")));
  Client client;
  client.Read(bytes);
  EXPECT_EQ(client.message, whole);
}

TEST(AnthropicMessage, TheStreamJoinedIsTheWholeAnswerWhateverTheEvents) {
  std::mt19937 random(7);
  const auto below = [&](unsigned n) { return random() % n; };
  for (int round = 0; round < 2000; ++round) {
    Events events;
    for (unsigned left = below(8); left > 0; --left) {
      switch (below(4)) {
        case 0:
          events.push_back(Reasoning(below(3) ? "think " : ""));
          break;
        case 1:
          events.push_back(Content(below(3) ? "text\n" : ""));
          break;
        case 2:
          events.push_back(Content("b", "a"));
          break;
        default: {  // a call in pieces, some cut short, some with its end said
          events.push_back(CallBegins("c", "f"));
          const std::string arguments = below(3) ? R"({"a":[1,2]})" : R"({"a":[1)";
          const size_t cut = below(static_cast<unsigned>(arguments.size()));
          events.push_back(CallGoesOn(arguments.substr(0, cut)));
          events.push_back(CallGoesOn(arguments.substr(cut), below(2) == 0));
        }
      }
    }
    events.push_back(api::Finished{.reason = below(2) ? api::FinishReason::kStop
                                                      : api::FinishReason::kToolCalls});
    events.push_back(api::Done{kUsage});
    Client client;
    client.Read(Streamed(events));
    ASSERT_FALSE(HasFatalFailure()) << round;
    ASSERT_TRUE(client.stopped);
    ASSERT_EQ(client.message.dump(), Whole(events).dump()) << round;
  }
}

TEST(AnthropicError, EveryStatusHasItsType) {
  const auto type = [](ErrorCode code) {
    return Json::parse(AnthropicErrorBody({code, "no", {}}))["error"]["type"];
  };
  EXPECT_EQ(type(ErrorCode::kInvalidArgument), "invalid_request_error");
  EXPECT_EQ(type(ErrorCode::kMalformed), "invalid_request_error");
  EXPECT_EQ(type(ErrorCode::kMethodNotAllowed), "invalid_request_error");
  EXPECT_EQ(type(ErrorCode::kContextLengthExceeded), "invalid_request_error");
  EXPECT_EQ(type(ErrorCode::kUnauthenticated), "authentication_error");
  EXPECT_EQ(type(ErrorCode::kNotFound), "not_found_error");
  EXPECT_EQ(type(ErrorCode::kPayloadTooLarge), "request_too_large");
  EXPECT_EQ(type(ErrorCode::kQueueFull), "rate_limit_error");
  EXPECT_EQ(type(ErrorCode::kTimeout), "timeout_error");
  EXPECT_EQ(type(ErrorCode::kUnavailable), "overloaded_error");
  EXPECT_EQ(type(ErrorCode::kInternal), "api_error");
}

TEST(AnthropicError, TheMessageNamesTheFieldOnce) {
  EXPECT_EQ(
      AnthropicErrorBody({ErrorCode::kInvalidArgument, "top_k is 0.5", "top_k"}),
      R"({"type":"error","error":{"type":"invalid_request_error","message":"top_k is 0.5"}})");
  EXPECT_THAT(AnthropicErrorBody({ErrorCode::kInvalidArgument, "no such thing", "top_k"}),
              HasSubstr(R"("message":"top_k: no such thing")"));
  EXPECT_THAT(AnthropicErrorBody({ErrorCode::kContextLengthExceeded, "9 of 8 tokens", "messages"}),
              HasSubstr(R"("message":"prompt is too long: 9 of 8 tokens")"));
  EXPECT_THAT(
      AnthropicErrorBody({ErrorCode::kContextLengthExceeded, "max_tokens is 9", "max_tokens"}),
      HasSubstr(R"("message":"max_tokens is 9")"));
}

TEST(AnthropicModels, AreListedAsAnthropicDoes) {
  const std::vector<ModelCard> cards = {
      {.name = "demo", .architecture = {}, .context = 4096, .created = 1700000000}};
  EXPECT_EQ(AnthropicModelsBody(cards),
            R"({"data":[{"type":"model","id":"demo","display_name":"demo",)"
            R"("created_at":"2023-11-14T22:13:20Z","max_input_tokens":4096,"max_tokens":4096}],)"
            R"("has_more":false,"first_id":"demo","last_id":"demo"})");
  EXPECT_EQ(AnthropicModelsBody({}),
            R"({"data":[],"has_more":false,"first_id":null,"last_id":null})");
}

}  // namespace
}  // namespace hadal::server
