// Owns: the tokens that matter when a model's output is read, found by their strings: those around
// reasoning and those that are never shown. Knows nothing of messages.
// Thread rule: immutable after FindOutputTokens.
#pragma once

#include <optional>
#include <vector>

#include "base/error.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

struct OutputTokens {
  std::optional<TokenId> think_begin, think_end;  // both or neither
  // Tokens that are never shown as text, by id: those flagged special and those written as control
  // tokens (<｜…｜>, <|…|>) whatever their flag says.
  std::vector<bool> hidden;
};

// kUnsupportedModel: one of <think> and </think> is missing.
Result<OutputTokens> FindOutputTokens(const Tokenizer& tokenizer);

}  // namespace hadal
