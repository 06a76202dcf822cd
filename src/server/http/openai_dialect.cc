#include "server/http/openai_dialect.h"

#include <utility>

#include "base/clock.h"
#include "net/sse.h"
#include "server/http/error_response.h"
#include "server/http/openai_request.h"
#include "server/http/openai_response.h"
#include "server/http/request_id.h"

namespace hadal::server {
namespace {

class OpenAiStream final : public AnswerWriter {
 public:
  OpenAiStream(ResponseHead head, bool include_usage) : stream_(std::move(head), include_usage) {}
  bool streams() const override { return true; }
  std::string_view content_type() const override { return "text/event-stream; charset=utf-8"; }
  std::string KeepAlive() const override { return ": keep-alive\n\n"; }
  std::string On(api::Event event) override {
    std::string bytes;
    for (const std::string& payload : stream_.On(event)) bytes += SseEvent(payload);
    return bytes;
  }

 private:
  StreamWriter stream_;
};

class OpenAiWhole final : public AnswerWriter {
 public:
  explicit OpenAiWhole(ResponseHead head) : whole_(std::move(head)) {}
  bool streams() const override { return false; }
  std::string_view content_type() const override { return "application/json"; }
  std::string On(api::Event event) override {
    whole_.On(std::move(event));
    return {};
  }
  std::string Body() const override { return whole_.Body(); }

 private:
  ResponseCollector whole_;
};

ResponseHead HeadOf(const OpenAiRequest& request) {
  return {.id = (request.route == OpenAiRoute::kChat ? "chatcmpl-" : "cmpl-") + NewUuid(),
          .created = UnixSeconds(),
          .model = request.request.model,
          .fingerprint = SystemFingerprint(),
          .route = request.route,
          .logprobs = request.request.sampling.logprobs};
}

Result<ParsedRequest> Parse(OpenAiRoute route, Json body, const RequestRules& rules) {
  HADAL_TRY(OpenAiRequest parsed, ParseOpenAiRequest(route, std::move(body), rules));
  ParsedRequest out;
  if (parsed.stream) {
    out.writer = std::make_unique<OpenAiStream>(HeadOf(parsed), parsed.include_usage);
  } else {
    out.writer = std::make_unique<OpenAiWhole>(HeadOf(parsed));
  }
  out.request = std::move(parsed.request);
  out.in_client_words = [names = parsed.names](Error error) {
    return InFieldsOf(names, std::move(error));
  };
  return out;
}

}  // namespace

Result<ParsedRequest> ParseOpenAiChat(Json body, const RequestRules& rules) {
  return Parse(OpenAiRoute::kChat, std::move(body), rules);
}
Result<ParsedRequest> ParseOpenAiText(Json body, const RequestRules& rules) {
  return Parse(OpenAiRoute::kText, std::move(body), rules);
}

}  // namespace hadal::server
