// Owns: the validator of OpenAI's Responses API, stateless. JSON in, api::Request or an error that
// names the field out. What needs the tokenizer is checked by the service; InResponsesWords says
// its errors in this request's fields.
//
// Nothing is stored: `store: true` is accepted and the response says false; previous_response_id,
// conversation, prompt, background and item references, which need a store, are refused. A
// reasoning item becomes the reasoning of the assistant message or call after it. Built-in tools
// are refused by their type. As everywhere here nothing is ignored that would change the answer.
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "api/types.h"
#include "base/error.h"
#include "server/http/dialect.h"
#include "server/json_body.h"

namespace hadal::server {

// Where each message that the service sees came from.
struct ResponsesShape {
  struct Origin {
    std::string at;                        // "instructions", "input", "input[3]"
    bool is_item = false;                  // has fields of its own
    std::string_view text = "content";     // the one with its text
    std::optional<size_t> reasoning = {};  // the item that has it
    std::vector<size_t> calls = {};        // the items that are its calls
  };
  std::vector<Origin> messages;
};
Error InResponsesWords(const ResponsesShape& shape, Error error);
// Of a row of OpenAI's, before there are messages.
Status InResponsesWords(Status status);

struct ResponsesRequest {
  api::Request request;  // model is the served name; request_id and tenant are the caller's to fill
  ResponsesShape shape;
  bool stream = false;
  Json echo = Json::object();  // what the response object repeats of the request
};
// `body` is an object (ParseJsonObject); its strings are moved out. kInvalidArgument, or kNotFound
// with field "model".
Result<ResponsesRequest> ParseResponsesRequest(Json body, const RequestRules& rules);

}  // namespace hadal::server
