// V3.2: B system tools U question A then <think> or </think>; calls in a DSML block; results
//   ⏎⏎<function_results>⏎<result>…</result>⏎</function_results>⏎⏎ and <think> or </think>.
// Past reasoning is written only after the last question. A developer's message carries the tools
// and the response format when it is the first of all; DeepSeek uses the role for search agents.
// Source: the encoder published with DeepSeek-V3.2. It writes results in the caller's order and
// refuses an answer after the last question without reasoning; here results follow their calls and
// such an answer has empty reasoning.
#include "chat/tools/dsml_writer.h"
#include "chat/tools/tool_conversation.h"
#include "chat/tools/tool_renderers.h"

namespace hadal {
namespace {

constexpr std::string_view kToolsHead =
    "## Tools\n\nYou have access to a set of tools you can use to answer the user's question.\n"
    "You can invoke functions by writing a \"<｜DSML｜function_calls>\" block like the following "
    "as "
    "part of your reply to the user:\n"
    "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"$FUNCTION_NAME\">\n"
    "<｜DSML｜parameter name=\"$PARAMETER_NAME\" string=\"true|false\">$PARAMETER_VALUE"
    "</｜DSML｜parameter>\n...\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"$FUNCTION_NAME2\">\n...\n"
    "</｜DSML｜invoke>\n</｜DSML｜function_calls>\n\n"
    "String and scalar parameters should be specified as is without any escaping or quotes, while "
    "lists and objects should use JSON format. The \"string\" attribute should be set to \"true\" "
    "for string type parameters and \"false\" for other types (numbers, booleans, arrays, "
    "objects).\n\n"
    "If the thinking_mode is enabled, then after function results you should strongly consider "
    "outputting a thinking block. Here is an example:\n\n"
    "<｜DSML｜function_calls>\n...\n</｜DSML｜function_calls>\n\n<function_results>\n...\n"
    "</function_results>\n\n<think>...thinking about results</think>\n\n"
    "Here are the functions available in JSONSchema format:\n<functions>\n";
constexpr std::string_view kToolsTail = "\n</functions>\n";

Status WriteHead(MarkupWriter& prompt, const ToolRenderOptions& options) {
  HADAL_OK(WriteDsmlTools(prompt, options.tools, kToolsHead, kToolsTail));
  return WriteResponseFormat(prompt, options.response_schema);
}

class V32Renderer {
 public:
  V32Renderer(const FormatTokens& tokens, const ToolConversation& talk,
              const ToolRenderOptions& options)
      : prompt_(tokens), talk_(talk), options_(options) {
    for (size_t i = 0; i < talk.turns.size(); ++i) {
      const api::Role role = talk.turns[i].message->role;
      if (role == api::Role::kUser || role == api::Role::kDeveloper) last_question_ = i;
    }
  }

  Result<RenderedPrompt> Render() {
    const bool developer_first = !talk_.has_system && !talk_.turns.empty() &&
                                 talk_.turns[0].message->role == api::Role::kDeveloper;
    prompt_.Begin().Text(talk_.system);
    if (!developer_first) HADAL_OK(WriteHead(prompt_, options_));
    for (size_t i = 0; i < talk_.turns.size(); ++i) HADAL_OK(Turn(i, developer_first));
    const bool open =
        !talk_.turns.empty() && talk_.turns.back().message->role != api::Role::kAssistant;
    if (!open) prompt_.Assistant();
    // An open turn ended with its think tag left to BeginAnswer.
    return BeginAnswer(prompt_, talk_.continuation, options_.thinking);
  }

 private:
  // The think tag before what follows turn i; at the end BeginAnswer writes it.
  void ThinkTag(size_t i) {
    if (i + 1 == talk_.turns.size()) return;
    prompt_.Think(options_.thinking && AtOrAfterLastQuestion(i));
  }
  bool AtOrAfterLastQuestion(size_t i) const { return !last_question_ || i >= *last_question_; }

  Status Turn(size_t i, bool developer_first) {
    const api::Message& message = *talk_.turns[i].message;
    switch (message.role) {
      case api::Role::kDeveloper:
        if (message.content.empty()) {
          const std::string field = fmt::format("messages[{}].content", talk_.turns[i].index);
          return FailField(ErrorCode::kInvalidArgument, field,
                           "{} is empty; a developer's message must say something", field);
        }
        prompt_.User();
        if (i == 0 && developer_first) HADAL_OK(WriteHead(prompt_, options_));
        prompt_.Fixed("\n\n# The user's message is: ").Text(message.content).Assistant();
        ThinkTag(i);
        return {};
      case api::Role::kTool:
        WriteResult(i, message);
        return {};
      case api::Role::kAssistant:
        if (options_.thinking && (!last_question_ || i > *last_question_)) {
          WriteReasoning(prompt_, message);
        }
        HADAL_OK(WriteDsmlAnswer(prompt_, message, "function_calls"));
        prompt_.EndAnswer();
        return {};
      default:
        prompt_.User().Text(message.content).Assistant();
        ThinkTag(i);
        return {};
    }
  }

  void WriteResult(size_t i, const api::Message& message) {
    const bool first = talk_.turns[i - 1].message->role != api::Role::kTool;
    const bool last =
        i + 1 == talk_.turns.size() || talk_.turns[i + 1].message->role != api::Role::kTool;
    if (first) prompt_.Fixed("\n\n<function_results>");
    prompt_.Fixed("\n<result>").Text(message.content).Fixed("</result>");
    if (!last) return;
    prompt_.Fixed("\n</function_results>\n\n");
    ThinkTag(i);
  }

  MarkupWriter prompt_;
  const ToolConversation& talk_;
  const ToolRenderOptions& options_;
  std::optional<size_t> last_question_;
};

}  // namespace

Result<RenderedPrompt> RenderV32(const FormatTokens& tokens, std::span<const api::Message> messages,
                                 const ToolRenderOptions& options) {
  HADAL_TRY(const ToolConversation talk, ReadToolConversation(messages, options.tools, false));
  return V32Renderer(tokens, talk, options).Render();
}

}  // namespace hadal
