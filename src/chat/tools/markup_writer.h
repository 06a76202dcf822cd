// Owns: writing a format's own words into a prompt: control tokens inside them become ids where the
// vocabulary has them, as when the whole prompt is one text; a caller's words stay text.
// Thread rule: FormatTokens is immutable; a writer is one thread's.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/deepseek_tokens.h"
#include "chat/prompt_writer.h"

namespace hadal {

class FormatTokens {
 public:
  static Result<FormatTokens> Find(const Tokenizer& tokenizer);
  const DeepSeekTokens& base() const { return base_; }
  // The earliest control token in `text`: where, its length, its id. npos: none.
  struct Found {
    size_t at = std::string_view::npos, length = 0;
    TokenId id = 0;
  };
  Found FindIn(std::string_view text) const;

 private:
  DeepSeekTokens base_;
  std::vector<std::pair<std::string_view, TokenId>> known_;
};

class MarkupWriter {
 public:
  explicit MarkupWriter(const FormatTokens& tokens) : tokens_(tokens) {}

  MarkupWriter& Fixed(std::string_view words);
  MarkupWriter& Text(std::string_view text) {
    prompt_.Text(text);
    return *this;
  }
  MarkupWriter& Tokens(std::span<const TokenId> ids) {
    for (const TokenId id : ids) prompt_.Token(id);
    return *this;
  }
  MarkupWriter& Begin() {
    prompt_.Token(tokens_.base().bos);
    return *this;
  }
  MarkupWriter& User() {
    prompt_.Token(tokens_.base().user);
    return *this;
  }
  MarkupWriter& Assistant() {
    prompt_.Token(tokens_.base().assistant);
    return *this;
  }
  MarkupWriter& EndAnswer() {
    prompt_.Token(tokens_.base().eos);
    return *this;
  }
  MarkupWriter& Think(bool begin) { return Fixed(begin ? "<think>" : "</think>"); }
  RenderedPrompt Finish(bool starts_in_reasoning) { return prompt_.Finish(starts_in_reasoning); }

 private:
  const FormatTokens& tokens_;
  PromptWriter prompt_;
};

}  // namespace hadal
