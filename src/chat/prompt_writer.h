// Owns: collecting the pieces of a prompt in order. Knows nothing of formats.
// Thread rule: one writer, one thread.
#pragma once

#include <string_view>
#include <vector>

#include "chat/chat_format.h"

namespace hadal {

class PromptWriter {
 public:
  PromptWriter& Token(TokenId id) {
    pieces_.emplace_back(id);
    return *this;
  }
  PromptWriter& Token(std::optional<TokenId> id) { return id ? Token(*id) : *this; }
  // Neighbouring texts become one piece: they are tokenised together, as in a rendered string.
  PromptWriter& Text(std::string_view text) {
    if (text.empty()) return *this;
    if (!pieces_.empty() && std::holds_alternative<TextPiece>(pieces_.back())) {
      std::get<TextPiece>(pieces_.back()).text += text;
    } else {
      pieces_.emplace_back(TextPiece{std::string(text)});
    }
    return *this;
  }
  RenderedPrompt Finish(bool starts_in_reasoning) {
    return {std::move(pieces_), starts_in_reasoning};
  }

 private:
  std::vector<Piece> pieces_;
};

}  // namespace hadal
