// B system newline newline "User: " question newline newline "Assistant: " answer E ...
// "Assistant:" with no space at its end. Source: chat_template of deepseek-llm-7b-chat, DeepSeek-V2
// and Coder-V2.
#include "chat/conversation.h"
#include "chat/native_formats.h"
#include "chat/prompt_writer.h"
#include "chat/token_format.h"

namespace hadal {
namespace {

class DeepSeekLlm final : public TokenFormat {
 public:
  DeepSeekLlm(const Tokenizer& tokenizer, OutputTokens output)
      : TokenFormat(tokenizer, std::move(output), {"<｜end▁of▁sentence｜>"}) {}

  std::string_view name() const override { return "deepseek-llm"; }
  bool thinking_by_default() const override { return false; }

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const RenderOptions& options) const override {
    HADAL_OK(RefuseThinking(options));
    HADAL_TRY(const Conversation conversation, ReadConversation(messages, options));
    PromptWriter prompt;
    prompt.Token(tokenizer_.bos());
    if (!conversation.system.empty()) prompt.Text(conversation.system).Text("\n\n");
    for (const Conversation::Turn& turn : conversation.turns) {
      if (turn.from_user) {
        prompt.Text("User: ").Text(turn.content).Text("\n\n");
      } else {
        prompt.Text("Assistant: ").Text(turn.content).Token(tokenizer_.eos());
      }
    }
    prompt.Text("Assistant:");
    const bool continues = conversation.continuation && !conversation.continuation->content.empty();
    if (continues) prompt.Text(" ").Text(conversation.continuation->content);
    return prompt.Finish(/*starts_in_reasoning=*/false);
  }
};

}  // namespace

std::unique_ptr<ChatFormat> MakeDeepSeekLlm(const Tokenizer& tokenizer,
                                            const OutputTokens& output) {
  if (!tokenizer.bos() || !tokenizer.eos()) return nullptr;
  return std::make_unique<DeepSeekLlm>(tokenizer, output);
}

}  // namespace hadal
