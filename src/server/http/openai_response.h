// Owns: api::Event -> the JSON of OpenAI's chat and text completions, whole or as stream chunks;
// the error body; the list of models. No HTTP, no SSE framing: one string is one payload. Every
// payload is one line whatever the model wrote: line ends are escaped by JSON, and U+2028, U+2029
// and U+0085, at which some clients' line readers split too, are escaped as \u. Thread rule: one
// request's object by one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/types.h"
#include "base/error.h"
#include "server/http/openai_logprobs.h"
#include "server/http/openai_request.h"
#include "service/chat_service.h"

namespace hadal::server {

struct ResponseHead {
  std::string id;  // "chatcmpl-..." or "cmpl-..."
  int64_t created = 0;
  std::string model;
  std::string fingerprint;
  OpenAiRoute route = OpenAiRoute::kChat;
  bool logprobs = false;
};

// The payloads of one stream.
class StreamWriter {
 public:
  StreamWriter(ResponseHead head, bool include_usage)
      : head_(std::move(head)), include_usage_(include_usage) {}
  // In order. After Done the last one is "[DONE]"; after Failed the last one is the error and there
  // is no "[DONE]", so that no client takes a broken answer for a whole one.
  std::vector<std::string> On(const api::Event& event);

 private:
  struct Choice {
    bool role_sent = false;
    bool thinks = false;
    int64_t characters = 0;
  };
  OrderedJson Chunk(OrderedJson choices) const;
  OrderedJson ChatChoice(const api::Delta& delta);
  OrderedJson TextChoice(const api::Delta& delta);
  OrderedJson CallChunk(const api::ToolCallDelta& delta) const;
  void AddRole(int index, bool thinks, std::vector<std::string>& out);

  OrderedJson FinishChunk(const api::Finished& finished);
  void Flush(std::vector<std::string>& out);

  const ResponseHead head_;
  const bool include_usage_;
  std::map<int, Choice> choices_;
  std::optional<OrderedJson> finish_;  // waits: the last one carries the usage
};

// The body of one answer that is not streamed.
class ResponseCollector {
 public:
  explicit ResponseCollector(ResponseHead head) : head_(std::move(head)) {}
  void On(api::Event event);
  bool finished() const { return usage_.has_value() || failure_.has_value(); }
  const std::optional<Error>& failure() const { return failure_; }
  std::string Body() const;  // after finished() without failure()

 private:
  struct Choice {
    std::string content, reasoning;
    std::vector<api::ToolCall> calls;
    std::vector<api::TokenLogprob> content_logprobs, reasoning_logprobs;
    api::FinishReason reason = api::FinishReason::kStop;
  };
  OrderedJson ChatChoice(int index, const Choice& choice) const;
  OrderedJson TextChoice(int index, const Choice& choice) const;

  const ResponseHead head_;
  std::map<int, Choice> choices_;
  std::optional<api::Usage> usage_;
  std::optional<api::Dropped> dropped_;
  std::optional<Error> failure_;
};

OrderedJson UsageJson(const api::Usage& usage);
OrderedJson DroppedJson(const api::Dropped& dropped);
std::string_view FinishName(api::FinishReason reason);
std::string ModelsBody(std::span<const ModelCard> models);
std::string ModelBody(const ModelCard& model);
// {"error":{"message","type","param","code"}}; an unknown model has the code "model_not_found".
std::string ErrorJson(const Error& error);
std::string_view ErrorCodeOf(const Error& error);
// JSON text on one line.
std::string ToLine(const OrderedJson& json);

}  // namespace hadal::server
