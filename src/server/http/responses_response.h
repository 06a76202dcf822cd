// Owns: api::Event -> the response object of OpenAI's Responses API and its stream of typed events.
// No HTTP. Streamed or whole, one machine builds the output items, so both say the same.
//
// Reasoning is an item with its text as content, each call an item, what is between them messages.
// An item that was cut by the end of the tokens is "incomplete", also a call, whose arguments are
// then the text that there is. There is no [DONE]: the last event is response.completed,
// response.incomplete or response.failed. Thread rule: one request's object by one thread at a
// time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/types.h"
#include "server/http/dialect.h"

namespace hadal::server {

struct ResponsesHead {
  std::string id;  // "resp_..."
  int64_t created = 0;
  std::string model;
  Json echo = Json::object();  // of the request
  bool stream = false;
  bool logprobs = false;
};

class ResponsesWriter final : public AnswerWriter {
 public:
  explicit ResponsesWriter(ResponsesHead head) : head_(std::move(head)) {}
  bool streams() const override { return head_.stream; }
  std::string_view content_type() const override {
    return head_.stream ? "text/event-stream; charset=utf-8" : "application/json";
  }
  std::string Begin(int64_t prompt_tokens) override;
  std::string On(api::Event event) override;
  std::string KeepAlive() const override { return head_.stream ? ": keep-alive\n\n" : ""; }
  std::string Body() const override;

 private:
  enum class Kind { kNone, kReasoning, kMessage, kCall };

  void Start();
  void Take(api::Delta& delta);
  void Take(api::ToolCallDelta& delta);
  void End(const api::Done& done);
  void Fail(const Error& error);

  void Open(Kind kind);
  void Leave(std::string_view status);
  void Close(std::string_view status);
  void AddText(const std::string& delta, Json logprobs);
  Json Part() const;                         // of a message or of reasoning, as far as it goes
  Json Item(std::string_view status) const;  // the open one, as far as it goes
  Json Place(bool in_part) const;            // item_id, output_index and content_index
  Json Response() const;
  void Emit(std::string_view type, Json fields);

  const ResponsesHead head_;
  std::string bytes_;  // of the events of one call
  int64_t sequence_ = 0;
  bool started_ = false;
  std::string_view status_ = "in_progress";
  Json output_ = Json::array();
  Kind kind_ = Kind::kNone;  // of the open item
  std::string item_id_, text_;
  api::ToolCall call_;
  Json logprobs_ = Json::array();
  api::FinishReason reason_ = api::FinishReason::kStop;
  std::optional<api::Done> done_;
  std::optional<Error> error_;
};

}  // namespace hadal::server
