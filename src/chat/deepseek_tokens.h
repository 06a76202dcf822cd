// Owns: the control tokens that DeepSeek's chat formats share, found by their strings: the ids
// differ between vocabularies. Knows nothing of messages.
// Thread rule: immutable after FindDeepSeekTokens.
#pragma once

#include <optional>
#include <vector>

#include "base/error.h"
#include "chat/output_tokens.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

struct DeepSeekTokens : OutputTokens {
  std::optional<TokenId> bos;
  TokenId eos = 0, user = 0, assistant = 0;
  bool has_search = false;  // <｜search▁begin｜>, first seen in V3.1
  bool has_system = false;  // <｜System｜>, first seen in V4.1
};

// kUnsupportedModel names the strings that are missing.
Result<DeepSeekTokens> FindDeepSeekTokens(const Tokenizer& tokenizer);

}  // namespace hadal
