// Errors of the service in the fields of a Responses request.
#include <array>
#include <utility>

#include "server/http/dialect_fields.h"
#include "server/http/responses_request.h"

namespace hadal::server {
namespace {

constexpr std::array kWords = {
    FieldWord{"max_tokens", "max_output_tokens"},
    FieldWord{"messages", "input"},
    FieldWord{"reasoning_effort", "reasoning.effort"},
    FieldWord{"response_format.json_schema", "text.format"},
    FieldWord{"response_format", "text.format"},
    FieldWord{"text.format.json_schema", "text.format"},
    FieldWord{"thinking", "reasoning.effort"},
    FieldWord{"tool_choice.function", "tool_choice"},
};

// messages[i].rest of the service in the items that message i was made of.
std::string MessageField(const ResponsesShape& shape, const IndexedPath& path) {
  if (path.index >= shape.messages.size()) return "input";
  const ResponsesShape::Origin& origin = shape.messages[path.index];
  if (!origin.is_item) return origin.at;
  if (const auto call = PathInList(path.rest, ".tool_calls")) {
    if (call->index >= origin.calls.size()) return origin.at;
    static constexpr std::array kCallWords = {FieldWord{".id", ".call_id"},
                                              FieldWord{".function", ""}};
    return fmt::format("input[{}]{}", origin.calls[call->index], InWords(call->rest, kCallWords));
  }
  if (path.rest == ".reasoning_content" && origin.reasoning) {
    return fmt::format("input[{}]", *origin.reasoning);
  }
  if (path.rest == ".content") return PathOf(origin.at, origin.text);
  static constexpr std::array kItemWords = {FieldWord{".tool_call_id", ".call_id"},
                                            FieldWord{".tool_calls", ""}, FieldWord{".prefix", ""}};
  return origin.at + InWords(path.rest, kItemWords);
}

}  // namespace

Error InResponsesWords(const ResponsesShape& shape, Error error) {
  std::string field;
  if (const auto message = PathInList(error.field, "messages")) {
    field = MessageField(shape, *message);
  } else if (const auto tool = PathInList(error.field, "tools")) {
    static constexpr std::array kToolWords = {FieldWord{".function", ""}};
    field = fmt::format("tools[{}]{}", tool->index, InWords(tool->rest, kToolWords));
  } else {
    field = InWords(error.field, kWords);
  }
  return Renamed(std::move(error), field);
}

Status InResponsesWords(Status status) {
  if (status) return status;
  return tl::make_unexpected(InResponsesWords(ResponsesShape{}, std::move(status).error()));
}

}  // namespace hadal::server
