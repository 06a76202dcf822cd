// Owns: what every HTTP dialect provides: a parser of request bodies into api::Request, a writer of
// api::Events into the dialect's bytes, and the body of its errors. Knows no sockets.
// A dialect is a parser file and a writer file beside this one; the front end knows only this page.
// Thread rule: an AnswerWriter belongs to one request and is used by one thread at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "api/types.h"
#include "base/error.h"
#include "server/json_body.h"
#include "service/chat_service.h"

namespace hadal::server {

enum class Dialect { kOpenAi, kAnthropic, kOllama };

// One answer, streamed or whole.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  virtual bool streams() const = 0;
  virtual std::string_view content_type() const = 0;

  // Before the first event; "" when the dialect sends nothing then.
  virtual std::string Begin([[maybe_unused]] int64_t prompt_tokens) { return {}; }
  // streams(): the event's bytes, framed; after Done and Failed nothing more is to come, and after
  // Failed nothing may look like the end of a whole answer. Otherwise "" and the event is kept.
  virtual std::string On(api::Event event) = 0;
  // Bytes that keep a silent stream alive and mean nothing; "" when the dialect has none.
  virtual std::string KeepAlive() const { return {}; }
  // Not streams(): the body, once Done has come.
  virtual std::string Body() const { return {}; }
};

// What a parser needs to know of the server.
struct RequestRules {
  std::map<std::string, std::string, std::less<>> models;  // name or alias -> served name
  bool refuse_unknown_fields = false;
  api::Sampling defaults = {};  // of requests that leave the fields out
  int64_t context = 0;          // of the served model; 0: not known
};

struct ParsedRequest {
  api::Request request;  // model is the served name; request_id and tenant are the caller's to fill
  std::unique_ptr<AnswerWriter> writer;
  // An error of the service, whose fields are those of OpenAI's chat completions, in the words of
  // this client. Empty: they are the same.
  std::function<Error(Error)> in_client_words = {};
};

// `body` is an object whose strings may be moved out. kInvalidArgument with the client's field, or
// kNotFound with field "model".
using RequestParser = Result<ParsedRequest> (*)(Json body, const RequestRules& rules);

// A call that is answered from the service at once, on a worker: tokenize, count_tokens, show ...
struct CallContext {
  const RequestRules& rules;
  ChatService& service;
  const std::string& tenant;
};
using DirectCall = Result<std::string> (*)(Json body, const CallContext& context);  // body of a 200

std::string ErrorBody(Dialect dialect, const Error& error);

// The served name of a model that a client names; kNotFound with field "model".
Result<std::string> ServedModel(std::string_view name, const RequestRules& rules);

// Hadal's own field `truncation`, the same in every dialect that has it: "disabled", "auto" (the
// turns in the middle go first) or {"type":"auto","strategy":"middle" or "front"}.
Result<api::Truncation> TruncationOf(const Json& value, const std::string& field);

}  // namespace hadal::server
