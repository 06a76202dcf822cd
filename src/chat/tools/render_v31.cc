// V3.1: B system tools U question A</think>answer E …; calls directly behind the answer, without
// separators; each result in <｜tool▁output▁begin｜>…<｜tool▁output▁end｜>, after which the model
// goes on without <｜Assistant｜> or a think tag. Source: model card of DeepSeek-V3.1 (tool list,
// calls) and its chat_template (results); arguments stay the text they are, where the template
// quotes them a second time. The card has tools without thinking only; with thinking the prompt
// ends in <think> as it does without tools.
#include "chat/tools/tool_conversation.h"
#include "chat/tools/tool_renderers.h"

namespace hadal {
namespace {

constexpr std::string_view kToolsHead = "\n\n## Tools\nYou have access to the following tools:\n";
constexpr std::string_view kToolsTail =
    "\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments"
    "<｜tool▁call▁end｜>{additional_tool_calls}<｜tool▁calls▁end｜>\n\n"
    "Where:\n"
    "- `tool_call_name` must be an exact match to one of the available tools\n"
    "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters "
    "Schema\n"
    "- For multiple tool calls, chain them directly without separators or spaces";

Status WriteTools(MarkupWriter& prompt, std::span<const api::Tool> tools) {
  if (tools.empty()) return {};
  prompt.Fixed(kToolsHead);
  for (const api::Tool& tool : tools) {
    HADAL_TRY(const std::string parameters, ParametersJson(tool));
    prompt.Fixed("\n### ").Text(tool.name);
    prompt.Fixed("\nDescription: ").Text(tool.description.value_or(""));
    prompt.Fixed("\n\nParameters: ").Text(parameters).Fixed("\n");
  }
  prompt.Fixed(kToolsTail);
  return {};
}

// What follows the first </think>, else all.
std::string_view AnswerOf(std::string_view content) {
  constexpr std::string_view kEndOfThink = "</think>";
  const size_t at = content.find(kEndOfThink);
  return at == content.npos ? content : content.substr(at + kEndOfThink.size());
}

void WriteAnswer(MarkupWriter& prompt, const api::Message& message, bool after_results) {
  if (!after_results) prompt.Assistant().Think(false);
  if (!message.answer_ids.empty()) {
    prompt.Tokens(message.answer_ids).EndAnswer();
    return;
  }
  prompt.Text(after_results ? std::string_view(message.content) : AnswerOf(message.content));
  if (!message.tool_calls.empty()) {
    prompt.Fixed("<｜tool▁calls▁begin｜>");
    for (const api::ToolCall& call : message.tool_calls) {
      prompt.Fixed("<｜tool▁call▁begin｜>").Text(call.name).Fixed("<｜tool▁sep｜>");
      prompt.Text(call.arguments).Fixed("<｜tool▁call▁end｜>");
    }
    prompt.Fixed("<｜tool▁calls▁end｜>");
  }
  prompt.EndAnswer();
}

}  // namespace

Result<RenderedPrompt> RenderV31(const FormatTokens& tokens, std::span<const api::Message> messages,
                                 const ToolRenderOptions& options) {
  HADAL_TRY(const ToolConversation talk, ReadToolConversation(messages, options.tools, true));
  MarkupWriter prompt(tokens);
  prompt.Begin().Text(talk.system);
  HADAL_OK(WriteTools(prompt, options.tools));
  bool after_results = false;
  for (const ToolTurn& turn : talk.turns) {
    const api::Message& message = *turn.message;
    if (message.role == api::Role::kTool) {
      prompt.Fixed("<｜tool▁output▁begin｜>").Text(message.content).Fixed("<｜tool▁output▁end｜>");
    } else if (message.role == api::Role::kUser) {
      prompt.User().Text(message.content);
    } else {
      WriteAnswer(prompt, message, after_results);
    }
    after_results = message.role == api::Role::kTool;
  }
  if (after_results) {
    if (talk.continuation != nullptr) prompt.Text(talk.continuation->content);
    return prompt.Finish(/*starts_in_reasoning=*/false);
  }
  prompt.Assistant();
  return BeginAnswer(prompt, talk.continuation, options.thinking);
}

}  // namespace hadal
