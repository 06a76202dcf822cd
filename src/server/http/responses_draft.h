// Private to the Responses validator: the request while its fields are being read.
#pragma once

#include <optional>
#include <string>

#include "server/http/openai_draft.h"
#include "server/http/responses_request.h"

namespace hadal::server {

struct ResponsesDraft {
  const RequestRules& rules;
  ResponsesRequest out;  // its request at the end
  OpenAiDraft openai;    // collects the request; OpenAI's rows read what is theirs
  std::optional<std::string> instructions = {};
  bool has_input = false, has_stream_options = false, wants_logprobs = false;

  api::Request& request() { return openai.out.request; }
  api::ChatPrompt& chat() { return openai.chat(); }
  api::Sampling& sampling() { return openai.sampling(); }
};

// `value` is never null. Readers may move out of it.
using ResponsesReader = Status (*)(Json& value, const std::string& field, ResponsesDraft& draft);

// responses_input.cc
Status ReadResponsesInput(Json& value, const std::string& field, ResponsesDraft& draft);

// responses_answer.cc
Status ReadResponsesReasoning(Json& value, const std::string& field, ResponsesDraft& draft);
Status ReadResponsesText(Json& value, const std::string& field, ResponsesDraft& draft);

// responses_tools.cc
Status ReadResponsesTools(Json& value, const std::string& field, ResponsesDraft& draft);
Status ReadResponsesToolChoice(Json& value, const std::string& field, ResponsesDraft& draft);

}  // namespace hadal::server
