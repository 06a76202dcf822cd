// V4: B effort system tools U question A then <think> or </think>; calls in a DSML block; results
// are <tool_result>…</tool_result> in the user's turn, which joins all user and tool messages
// between two answers by blank lines. While thinking, past reasoning is replayed when there are
// tools (or drop_thinking is off), else only what follows the last question or result.
// Source: the encoder published with DeepSeek-V4; the texts of effort are its releases'. It drops a
// developer's messages before the last question when it drops reasoning; here they stay.
#include "chat/tools/dsml_writer.h"
#include "chat/tools/tool_conversation.h"
#include "chat/tools/tool_renderers.h"

namespace hadal {
namespace {

constexpr std::string_view kToolsHead =
    "## Tools\n\nYou have access to a set of tools to help answer the user's question. You can "
    "invoke tools by writing a \"<｜DSML｜tool_calls>\" block like the following:\n\n"
    "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"$TOOL_NAME\">\n"
    "<｜DSML｜parameter name=\"$PARAMETER_NAME\" string=\"true|false\">$PARAMETER_VALUE"
    "</｜DSML｜parameter>\n...\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"$TOOL_NAME2\">\n...\n"
    "</｜DSML｜invoke>\n</｜DSML｜tool_calls>\n\n"
    "String parameters should be specified as is and set `string=\"true\"`. For all other types "
    "(numbers, booleans, arrays, objects), pass the value in JSON format and set "
    "`string=\"false\"`.\n\n"
    "If thinking_mode is enabled (triggered by <think>), you MUST output your complete reasoning "
    "inside <think>...</think> BEFORE any tool calls or final response.\n\n"
    "Otherwise, output directly after </think> with tool calls or final response.\n\n"
    "### Available Tool Schemas\n\n";
constexpr std::string_view kToolsTail =
    "\n\nYou MUST strictly follow the above defined tool name and parameter schemas to invoke tool "
    "calls.\n";
constexpr std::string_view kAbsoluteMaximum =
    "Reasoning Effort: Absolute maximum with no shortcuts permitted.\n"
    "You MUST be very thorough in your thinking and comprehensively decompose the problem to "
    "resolve the root cause, rigorously stress-testing your logic against all potential paths, "
    "edge cases, and adversarial scenarios.\n"
    "Explicitly write out your entire deliberation process, documenting every intermediate step, "
    "considered alternative, and rejected hypothesis to ensure absolutely no assumption is left "
    "unchecked.\n\n";
constexpr std::string_view kBeyondMaximum =
    "Reasoning Effort: Beyond maximum — exhaustive, relentless, and uncompromising.\n"
    "You MUST reason with the utmost depth and rigor, leaving absolutely nothing to chance: "
    "exhaustively decompose the problem into its most fundamental components, trace every causal "
    "chain to its root, and resolve the underlying cause rather than any surface symptom.\n"
    "Do not stop reasoning until you have independently verified the solution from multiple angles "
    "and are certain that no assumption remains unchecked and no error remains undiscovered.\n\n";

std::string_view EffortText(const ToolRenderOptions& options) {
  using Effort = ToolRenderOptions::Effort;
  if (!options.thinking || options.effort == Effort::kLow) return "";
  const bool preview = options.effort_texts == ToolRenderOptions::EffortTexts::kPreview;
  if (options.effort == Effort::kHigh) return preview ? "" : kAbsoluteMaximum;
  return preview ? kAbsoluteMaximum : kBeyondMaximum;
}

class V4Renderer {
 public:
  V4Renderer(const FormatTokens& tokens, const ToolConversation& talk,
             const ToolRenderOptions& options)
      : prompt_(tokens),
        talk_(talk),
        options_(options),
        drops_(options.drop_thinking && options.tools.empty()) {
    for (size_t i = 0; i < talk.turns.size(); ++i) {
      if (!IsAnswer(i)) last_asked_ = i;
    }
  }

  Result<RenderedPrompt> Render() {
    const bool developer_first = !talk_.has_system && !talk_.turns.empty() && IsDeveloper(0);
    prompt_.Begin().Fixed(EffortText(options_)).Text(talk_.system);
    if (!developer_first) HADAL_OK(WriteHead());
    for (size_t i = 0; i < talk_.turns.size(); ++i) {
      if (IsAnswer(i)) {
        HADAL_OK(Answer(i));
      } else {
        HADAL_OK(Asked(i, developer_first));
      }
    }
    prompt_.Assistant();
    return BeginAnswer(prompt_, talk_.continuation, options_.thinking);
  }

 private:
  const api::Message& At(size_t i) const { return *talk_.turns[i].message; }
  bool IsAnswer(size_t i) const { return At(i).role == api::Role::kAssistant; }
  bool IsDeveloper(size_t i) const { return At(i).role == api::Role::kDeveloper; }

  Status WriteHead() {
    HADAL_OK(WriteDsmlTools(prompt_, options_.tools, kToolsHead, kToolsTail));
    return WriteResponseFormat(prompt_, options_.response_schema);
  }

  Status Asked(size_t i, bool developer_first) {
    const api::Message& message = At(i);
    const bool joins = i > 0 && !IsAnswer(i - 1) && !IsDeveloper(i - 1) && !IsDeveloper(i);
    if (joins) {
      prompt_.Fixed("\n\n");
    } else {
      prompt_.User();
    }
    if (message.role == api::Role::kTool) {
      prompt_.Fixed("<tool_result>").Text(message.content).Fixed("</tool_result>");
      return {};
    }
    prompt_.Text(message.content);
    if (i == 0 && developer_first) return WriteHead();
    return {};
  }

  Status Answer(size_t i) {
    const api::Message& message = At(i);
    const bool replays = options_.thinking && (!drops_ || !last_asked_ || i > *last_asked_);
    prompt_.Assistant();
    if (replays) {
      WriteReasoning(prompt_.Think(true), message);
    } else {
      prompt_.Think(false);
    }
    HADAL_OK(WriteDsmlAnswer(prompt_, message, "tool_calls"));
    prompt_.EndAnswer();
    return {};
  }

  MarkupWriter prompt_;
  const ToolConversation& talk_;
  const ToolRenderOptions& options_;
  const bool drops_;
  std::optional<size_t> last_asked_;  // question, developer's message or result
};

}  // namespace

Result<RenderedPrompt> RenderV4(const FormatTokens& tokens, std::span<const api::Message> messages,
                                const ToolRenderOptions& options) {
  HADAL_TRY(const ToolConversation talk, ReadToolConversation(messages, options.tools, false));
  return V4Renderer(tokens, talk, options).Render();
}

}  // namespace hadal
