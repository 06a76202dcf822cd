// B system "### Instruction:" newline question newline "### Response:" newline answer newline
// <|EOT|> newline ...: without a system message a fixed one, with a newline at its end; a caller's
// own stands directly before "###". Source: chat_template of deepseek-coder-6.7b-instruct.
#include "chat/conversation.h"
#include "chat/native_formats.h"
#include "chat/prompt_writer.h"
#include "chat/token_format.h"

namespace hadal {
namespace {

constexpr std::string_view kEnd = "<|EOT|>";
constexpr std::string_view kSystem =
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by "
    "Deepseek "
    "Company, and you only answer questions related to computer science. For politically sensitive "
    "questions, security and privacy issues, and other non-computer science questions, you will "
    "refuse to answer\n";

class DeepSeekCoder final : public TokenFormat {
 public:
  DeepSeekCoder(const Tokenizer& tokenizer, OutputTokens output, TokenId end)
      : TokenFormat(tokenizer, std::move(output), {kEnd, "<｜end▁of▁sentence｜>"}), end_(end) {}

  std::string_view name() const override { return "deepseek-coder"; }
  bool thinking_by_default() const override { return false; }

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const RenderOptions& options) const override {
    HADAL_OK(RefuseThinking(options));
    HADAL_TRY(const Conversation conversation, ReadConversation(messages, options));
    PromptWriter prompt;
    const bool has_system =
        messages.front().role == api::Role::kSystem || !conversation.system.empty();
    prompt.Token(tokenizer_.bos()).Text(has_system ? conversation.system : kSystem);
    for (const Conversation::Turn& turn : conversation.turns) {
      if (turn.from_user) {
        prompt.Text("### Instruction:\n").Text(turn.content).Text("\n");
      } else {
        prompt.Text("### Response:\n").Text(turn.content).Text("\n").Token(end_).Text("\n");
      }
    }
    prompt.Text("### Response:\n");
    if (conversation.continuation) prompt.Text(conversation.continuation->content);
    return prompt.Finish(/*starts_in_reasoning=*/false);
  }

 private:
  const TokenId end_;
};

}  // namespace

std::unique_ptr<ChatFormat> MakeDeepSeekCoder(const Tokenizer& tokenizer,
                                              const OutputTokens& output) {
  const auto end = tokenizer.IdOf(kEnd);
  if (!end) return nullptr;
  return std::make_unique<DeepSeekCoder>(tokenizer, output, *end);
}

}  // namespace hadal
