#include "chat/output_tokens.h"

#include <string_view>

namespace hadal {
namespace {

constexpr std::string_view kThink = "<think>", kEndOfThink = "</think>";

bool IsWrittenAsControl(std::string_view token) {
  return (token.starts_with("<｜") && token.ends_with("｜>")) ||
         (token.starts_with("<|") && token.ends_with("|>"));
}

}  // namespace

Result<OutputTokens> FindOutputTokens(const Tokenizer& tokenizer) {
  OutputTokens tokens;
  tokens.think_begin = tokenizer.IdOf(kThink);
  tokens.think_end = tokenizer.IdOf(kEndOfThink);
  if (tokens.think_begin.has_value() != tokens.think_end.has_value()) {
    return Fail(
        ErrorCode::kUnsupportedModel, "no chat format fits this tokenizer: it has {} but lacks {}",
        tokens.think_begin ? kThink : kEndOfThink, tokens.think_begin ? kEndOfThink : kThink);
  }
  tokens.hidden.resize(static_cast<size_t>(tokenizer.vocab_size()));
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    tokens.hidden[static_cast<size_t>(id)] =
        tokenizer.IsAdded(id) &&
        (tokenizer.IsSpecial(id) || IsWrittenAsControl(tokenizer.BytesOf(id)));
  }
  return tokens;
}

}  // namespace hadal
