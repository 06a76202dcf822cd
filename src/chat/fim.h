// Owns: prompts in which a model fills the middle between a prefix and a suffix. Knows nothing of
// chats. Sources: the DeepSeek coder and V3 cards (fim▁begin, fim▁hole, fim▁end); Qwen2.5-Coder's
// card (fim_prefix, fim_suffix, fim_middle). Both write: begin PREFIX hole SUFFIX end. Thread rule:
// immutable values.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "chat/chat_format.h"
#include "tokenizer/tokenizer.h"

namespace hadal {

struct FimTokens {
  TokenId begin = 0, hole = 0, end = 0;
};

// By their strings; nothing when the vocabulary lacks one of them.
std::optional<FimTokens> FindFimTokens(const Tokenizer& tokenizer);
std::vector<Piece> FimPieces(const FimTokens& tokens, std::string_view prefix,
                             std::string_view suffix);

}  // namespace hadal
