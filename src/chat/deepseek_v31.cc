// B system U question A </think> answer E … U question A, then <think> (reasoning) or </think>
// (none): no newline anywhere. Past answers always follow </think>, their reasoning is dropped.
// Source: model card of DeepSeek-V3.1. (Community templates write <think></think>; the card does
// not.)
#include "chat/conversation.h"
#include "chat/deepseek_format.h"
#include "chat/deepseek_formats.h"
#include "chat/prompt_writer.h"

namespace hadal {
namespace {

// What follows the first </think>, else all.
std::string_view AnswerOf(std::string_view content) {
  constexpr std::string_view kEndOfThink = "</think>";
  const size_t at = content.find(kEndOfThink);
  return at == std::string_view::npos ? content : content.substr(at + kEndOfThink.size());
}

class DeepSeekV31 final : public DeepSeekFormat {
 public:
  using DeepSeekFormat::DeepSeekFormat;

  std::string_view name() const override { return "deepseek-v3.1"; }
  bool thinking_by_default() const override { return true; }  // as DeepSeek's API does

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const RenderOptions& options) const override {
    HADAL_TRY(const Conversation conversation, ReadConversation(messages));
    PromptWriter prompt;
    prompt.Token(tokens_.bos).Text(conversation.system);
    for (const Conversation::Turn& turn : conversation.turns) {
      if (turn.from_user) {
        prompt.Token(tokens_.user).Text(turn.content);
      } else {
        prompt.Token(tokens_.assistant).Token(tokens_.think_end);
        prompt.Text(AnswerOf(turn.content)).Token(tokens_.eos);
      }
    }
    prompt.Token(tokens_.assistant);
    const Conversation::Continuation last =
        conversation.continuation.value_or(Conversation::Continuation{});
    const bool thinking = options.thinking.value_or(thinking_by_default());
    const bool replays = thinking && !last.reasoning.empty();
    if (replays || (thinking && last.content.empty())) {
      prompt.Token(tokens_.think_begin).Text(last.reasoning);
      if (last.content.empty()) return prompt.Finish(/*starts_in_reasoning=*/true);
    }
    prompt.Token(tokens_.think_end).Text(last.content);
    return prompt.Finish(/*starts_in_reasoning=*/false);
  }
};

}  // namespace

std::unique_ptr<ChatFormat> MakeDeepSeekV31(const Tokenizer& tokenizer, DeepSeekTokens tokens) {
  return std::make_unique<DeepSeekV31>(tokenizer, std::move(tokens));
}

}  // namespace hadal
