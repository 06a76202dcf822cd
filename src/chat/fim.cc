#include "chat/fim.h"

#include <array>
#include <string>

namespace hadal {
namespace {

using Names = std::array<std::string_view, 3>;
constexpr std::array kSpellings = {
    Names{"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},
    Names{"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
};

}  // namespace

std::optional<FimTokens> FindFimTokens(const Tokenizer& tokenizer) {
  for (const Names& names : kSpellings) {
    const auto begin = tokenizer.IdOf(names[0]), hole = tokenizer.IdOf(names[1]),
               end = tokenizer.IdOf(names[2]);
    if (begin && hole && end) return FimTokens{*begin, *hole, *end};
  }
  return std::nullopt;
}

std::vector<Piece> FimPieces(const FimTokens& tokens, std::string_view prefix,
                             std::string_view suffix) {
  return {tokens.begin, TextPiece{std::string(prefix)}, tokens.hole, TextPiece{std::string(suffix)},
          tokens.end};
}

}  // namespace hadal
