// Tools, the choice among them, and calls in a conversation.
#include <array>
#include <string>
#include <utility>

#include "server/http/field_reader.h"
#include "server/http/openai_draft.h"
#include "server/http/openai_response.h"

namespace hadal::server {
namespace {

Result<std::string> RequiredString(Json& object, const char* name, const std::string& at) {
  const auto value = object.find(name);
  if (value == object.end()) return Missing(at + "." + name, "a string");
  return TakeString(*value, at + "." + name);
}

Status CheckFunctionType(const Json& object, const std::string& at) {
  const auto type = object.find("type");
  if (type == object.end()) return Missing(at + ".type", "\"function\"");
  if (*type != "function") return Invalid(at + ".type", *type, "\"function\"");
  return {};
}

Result<Json*> FunctionOf(Json& object, const std::string& at) {
  HADAL_OK(ExpectObject(object, at));
  HADAL_OK(CheckFunctionType(object, at));
  const auto function = object.find("function");
  if (function == object.end()) return Missing(at + ".function", "an object");
  HADAL_OK(ExpectObject(*function, at + ".function"));
  return &*function;
}

Result<api::Tool> ReadTool(Json& json, const std::string& at, const OpenAiDraft& draft) {
  HADAL_TRY(Json * function, FunctionOf(json, at));
  const std::string in = at + ".function";
  api::Tool tool;
  tool.source_json = ToLine(*function);
  for (auto& [name, value] : function->items()) {
    const std::string field = in + "." + name.substr(0, 64);
    if (name == "name" || value.is_null()) continue;
    if (name == "description") {
      HADAL_TRY(tool.description, TakeString(value, field));
    } else if (name == "parameters") {
      HADAL_OK(ExpectObject(value, field));
      tool.parameters = value.empty() ? "" : ToLine(value);
    } else if (name == "strict") {
      HADAL_TRY(tool.strict, ReadBool(value, field));
    } else {
      HADAL_OK(RefuseUnknown(field, draft));
    }
  }
  HADAL_TRY(tool.name, RequiredString(*function, "name", in));
  return tool;
}

}  // namespace

Status ReadTools(Json& value, const std::string& field, OpenAiDraft& draft) {
  if (!value.is_array() || value.size() > api::Limits::kMaxTools) {
    return Invalid(field, value,
                   fmt::format("an array of at most {} tools", api::Limits::kMaxTools));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    HADAL_TRY(api::Tool tool, ReadTool(value[i], fmt::format("{}[{}]", field, i), draft));
    draft.chat().tools.push_back(std::move(tool));
  }
  return {};
}

Status ReadToolChoice(Json& value, const std::string& field, OpenAiDraft& draft) {
  using Mode = api::ToolChoice::Mode;
  api::ToolChoice& choice = draft.chat().tool_choice;
  static constexpr std::array kModes = {std::pair("none", Mode::kNone),
                                        std::pair("auto", Mode::kAuto),
                                        std::pair("required", Mode::kRequired)};
  for (const auto& [name, mode] : kModes) {
    if (value != name) continue;
    choice.mode = mode;
    return {};
  }
  if (!value.is_object()) {
    return Invalid(field, value,
                   "\"none\", \"auto\", \"required\" or {\"type\":\"function\",\"function\":"
                   "{\"name\":...}}");
  }
  HADAL_TRY(Json * function, FunctionOf(value, field));
  choice.mode = Mode::kNamed;
  HADAL_TRY(choice.name, RequiredString(*function, "name", field + ".function"));
  return {};
}

Status ReadParallelToolCalls(Json& value, const std::string& field, OpenAiDraft& draft) {
  HADAL_TRY(draft.chat().parallel_tool_calls, ReadBool(value, field));
  return {};
}

Status ReadToolCalls(Json& value, const std::string& field, api::Message& message) {
  if (!value.is_array() || value.size() > api::Limits::kMaxToolCalls) {
    return Invalid(field, value,
                   fmt::format("an array of at most {} calls", api::Limits::kMaxToolCalls));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", field, i);
    HADAL_TRY(Json * function, FunctionOf(value[i], at));
    api::ToolCall call;
    HADAL_TRY(call.id, RequiredString(value[i], "id", at));
    HADAL_TRY(call.name, RequiredString(*function, "name", at + ".function"));
    HADAL_TRY(call.arguments, RequiredString(*function, "arguments", at + ".function"));
    if (call.arguments.empty()) call.arguments = "{}";  // of a call without parameters
    message.tool_calls.push_back(std::move(call));
  }
  return {};
}

}  // namespace hadal::server
