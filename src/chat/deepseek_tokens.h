// Owns: the control tokens that DeepSeek's chat formats share, found by their strings: the ids
// differ between vocabularies. Knows nothing of messages.
// Thread rule: immutable after FindDeepSeekTokens.
#pragma once

#include <optional>
#include <vector>

#include "base/error.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

struct DeepSeekTokens {
  std::optional<TokenId> bos;
  TokenId eos = 0, user = 0, assistant = 0;
  std::optional<TokenId> think_begin, think_end;  // both or neither
  bool has_search = false;                        // <｜search▁begin｜>, first seen in V3.1
  bool has_system = false;                        // <｜System｜>, first seen in V4.1
  // Tokens that are never shown as text, by id: those flagged special and those written as control
  // tokens (<｜…｜>, <|…|>) whatever their flag says.
  std::vector<bool> hidden;
};

// kUnsupportedModel names the strings that are missing.
Result<DeepSeekTokens> FindDeepSeekTokens(const Tokenizer& tokenizer);

}  // namespace hadal
