// The functions of a Responses request and the choice among them: OpenAI's, whose members stand
// beside the type instead of in a `function`.
#include <array>
#include <utility>

#include "server/http/dialect_fields.h"
#include "server/http/responses_draft.h"

namespace hadal::server {
namespace {

Status CheckType(const Json& tool, const std::string& at) {
  static constexpr std::string_view kMustBe =
      "\"function\"; tools that a server would run are not there";
  HADAL_OK(ExpectObject(tool, at));
  const auto type = tool.find("type");
  if (type == tool.end()) return Missing(at + ".type", kMustBe);
  if (*type != "function") return Invalid(at + ".type", *type, kMustBe);
  return {};
}

// {"type","name",...} -> {"type","function":{"name",...}}
Json Wrapped(Json& flat) {
  // They change nothing where every tool is a function that the client runs.
  static constexpr std::array<std::string_view, 3> kWithoutEffect = {
      "allowed_callers", "defer_loading", "output_schema"};
  Json function = Json::object();
  for (auto& [name, value] : flat.items()) {
    bool moves = name != "type" && !value.is_null();
    for (const std::string_view other : kWithoutEffect) moves &= name != other;
    if (moves) function[name] = std::move(value);
  }
  return {{"type", "function"}, {"function", std::move(function)}};
}

}  // namespace

Status ReadResponsesTools(Json& value, const std::string& field, ResponsesDraft& draft) {
  draft.out.echo[field] = value;
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      HADAL_OK(CheckType(value[i], fmt::format("{}[{}]", field, i)));
      value[i] = Wrapped(value[i]);
    }
  }
  return InResponsesWords(ReadTools(value, field, draft.openai));
}

Status ReadResponsesToolChoice(Json& value, const std::string& field, ResponsesDraft& draft) {
  draft.out.echo[field] = value;
  if (value.is_object()) {
    HADAL_OK(CheckType(value, field));
    value = Wrapped(value);
  } else if (value != "none" && value != "auto" && value != "required") {
    return Invalid(field, value,
                   "\"none\", \"auto\", \"required\" or {\"type\":\"function\",\"name\":...}");
  }
  return InResponsesWords(ReadToolChoice(value, field, draft.openai));
}

}  // namespace hadal::server
