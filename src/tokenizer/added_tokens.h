// Owns: finding added tokens ("<｜User｜>") in text by their exact strings, longest first, with the
// flags of tokenizer.json. Knows nothing of merges.
// Thread rule: immutable after Seal; Split may be called from any thread.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.h"

namespace hadal {

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;
  bool normalized = false;   // looked for in the normalised text instead of the raw one
  bool lstrip = false;       // also takes white space before it
  bool rstrip = false;       // also takes white space after it
  bool single_word = false;  // only where no word character touches it
};

class AddedTokenMatcher {
 public:
  struct Part {
    std::string_view text;  // the token's string where id >= 0
    TokenId id = -1;
  };

  void Add(AddedToken token) { tokens_.push_back(std::move(token)); }
  void Seal();  // after the last Add
  bool empty() const { return tokens_.empty(); }

  // Cuts `text` at the leftmost, longest, non-overlapping occurrences.
  void Split(std::string_view text, std::vector<Part>& out) const;

 private:
  const AddedToken* LongestAt(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;      // sorted by content
  std::array<uint32_t, 257> bucket_{};  // tokens_ index of the first content with this first byte
};

}  // namespace hadal
