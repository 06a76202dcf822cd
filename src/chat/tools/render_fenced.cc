// V3 and R1: B system U question A answer E …, calls as tool_call_parser.h shows them, all of one
// message in one block; results
//   <｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>…<｜tool▁output▁end｜>⏎<｜tool▁output▁begin｜>…
//   <｜tool▁outputs▁end｜>
// after which the model goes on without a new <｜Assistant｜>.
// Sources: chat_template of DeepSeek-V3 and -R1 for calls and results. They close a block of calls
// only after its second call, open the results once per conversation and leave them open before a
// question; here each block is closed as its tokens say. Neither template shows the tools: their
// list is that of DeepSeek-V2.5's card, which brought this markup, and the sentence on the syntax
// is Hadal's.
#include "chat/tools/tool_conversation.h"
#include "chat/tools/tool_renderers.h"

namespace hadal {
namespace {

constexpr std::string_view kDefaultSystem = "You are a helpful Assistant.";
constexpr std::string_view kToolsHead =
    "## Tools\n\n### Function\n\nYou have the following functions available:\n\n";
constexpr std::string_view kSyntax =
    "\n\nTo call functions, write:\n"
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>FUNCTION_NAME\n```json\n"
    "ARGUMENTS_AS_JSON\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";

Status WriteTools(MarkupWriter& prompt, std::span<const api::Tool> tools, bool has_system) {
  if (tools.empty()) return {};
  if (!has_system) prompt.Fixed(kDefaultSystem);
  prompt.Fixed("\n\n").Fixed(kToolsHead);
  for (size_t i = 0; i < tools.size(); ++i) {
    HADAL_TRY(const std::string json, ToolJson(tools[i], 4));
    prompt.Fixed(i == 0 ? "- `" : "\n- `").Text(tools[i].name).Fixed("`:\n```json\n");
    prompt.Text(json).Fixed("\n```");
  }
  prompt.Fixed(kSyntax);
  return {};
}

// What follows the last </think>, else all.
std::string_view AnswerOf(std::string_view content) {
  constexpr std::string_view kEndOfThink = "</think>";
  const size_t at = content.rfind(kEndOfThink);
  return at == content.npos ? content : content.substr(at + kEndOfThink.size());
}

void WriteCalls(MarkupWriter& prompt, const std::vector<api::ToolCall>& calls) {
  prompt.Fixed("<｜tool▁calls▁begin｜>");
  for (size_t i = 0; i < calls.size(); ++i) {
    prompt.Fixed(i == 0 ? "" : "\n").Fixed("<｜tool▁call▁begin｜>function<｜tool▁sep｜>");
    prompt.Text(calls[i].name).Fixed("\n```json\n").Text(calls[i].arguments);
    prompt.Fixed("\n```<｜tool▁call▁end｜>");
  }
  prompt.Fixed("<｜tool▁calls▁end｜>");
}

}  // namespace

Result<RenderedPrompt> RenderFenced(const FormatTokens& tokens, bool is_r1,
                                    std::span<const api::Message> messages,
                                    const ToolRenderOptions& options) {
  HADAL_TRY(const ToolConversation talk, ReadToolConversation(messages, options.tools, true));
  MarkupWriter prompt(tokens);
  prompt.Begin().Text(talk.system);
  HADAL_OK(WriteTools(prompt, options.tools, !talk.system.empty()));
  bool after_results = false;
  for (size_t i = 0; i < talk.turns.size(); ++i) {
    const api::Message& message = *talk.turns[i].message;
    if (message.role == api::Role::kTool) {
      prompt.Fixed(after_results ? "\n" : "<｜tool▁outputs▁begin｜>");
      prompt.Fixed("<｜tool▁output▁begin｜>").Text(message.content).Fixed("<｜tool▁output▁end｜>");
      after_results = true;
      const bool more =
          i + 1 < talk.turns.size() && talk.turns[i + 1].message->role == api::Role::kTool;
      if (!more) prompt.Fixed("<｜tool▁outputs▁end｜>");
      continue;
    }
    if (message.role == api::Role::kUser) {
      prompt.User().Text(message.content);
    } else {
      if (!after_results) prompt.Assistant();
      if (!message.answer_ids.empty()) {
        prompt.Tokens(message.answer_ids);
      } else {
        prompt.Text(is_r1 ? AnswerOf(message.content) : std::string_view(message.content));
        if (!message.tool_calls.empty()) WriteCalls(prompt, message.tool_calls);
      }
      prompt.EndAnswer();
    }
    after_results = false;
  }
  if (!after_results) prompt.Assistant();
  const api::Message* last = talk.continuation;
  if (!is_r1 || after_results) {
    if (last != nullptr) prompt.Text(last->content);
    return prompt.Finish(/*starts_in_reasoning=*/false);
  }
  const std::string reasoning =
      last != nullptr ? last->reasoning_content.value_or("") : std::string();
  if (last != nullptr && reasoning.empty() && !last->content.empty()) {
    return prompt.Text(last->content).Finish(/*starts_in_reasoning=*/false);
  }
  prompt.Fixed("<think>\n").Text(reasoning);
  if (last == nullptr || last->content.empty()) return prompt.Finish(/*starts_in_reasoning=*/true);
  return prompt.Fixed("\n</think>\n\n").Text(last->content).Finish(/*starts_in_reasoning=*/false);
}

}  // namespace hadal
