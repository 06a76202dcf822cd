// Owns: small vocabularies and random walks for tests of constraints. Included by tests only.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/constraint_cache.h"
#include "grammar/matcher.h"

namespace hadal::grammar::testing {

// 256 single bytes (id = byte), then words; the last id stops.
struct SmallVocabulary {
  std::vector<std::string> words{
      "\"",     "\":",  "\": ",     "\", \"",  "\",\"",    "{\"",  "\"}", "}}",    "]}",
      "},{",    "null", "true",     "false",   "al",       "se",   " ",   "  ",    "\n  ",
      "\n\n",   "12",   "345",      "0.5",     "-1",       "e+1",  "10",  "00",    "\\u",
      "\\\"",   "\\n",  "\\ud83d",  "\\ude00", "abc",      "name", "na",  "me\":", "é",
      "\xC3",   "你好", "\xE4\xBD", "😀",      "\x9F\x98", ",",    "[[",  "]]",    "\"a",
      "\"b\":", "x\"]", "\"]",      "[]",      "{}"};
  std::shared_ptr<const TokenTrie> trie;
  TokenId stop = 0;

  SmallVocabulary() {
    std::vector<std::string> all;
    for (int byte = 0; byte < 256; ++byte) all.emplace_back(1, static_cast<char>(byte));
    all.insert(all.end(), words.begin(), words.end());
    all.emplace_back();  // a control token
    all.emplace_back();
    stop = static_cast<TokenId>(all.size() - 1);
    const std::vector<std::string_view> views(all.begin(), all.end());
    trie = *TokenTrie::Build(views, {{stop}});
  }
};

inline bool IsSet(std::span<const uint64_t> mask, TokenId id) {
  return (mask[static_cast<size_t>(id) / 64] >> (static_cast<uint32_t>(id) % 64) & 1) != 0;
}

inline std::shared_ptr<const Constraint> Make(const ConstraintSource& source,
                                              std::shared_ptr<const TokenTrie> trie,
                                              const Limits& limits = {}) {
  auto automaton = Compile(source, limits);
  if (!automaton) {
    ADD_FAILURE() << automaton.error().message;
    return nullptr;
  }
  return std::make_shared<const Constraint>(*automaton, std::move(trie), limits);
}

// Reads the text byte by byte and tells whether it is a complete output.
inline bool Matches(const std::shared_ptr<const Constraint>& constraint, std::string_view text) {
  Matcher matcher(constraint);
  const auto ok = matcher.Accept(text);
  return ok && *ok && matcher.IsComplete();
}
inline bool Matches(const ConstraintSource& source, std::string_view text) {
  static const SmallVocabulary vocabulary;
  const auto constraint = Make(source, vocabulary.trie);
  return constraint && Matches(constraint, text);
}

// Takes random allowed tokens until the output stops. After `nudge` tokens the walk stops as soon
// as it may and prefers bytes that close something.
inline std::string RandomOutput(Matcher& matcher, std::mt19937& random, int nudge, int limit) {
  std::vector<uint64_t> mask(matcher.n_words());
  const TokenTrie& trie = matcher.constraint().trie();
  std::string out;
  for (int step = 0; step < limit; ++step) {
    const Status filled = matcher.FillMask(mask);
    if (!filled) {
      ADD_FAILURE() << filled.error().message << " after " << out;
      return out;
    }
    std::vector<TokenId> allowed, closing;
    for (TokenId id = 0; id < static_cast<TokenId>(trie.vocab_size()); ++id) {
      if (!IsSet(mask, id)) continue;
      allowed.push_back(id);
      const std::string_view bytes = trie.BytesOf(id);
      if (bytes.size() == 1 && std::string_view("\"]}0123456789").find(bytes[0]) != bytes.npos) {
        closing.push_back(id);
      }
    }
    if (matcher.IsComplete() && (step > nudge || random() % 4 == 0 || allowed.size() == 1)) {
      return out;
    }
    const bool close = step > nudge && !closing.empty() && random() % 8 != 0;
    const auto& from = close ? closing : allowed;
    const TokenId id = from[random() % from.size()];
    if (trie.IsStop(id)) return out;
    const auto ok = matcher.Accept(id);
    if (!ok || !*ok) {
      ADD_FAILURE() << "the mask allows a token that Accept refuses after " << out;
      return out;
    }
    out += trie.BytesOf(id);
  }
  return "";  // not finished
}

}  // namespace hadal::grammar::testing
