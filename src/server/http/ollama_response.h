// Owns: api::Event -> Ollama's answers, as newline-delimited JSON or as one object; its error body
// and its time stamps. No HTTP.
//
// A function call is delivered once it is whole, its arguments as an object, as Ollama does; the
// answer then ends with "stop". A call whose arguments are not a whole JSON object (the tokens ran
// out) is no call that anyone could make: it is left out of tool_calls and stands, as the text that
// there is, in `cut_tool_calls` of the last object. `truncation` there says what was left out of
// the conversation. Both are Hadal's own members, there only when they say something.
//
// A silent stream stays silent: a line must be JSON to these clients, and any JSON is a piece of
// the answer to them, so there is no KeepAlive. After an error line nothing follows: no "done".
// Thread rule: one request's object by one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/types.h"
#include "base/clock.h"
#include "server/http/dialect.h"
#include "server/http/ollama_request.h"

namespace hadal::server {

struct OllamaHead {
  std::string model;
  OllamaRoute route = OllamaRoute::kChat;
  bool stream = true;
  bool logprobs = false;
};

class OllamaWriter final : public AnswerWriter {
 public:
  explicit OllamaWriter(OllamaHead head, TimePoint (*now)() = Now);
  bool streams() const override { return head_.stream; }
  std::string_view content_type() const override {
    return head_.stream ? "application/x-ndjson" : "application/json";
  }
  std::string On(api::Event event) override;
  std::string Body() const override { return body_; }

 private:
  // What one object says of the answer.
  struct Part {
    std::string content, thinking;
    Json calls = Json::array(), logprobs = Json::array();
    bool empty() const {
      return content.empty() && thinking.empty() && calls.empty() && logprobs.empty();
    }
  };
  Part PartOf(api::Delta& delta) const;
  Part PartOf(api::ToolCallDelta& delta);
  void Cut();  // the open call will not become whole
  std::string Take(Part part, int n_tokens);
  Json Object(Part part, bool done) const;
  std::string End(const api::Done& done);

  const OllamaHead head_;
  TimePoint (*const now_)();
  const TimePoint created_;
  TimePoint first_token_, last_token_;
  bool has_token_ = false;
  Part whole_;                         // not streams()
  std::optional<api::ToolCall> open_;  // a call whose end has not come
  Json cut_ = Json::array();
  api::FinishReason reason_ = api::FinishReason::kStop;
  std::string body_;
};

// One sentence, which names the field: there is no other place for it.
std::string OllamaErrorBody(const Error& error);
// "2026-10-31T16:37:14.123456789Z"
std::string Rfc3339(std::chrono::system_clock::time_point time);

}  // namespace hadal::server
