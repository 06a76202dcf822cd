#include "chat/tools/markup_writer.h"

namespace hadal {
namespace {

constexpr std::string_view kWords[] = {"<｜tool▁calls▁begin｜>",
                                       "<｜tool▁calls▁end｜>",
                                       "<｜tool▁call▁begin｜>",
                                       "<｜tool▁call▁end｜>",
                                       "<｜tool▁sep｜>",
                                       "<｜tool▁outputs▁begin｜>",
                                       "<｜tool▁outputs▁end｜>",
                                       "<｜tool▁output▁begin｜>",
                                       "<｜tool▁output▁end｜>",
                                       "｜DSML｜",
                                       "<think>",
                                       "</think>"};

}  // namespace

Result<FormatTokens> FormatTokens::Find(const Tokenizer& tokenizer) {
  FormatTokens tokens;
  HADAL_TRY(tokens.base_, FindDeepSeekTokens(tokenizer));
  for (const std::string_view word : kWords) {
    if (const auto id = tokenizer.IdOf(word)) tokens.known_.emplace_back(word, *id);
  }
  return tokens;
}

FormatTokens::Found FormatTokens::FindIn(std::string_view text) const {
  Found found;
  for (const auto& [word, id] : known_) {
    const size_t at = text.find(word);
    if (at < found.at) found = {at, word.size(), id};
  }
  return found;
}

MarkupWriter& MarkupWriter::Fixed(std::string_view words) {
  while (!words.empty()) {
    const FormatTokens::Found found = tokens_.FindIn(words);
    prompt_.Text(words.substr(0, found.at));
    if (found.at == words.npos) break;
    prompt_.Token(found.id);
    words.remove_prefix(found.at + found.length);
  }
  return *this;
}

}  // namespace hadal
