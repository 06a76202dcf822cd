#include "chat/tools/dsml_writer.h"

#include "chat/tools/json_text.h"
#include "chat/tools/tool_conversation.h"

namespace hadal {

void WriteReasoning(MarkupWriter& prompt, const api::Message& message) {
  if (!message.reasoning_ids.empty()) {
    prompt.Tokens(message.reasoning_ids);
  } else {
    prompt.Text(message.reasoning_content.value_or("")).Think(false);
  }
}

Status WriteDsmlAnswer(MarkupWriter& prompt, const api::Message& message, std::string_view block) {
  if (!message.answer_ids.empty()) {
    prompt.Tokens(message.answer_ids);
    return {};
  }
  prompt.Text(message.content);
  if (message.tool_calls.empty()) return {};
  prompt.Fixed("\n\n<｜DSML｜").Fixed(block).Fixed(">\n");
  for (const api::ToolCall& call : message.tool_calls) {
    HADAL_TRY(const std::vector<JsonMember> members, JsonMembers(call.arguments));
    prompt.Fixed("<｜DSML｜invoke name=\"").Text(call.name).Fixed("\">\n");
    // A call without parameters has an empty line in their place.
    if (members.empty()) prompt.Fixed("\n");
    for (const JsonMember& member : members) {
      prompt.Fixed("<｜DSML｜parameter name=\"").Text(member.key);
      prompt.Fixed(member.is_string ? "\" string=\"true\">" : "\" string=\"false\">");
      prompt.Text(member.text).Fixed("</｜DSML｜parameter>\n");
    }
    prompt.Fixed("</｜DSML｜invoke>\n");
  }
  prompt.Fixed("</｜DSML｜").Fixed(block).Fixed(">");
  return {};
}

Status WriteDsmlTools(MarkupWriter& prompt, std::span<const api::Tool> tools, std::string_view head,
                      std::string_view tail) {
  if (tools.empty()) return {};
  prompt.Fixed("\n\n").Fixed(head);
  for (size_t i = 0; i < tools.size(); ++i) {
    HADAL_TRY(const std::string json, ToolJson(tools[i]));
    prompt.Fixed(i == 0 ? "" : "\n").Text(json);
  }
  prompt.Fixed(tail);
  return {};
}

Status WriteResponseFormat(MarkupWriter& prompt, std::string_view schema) {
  if (schema.empty()) return {};
  auto json = RewriteJson(schema);
  if (!json) {
    return FailField(ErrorCode::kInvalidArgument, "response_format", "response_format: {}",
                     json.error().message);
  }
  prompt.Fixed(
      "\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n");
  prompt.Text(*json);
  return {};
}

}  // namespace hadal
