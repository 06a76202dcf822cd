// B <|start_header_id|> role <|end_header_id|> newline newline content <|eot_id|> ..., the content
// without white space at its ends. Source: chat_template of Meta-Llama-3-8B-Instruct.
#include "chat/conversation.h"
#include "chat/native_formats.h"
#include "chat/prompt_writer.h"
#include "chat/token_format.h"
#include "jinja/text.h"

namespace hadal {
namespace {

constexpr std::string_view kBegin = "<|start_header_id|>", kEnd = "<|end_header_id|>",
                           kEndOfTurn = "<|eot_id|>";

struct HeaderTokens {
  TokenId begin = 0, end = 0, end_of_turn = 0;
};

std::string Stripped(std::string_view content, jinja::Ends ends) {
  jinja::Text text;
  text.Append(content, false);
  return jinja::Strip(text, nullptr, ends).bytes;
}

class Llama3 final : public TokenFormat {
 public:
  Llama3(const Tokenizer& tokenizer, OutputTokens output, HeaderTokens tokens)
      : TokenFormat(tokenizer, std::move(output), {kEndOfTurn, "<|eom_id|>", "<|end_of_text|>"}),
        tokens_(tokens) {}

  std::string_view name() const override { return "llama-3"; }
  bool thinking_by_default() const override { return false; }

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const RenderOptions& options) const override {
    HADAL_OK(RefuseThinking(options));
    HADAL_TRY(const Conversation conversation, ReadConversation(messages, options));
    PromptWriter prompt;
    prompt.Token(tokenizer_.bos());
    for (const api::Message& message : messages) {
      if (message.prefix) break;  // the last
      WriteHeader(prompt, message.role == api::Role::kSystem      ? "system"
                          : message.role == api::Role::kAssistant ? "assistant"
                                                                  : "user");
      prompt.Text(Stripped(message.content, jinja::Ends())).Token(tokens_.end_of_turn);
    }
    WriteHeader(prompt, "assistant");
    if (conversation.continuation) {
      prompt.Text(Stripped(conversation.continuation->content, {.right = false}));
    }
    return prompt.Finish(/*starts_in_reasoning=*/false);
  }

 private:
  void WriteHeader(PromptWriter& prompt, std::string_view role) const {
    prompt.Token(tokens_.begin).Text(role).Token(tokens_.end).Text("\n\n");
  }

  const HeaderTokens tokens_;
};

}  // namespace

std::unique_ptr<ChatFormat> MakeLlama3(const Tokenizer& tokenizer, const OutputTokens& output) {
  const auto begin = tokenizer.IdOf(kBegin), end = tokenizer.IdOf(kEnd),
             end_of_turn = tokenizer.IdOf(kEndOfTurn);
  if (!begin || !end || !end_of_turn) return nullptr;
  return std::make_unique<Llama3>(tokenizer, output, HeaderTokens{*begin, *end, *end_of_turn});
}

}  // namespace hadal
