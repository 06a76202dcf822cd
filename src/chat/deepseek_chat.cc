#include "chat/deepseek_chat.h"

#include <array>
#include <utility>

#include "chat/conversation.h"
#include "chat/deepseek_tokens.h"

namespace hadal {
namespace {

enum class Thinking { kNever, kAlways, kChosen };

struct Kind {
  ToolPrompt prompt;
  std::string_view name;
  Thinking thinking;
  ToolMarkup markup;
  // What a model writes around </think>.
  std::string_view before_end = {}, after_end = {};
};
constexpr std::array kKinds = {
    Kind{ToolPrompt::kV3, "deepseek-v3", Thinking::kNever, ToolMarkup::kFenced},
    Kind{ToolPrompt::kR1, "deepseek-r1", Thinking::kAlways, ToolMarkup::kFenced, "\n", "\n\n"},
    Kind{ToolPrompt::kV31, "deepseek-v3.1", Thinking::kChosen, ToolMarkup::kPlain},
    Kind{ToolPrompt::kV32, "deepseek-v3.2", Thinking::kChosen, ToolMarkup::kDsmlV32},
    Kind{ToolPrompt::kV4, "deepseek-v4", Thinking::kChosen, ToolMarkup::kDsmlV4},
};

ToolRenderOptions::Effort EffortOf(api::Effort effort) {
  switch (effort) {
    case api::Effort::kLow:
      return ToolRenderOptions::Effort::kLow;
    case api::Effort::kHigh:
      return ToolRenderOptions::Effort::kHigh;
    case api::Effort::kMax:
      return ToolRenderOptions::Effort::kMax;
  }
  return ToolRenderOptions::Effort::kLow;
}

class DeepSeekChat final : public ChatFormat {
 public:
  DeepSeekChat(const Tokenizer& tokenizer, const Kind& kind, DeepSeekTokens tokens,
               std::unique_ptr<ToolFormat> format)
      : kind_(kind), tokens_(std::move(tokens)), format_(std::move(format)) {
    const auto text = [&](std::string_view words) {
      for (const TokenId id : tokenizer.Encode(words, Tokenizer::Special::kAsText)) {
        end_of_reasoning_.push_back(id);
      }
    };
    if (kind.thinking == Thinking::kNever) return;
    text(kind.before_end);
    end_of_reasoning_.push_back(*tokens_.think_end);
    text(kind.after_end);
  }

  std::string_view name() const override { return kind_.name; }
  bool thinking_by_default() const override { return kind_.thinking != Thinking::kNever; }
  bool can_think() const override { return kind_.thinking != Thinking::kNever; }
  bool must_think() const override { return kind_.thinking == Thinking::kAlways; }
  std::vector<TokenId> stop_tokens() const override { return {tokens_.eos}; }
  std::vector<TokenId> end_of_reasoning() const override { return end_of_reasoning_; }
  std::optional<TokenId> think_begin() const override { return tokens_.think_begin; }
  std::optional<TokenId> think_end() const override { return tokens_.think_end; }
  std::optional<ToolMarkup> tool_markup() const override { return kind_.markup; }

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const RenderOptions& options) const override {
    if (kind_.thinking == Thinking::kNever) HADAL_OK(RefuseThinking(options));
    if (kind_.thinking == Thinking::kAlways && !options.thinking.value_or(true)) {
      return FailField(ErrorCode::kInvalidArgument, "thinking",
                       "thinking is disabled, but this model always reasons");
    }
    ToolRenderOptions tool_options;
    tool_options.thinking = options.thinking.value_or(thinking_by_default());
    tool_options.tools = options.tools;
    tool_options.response_schema = options.response_schema;
    if (options.effort) tool_options.effort = EffortOf(*options.effort);
    return format_->Render(messages, tool_options);
  }

  std::unique_ptr<OutputParser> NewParser(bool starts_in_reasoning,
                                          std::string call_ids) const override {
    return format_->NewParser(starts_in_reasoning, std::move(call_ids));
  }

 private:
  const Kind kind_;
  const DeepSeekTokens tokens_;
  const std::unique_ptr<ToolFormat> format_;
  std::vector<TokenId> end_of_reasoning_;
};

}  // namespace

std::optional<ToolPrompt> DeepSeekPromptNamed(std::string_view name) {
  for (const Kind& kind : kKinds) {
    if (kind.name == name) return kind.prompt;
  }
  return std::nullopt;
}

Result<std::unique_ptr<ChatFormat>> MakeDeepSeekChat(const Tokenizer& tokenizer,
                                                     ToolPrompt prompt) {
  HADAL_TRY(DeepSeekTokens tokens, FindDeepSeekTokens(tokenizer));
  HADAL_TRY(auto format, MakeToolFormat(tokenizer, prompt));
  for (const Kind& kind : kKinds) {
    if (kind.prompt != prompt) continue;
    if (kind.thinking != Thinking::kNever && !tokens.think_end) {
      return Fail(ErrorCode::kUnsupportedModel, "{} needs the tokens <think> and </think>",
                  kind.name);
    }
    return std::unique_ptr<ChatFormat>(
        std::make_unique<DeepSeekChat>(tokenizer, kind, std::move(tokens), std::move(format)));
  }
  return Fail(ErrorCode::kInternal, "an unknown chat format");
}

}  // namespace hadal
