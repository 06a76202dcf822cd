// <|im_start|> role newline content <|im_end|> newline ... <|im_start|> assistant newline. System
// messages stay where they stand. Qwen2 and Qwen2.5 begin with a system message of their own when
// the first is none; Qwen3 writes an empty <think></think> when it shall not reason.
// Source: chat_template of Qwen2.5-7B-Instruct, Qwen2-7B-Instruct, Qwen3-8B.
#include "chat/conversation.h"
#include "chat/native_formats.h"
#include "chat/prompt_writer.h"
#include "chat/token_format.h"

namespace hadal {
namespace {

constexpr std::string_view kStart = "<|im_start|>", kEnd = "<|im_end|>";

struct ChatMlTokens {
  TokenId start = 0, end = 0;
};

// What follows the last </think> and the newlines after it, else all.
std::string_view AnswerOf(std::string_view content) {
  constexpr std::string_view kEndOfThink = "</think>";
  const size_t at = content.rfind(kEndOfThink);
  if (at == std::string_view::npos) return content;
  content.remove_prefix(at + kEndOfThink.size());
  content.remove_prefix(std::min(content.find_first_not_of('\n'), content.size()));
  return content;
}

std::string_view NameOf(api::Role role) {
  return role == api::Role::kSystem      ? "system"
         : role == api::Role::kAssistant ? "assistant"
                                         : "user";
}

class ChatMl final : public TokenFormat {
 public:
  ChatMl(const Tokenizer& tokenizer, OutputTokens output, ChatMlTokens tokens,
         std::string_view system)
      : TokenFormat(tokenizer, std::move(output), {kEnd, "<|endoftext|>"}),
        tokens_(tokens),
        system_(system) {}

  std::string_view name() const override { return "chatml"; }
  bool thinking_by_default() const override { return output_.think_begin.has_value(); }

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const RenderOptions& options) const override {
    if (!output_.think_begin) HADAL_OK(RefuseThinking(options));
    HADAL_TRY(const Conversation conversation, ReadConversation(messages, options));
    PromptWriter prompt;
    if (tokenizer_.add_bos()) prompt.Token(tokenizer_.bos());
    if (!system_.empty() && messages.front().role != api::Role::kSystem) {
      WriteTurn(prompt, "system", system_);
    }
    for (const api::Message& message : messages) {
      if (message.prefix) break;  // the last
      const bool is_answer = message.role == api::Role::kAssistant && output_.think_begin;
      WriteTurn(prompt, NameOf(message.role),
                is_answer ? AnswerOf(message.content) : std::string_view(message.content));
    }
    prompt.Token(tokens_.start).Text("assistant\n");
    return FinishAnswer(prompt, conversation, options);
  }

 private:
  void WriteTurn(PromptWriter& prompt, std::string_view role, std::string_view content) const {
    prompt.Token(tokens_.start).Text(role).Text("\n").Text(content);
    prompt.Token(tokens_.end).Text("\n");
  }
  RenderedPrompt FinishAnswer(PromptWriter& prompt, const Conversation& conversation,
                              const RenderOptions& options) const {
    const Conversation::Continuation last =
        conversation.continuation.value_or(Conversation::Continuation{});
    if (output_.think_begin && !last.reasoning.empty()) {
      prompt.Token(output_.think_begin).Text("\n").Text(last.reasoning);
      if (last.content.empty()) return prompt.Finish(/*starts_in_reasoning=*/true);
      prompt.Text("\n").Token(output_.think_end).Text("\n\n");
    } else if (output_.think_begin && !options.thinking.value_or(true)) {
      prompt.Token(output_.think_begin).Text("\n\n").Token(output_.think_end).Text("\n\n");
    }
    return prompt.Text(last.content).Finish(/*starts_in_reasoning=*/false);
  }

  const ChatMlTokens tokens_;
  const std::string_view system_;
};

}  // namespace

std::unique_ptr<ChatFormat> MakeChatMl(const Tokenizer& tokenizer, const OutputTokens& output,
                                       std::string_view architecture) {
  const auto start = tokenizer.IdOf(kStart), end = tokenizer.IdOf(kEnd);
  if (!start || !end) return nullptr;
  std::string_view system;
  if (architecture == "qwen2" && !output.think_begin) {  // <tool_call> came with Qwen2.5
    system = tokenizer.IdOf("<tool_call>")
                 ? "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
                 : "You are a helpful assistant.";
  }
  return std::make_unique<ChatMl>(tokenizer, output, ChatMlTokens{*start, *end}, system);
}

}  // namespace hadal
