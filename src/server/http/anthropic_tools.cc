// The tools of a request and the choice among them. What needs all of them at once (names that
// appear twice, a choice that names none) the service checks for every dialect.
#include <array>
#include <string>
#include <utility>

#include "server/http/anthropic_draft.h"
#include "server/http/field_reader.h"

namespace hadal::server::anthropic {
namespace {

using api::Limits;

Result<api::Tool> ReadTool(Json& json, const std::string& at, const RequestRules& rules) {
  HADAL_OK(ExpectObject(json, at));
  if (const Json* type = Optional(json, "type"); type != nullptr && *type != "custom") {
    return Invalid(at + ".type", *type,
                   "\"custom\": tools that Anthropic runs or defines, such as web search, are not "
                   "here");
  }
  HADAL_OK(RefuseOthers(json, at, rules,
                        {"type", "name", "description", "input_schema", "strict", "cache_control",
                         "eager_input_streaming"}));  // arguments are always streamed as they come
  api::Tool tool;
  HADAL_TRY(tool.name, TakeText(json, at, "name"));
  if (Optional(json, "description") != nullptr) {
    HADAL_TRY(tool.description, TakeText(json, at, "description"));
  }
  if (const Json* strict = Optional(json, "strict")) {
    HADAL_TRY(tool.strict, ReadBool(*strict, at + ".strict"));
  }
  HADAL_TRY(const Json* schema, Required(json, at, "input_schema", "a JSON Schema of an object"));
  HADAL_OK(ExpectObject(*schema, at + ".input_schema"));
  tool.parameters = schema->dump();
  return tool;
}

}  // namespace

Status ReadTools(Json& value, const std::string& field, Draft& draft) {
  if (!value.is_array() || value.size() > Limits::kMaxTools) {
    return Invalid(field, value, fmt::format("an array of at most {} tools", Limits::kMaxTools));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    HADAL_TRY(api::Tool tool, ReadTool(value[i], fmt::format("{}[{}]", field, i), draft.rules));
    draft.chat().tools.push_back(std::move(tool));
  }
  return {};
}

Status ReadToolChoice(Json& value, const std::string& field, Draft& draft) {
  using Mode = api::ToolChoice::Mode;
  static constexpr std::array kModes = {Mode::kAuto, Mode::kRequired, Mode::kNamed, Mode::kNone};
  HADAL_OK(ExpectObject(value, field));
  HADAL_OK(RefuseOthers(value, field, draft.rules, {"type", "name", "disable_parallel_tool_use"}));
  HADAL_TRY(const size_t mode, RequiredWord(value, field, "type", {"auto", "any", "tool", "none"}));
  api::ChatPrompt& chat = draft.chat();
  chat.tool_choice.mode = kModes[mode];
  if (chat.tool_choice.mode == Mode::kNamed) {
    HADAL_TRY(chat.tool_choice.name, TakeText(value, field, "name"));
  }
  if (const Json* one = Optional(value, "disable_parallel_tool_use")) {
    HADAL_TRY(const bool disabled, ReadBool(*one, field + ".disable_parallel_tool_use"));
    chat.parallel_tool_calls = !disabled;
  }
  return {};
}

}  // namespace hadal::server::anthropic
