// B system U question A answer E … U question A <think> newline: the prompt ends inside the
// reasoning, so the output lacks the opening tag. Past answers are written without their reasoning.
// Source: chat_template of DeepSeek-R1 and of the distilled models (since February 2025).
#include "chat/conversation.h"
#include "chat/deepseek_format.h"
#include "chat/deepseek_formats.h"
#include "chat/prompt_writer.h"

namespace hadal {
namespace {

// What follows the last </think>, else all.
std::string_view AnswerOf(std::string_view content) {
  constexpr std::string_view kEndOfThink = "</think>";
  const size_t at = content.rfind(kEndOfThink);
  return at == std::string_view::npos ? content : content.substr(at + kEndOfThink.size());
}

class DeepSeekR1 final : public DeepSeekFormat {
 public:
  using DeepSeekFormat::DeepSeekFormat;

  std::string_view name() const override { return "deepseek-r1"; }
  bool thinking_by_default() const override { return true; }

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const RenderOptions& options) const override {
    if (!options.thinking.value_or(true)) {
      return FailField(ErrorCode::kInvalidArgument, "thinking",
                       "thinking is disabled, but this model always reasons");
    }
    HADAL_TRY(const Conversation conversation, ReadConversation(messages));
    PromptWriter prompt;
    prompt.Token(tokens_.bos).Text(conversation.system);
    for (const Conversation::Turn& turn : conversation.turns) {
      if (turn.from_user) {
        prompt.Token(tokens_.user).Text(turn.content);
      } else {
        prompt.Token(tokens_.assistant).Text(AnswerOf(turn.content)).Token(tokens_.eos);
      }
    }
    prompt.Token(tokens_.assistant);
    const Conversation::Continuation last =
        conversation.continuation.value_or(Conversation::Continuation{});
    if (last.reasoning.empty() && !last.content.empty()) {  // written as a past answer is
      return prompt.Text(last.content).Finish(/*starts_in_reasoning=*/false);
    }
    prompt.Token(tokens_.think_begin).Text("\n").Text(last.reasoning);
    if (last.content.empty()) return prompt.Finish(/*starts_in_reasoning=*/true);
    prompt.Text("\n").Token(tokens_.think_end).Text("\n\n").Text(last.content);
    return prompt.Finish(/*starts_in_reasoning=*/false);
  }
};

}  // namespace

std::unique_ptr<ChatFormat> MakeDeepSeekR1(const Tokenizer& tokenizer, DeepSeekTokens tokens) {
  return std::make_unique<DeepSeekR1>(tokenizer, std::move(tokens));
}

}  // namespace hadal
