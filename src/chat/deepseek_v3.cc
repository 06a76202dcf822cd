// B system U question A answer E U question A …: no space or newline between.
// Source: chat_template of DeepSeek-V3's tokenizer_config.json.
#include "chat/conversation.h"
#include "chat/deepseek_formats.h"
#include "chat/prompt_writer.h"
#include "chat/reasoning_parser.h"

namespace hadal {
namespace {

class DeepSeekV3 final : public ChatFormat {
 public:
  DeepSeekV3(const Tokenizer& tokenizer, DeepSeekTokens tokens)
      : tokenizer_(tokenizer), tokens_(std::move(tokens)) {}

  std::string_view name() const override { return "deepseek-v3"; }
  bool thinking_by_default() const override { return false; }
  std::vector<TokenId> stop_tokens() const override { return {tokens_.eos}; }
  std::unique_ptr<OutputParser> NewParser(bool starts_in_reasoning) const override {
    return std::make_unique<ReasoningParser>(tokenizer_, tokens_, starts_in_reasoning);
  }

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const RenderOptions& options) const override {
    if (options.thinking.value_or(false)) {
      return FailField(ErrorCode::kInvalidArgument, "thinking",
                       "thinking is enabled, but this model has no reasoning mode");
    }
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

 private:
  const Tokenizer& tokenizer_;
  DeepSeekTokens tokens_;
};

}  // namespace

std::unique_ptr<ChatFormat> MakeDeepSeekV3(const Tokenizer& tokenizer, DeepSeekTokens tokens) {
  return std::make_unique<DeepSeekV3>(tokenizer, std::move(tokens));
}

}  // namespace hadal
