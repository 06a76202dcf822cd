// B system U question A answer E U question A …: no space or newline between.
// Source: chat_template of DeepSeek-V3's tokenizer_config.json.
#include "chat/conversation.h"
#include "chat/deepseek_format.h"
#include "chat/deepseek_formats.h"
#include "chat/prompt_writer.h"

namespace hadal {
namespace {

class DeepSeekV3 final : public DeepSeekFormat {
 public:
  using DeepSeekFormat::DeepSeekFormat;

  std::string_view name() const override { return "deepseek-v3"; }
  bool thinking_by_default() const override { return false; }

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const RenderOptions& options) const override {
    HADAL_OK(RefuseThinking(options));
    HADAL_TRY(const Conversation conversation, ReadConversation(messages));
    PromptWriter prompt;
    prompt.Token(tokens_.bos).Text(conversation.system);
    for (const Conversation::Turn& turn : conversation.turns) {
      prompt.Token(turn.from_user ? tokens_.user : tokens_.assistant).Text(turn.content);
      if (!turn.from_user) prompt.Token(tokens_.eos);
    }
    prompt.Token(tokens_.assistant);
    if (conversation.continuation) prompt.Text(conversation.continuation->content);
    return prompt.Finish(/*starts_in_reasoning=*/false);
  }
};

}  // namespace

std::unique_ptr<ChatFormat> MakeDeepSeekV3(const Tokenizer& tokenizer, DeepSeekTokens tokens) {
  return std::make_unique<DeepSeekV3>(tokenizer, std::move(tokens));
}

}  // namespace hadal
