// Owns: what the formats with <｜User｜> and <｜Assistant｜> have in common: their tokens, the end
// of an answer, and how the output is split. A format adds its name and Render. Thread rule:
// immutable.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "chat/chat_format.h"
#include "chat/deepseek_tokens.h"
#include "chat/reasoning_parser.h"

namespace hadal {

class DeepSeekFormat : public ChatFormat {
 public:
  DeepSeekFormat(const Tokenizer& tokenizer, DeepSeekTokens tokens)
      : tokens_(std::move(tokens)), tokenizer_(tokenizer) {}

  std::vector<TokenId> stop_tokens() const final { return {tokens_.eos}; }
  std::unique_ptr<OutputParser> NewParser(bool starts_in_reasoning) const final {
    return std::make_unique<ReasoningParser>(tokenizer_, tokens_, starts_in_reasoning);
  }

 protected:
  const DeepSeekTokens tokens_;

 private:
  const Tokenizer& tokenizer_;
};

}  // namespace hadal
