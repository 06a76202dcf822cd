// Owns: what the formats without <｜User｜> have in common: tokens, ends of an answer, how the
// output is split. A format adds its name and Render. Thread rule: immutable; the tokenizer
// outlives it.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/chat_format.h"
#include "chat/output_tokens.h"
#include "chat/reasoning_parser.h"

namespace hadal {

class TokenFormat : public ChatFormat {
 public:
  // ends: tokens that end an answer beside the tokenizer's own, where the vocabulary has them.
  TokenFormat(const Tokenizer& tokenizer, OutputTokens output,
              std::initializer_list<std::string_view> ends)
      : tokenizer_(tokenizer), output_(std::move(output)) {
    if (const auto eos = tokenizer.eos()) stop_tokens_.push_back(*eos);
    for (const std::string_view end : ends) {
      const auto id = tokenizer.IdOf(end);
      if (id && id != tokenizer.eos()) stop_tokens_.push_back(*id);
    }
  }

  std::vector<TokenId> stop_tokens() const final { return stop_tokens_; }
  bool can_think() const override { return output_.think_end.has_value(); }
  std::optional<TokenId> think_begin() const final { return output_.think_begin; }
  std::optional<TokenId> think_end() const final { return output_.think_end; }
  std::vector<TokenId> end_of_reasoning() const final {
    return output_.think_end ? std::vector<TokenId>{*output_.think_end} : std::vector<TokenId>{};
  }
  std::unique_ptr<OutputParser> NewParser(bool starts_in_reasoning, std::string) const final {
    return std::make_unique<ReasoningParser>(tokenizer_, output_, starts_in_reasoning);
  }

 protected:
  const Tokenizer& tokenizer_;
  const OutputTokens output_;
  std::vector<TokenId> stop_tokens_;
};

}  // namespace hadal
