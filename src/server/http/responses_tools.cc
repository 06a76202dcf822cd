// The functions of a Responses request and the choice among them.
#include <algorithm>
#include <array>
#include <utility>

#include "server/http/dialect_fields.h"
#include "server/http/responses_draft.h"

namespace hadal::server {
namespace {

using api::Limits;

Status CheckType(const Json& tool, const std::string& at) {
  static constexpr std::string_view kMustBe =
      "\"function\"; tools that a server would run are not there";
  const auto type = tool.find("type");
  if (type == tool.end()) return Missing(at + ".type", kMustBe);
  if (*type != "function") return Invalid(at + ".type", *type, kMustBe);
  return {};
}

Status CheckOthers(const Json& tool, const std::string& at, const RequestRules& rules) {
  // The last three change nothing where every tool is a function that the client runs.
  static constexpr std::array kKnown = {"type",          "name",         "description",
                                        "parameters",    "strict",       "allowed_callers",
                                        "defer_loading", "output_schema"};
  for (const auto& [name, value] : tool.items()) {
    const std::string& member = name;
    const bool known = std::any_of(kKnown.begin(), kKnown.end(),
                                   [&](const char* other) { return member == other; });
    if (!known && !value.is_null()) HADAL_OK(RefuseUnknownField(PathOf(at, name), rules));
  }
  return {};
}

}  // namespace

Status ReadResponsesTools(Json& value, const std::string& field, ResponsesDraft& draft) {
  if (!value.is_array() || value.size() > Limits::kMaxTools) {
    return Invalid(field, value, fmt::format("an array of at most {} tools", Limits::kMaxTools));
  }
  draft.out.echo["tools"] = value;
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", field, i);
    HADAL_OK(ExpectObject(value[i], at));
    HADAL_OK(CheckType(value[i], at));
    HADAL_OK(CheckOthers(value[i], at, draft.rules));
    HADAL_TRY(api::Tool tool, ReadFunction(value[i], at));
    draft.chat().tools.push_back(std::move(tool));
  }
  return {};
}

Status ReadResponsesToolChoice(Json& value, const std::string& field, ResponsesDraft& draft) {
  using Mode = api::ToolChoice::Mode;
  struct Word {
    std::string_view name;
    Mode mode;
  };
  static constexpr std::array kWords = {Word{"none", Mode::kNone}, Word{"auto", Mode::kAuto},
                                        Word{"required", Mode::kRequired}};
  draft.out.echo["tool_choice"] = value;
  api::ToolChoice& choice = draft.chat().tool_choice;
  for (const Word& word : kWords) {
    if (value != word.name) continue;
    choice.mode = word.mode;
    return {};
  }
  if (!value.is_object()) {
    return Invalid(field, value,
                   "\"none\", \"auto\", \"required\" or an object that names a function");
  }
  HADAL_OK(CheckType(value, field));
  Json* name = FindSet(value, "name");
  if (name == nullptr) return Missing(field + ".name", "the name of one of the tools");
  choice.mode = Mode::kNamed;
  HADAL_TRY(choice.name, TakeString(*name, field + ".name"));
  return {};
}

}  // namespace hadal::server
