#include "chat/tools/tool_format.h"

#include "chat/tools/tool_renderers.h"

namespace hadal {
namespace {

ToolMarkup MarkupOf(ToolPrompt prompt) {
  switch (prompt) {
    case ToolPrompt::kV3:
    case ToolPrompt::kR1:
      return ToolMarkup::kFenced;
    case ToolPrompt::kV31:
      return ToolMarkup::kPlain;
    case ToolPrompt::kV32:
      return ToolMarkup::kDsmlV32;
    case ToolPrompt::kV4:
      break;
  }
  return ToolMarkup::kDsmlV4;
}

class Format final : public ToolFormat {
 public:
  Format(const Tokenizer& tokenizer, ToolPrompt prompt, FormatTokens tokens)
      : prompt_(prompt),
        tokenizer_(tokenizer),
        tokens_(std::move(tokens)),
        table_(MarkupOf(prompt)),
        tool_tokens_(tokenizer, MarkupOf(prompt)) {}

  Result<RenderedPrompt> Render(std::span<const api::Message> messages,
                                const ToolRenderOptions& options) const override {
    switch (prompt_) {
      case ToolPrompt::kV3:
      case ToolPrompt::kR1:
        return RenderFenced(tokens_, prompt_ == ToolPrompt::kR1, messages, options);
      case ToolPrompt::kV31:
        return RenderV31(tokens_, messages, options);
      case ToolPrompt::kV32:
        return RenderV32(tokens_, messages, options);
      case ToolPrompt::kV4:
        break;
    }
    return RenderV4(tokens_, messages, options);
  }

  std::unique_ptr<AnswerParser> NewParser(bool starts_in_reasoning,
                                          std::string id_prefix) const override {
    const AnswerParser::Shared shared{tokenizer_, tokens_.base(), tool_tokens_, table_,
                                      MarkupOf(prompt_)};
    return std::make_unique<AnswerParser>(shared, starts_in_reasoning, std::move(id_prefix));
  }

 private:
  const ToolPrompt prompt_;
  const Tokenizer& tokenizer_;
  const FormatTokens tokens_;
  const TagTable table_;
  const ToolTokens tool_tokens_;
};

}  // namespace

RenderedPrompt BeginAnswer(MarkupWriter& prompt, const api::Message* continuation, bool thinking) {
  const std::string reasoning =
      continuation != nullptr ? continuation->reasoning_content.value_or("") : std::string();
  const std::string_view content =
      continuation != nullptr ? std::string_view(continuation->content) : std::string_view();
  if (thinking && (!reasoning.empty() || content.empty())) {
    prompt.Think(true).Text(reasoning);
    if (content.empty()) return prompt.Finish(/*starts_in_reasoning=*/true);
  }
  return prompt.Think(false).Text(content).Finish(/*starts_in_reasoning=*/false);
}

Result<std::unique_ptr<ToolFormat>> MakeToolFormat(const Tokenizer& tokenizer, ToolPrompt prompt) {
  HADAL_TRY(FormatTokens tokens, FormatTokens::Find(tokenizer));
  return std::unique_ptr<ToolFormat>(
      std::make_unique<Format>(tokenizer, prompt, std::move(tokens)));
}

}  // namespace hadal
