// Owns: byte-pair merging of one word. Knows nothing of text, JSON or added tokens' strings.
// The order of merges is the reference's: lowest rank first, then leftmost. A word of n bytes takes
// O(n log n).
// Thread rule: immutable after construction; Encode may be called from any thread, a Scratch
// belongs to one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.h"
#include "tokenizer/token_table.h"

namespace hadal {

struct Merge {
  TokenId left = 0, right = 0, merged = 0;
};

class Bpe {
 public:
  struct Spec {
    std::array<TokenId, 256> byte_tokens{};  // id of each single byte, -1 = none
    std::vector<Merge> merges;               // by rank; a repeated pair counts at its last rank
    std::vector<bool> is_added;              // by id
    TokenTable whole_words;                  // ignore_merges: a word found here is one token
    uint64_t seed = 0;
  };
  struct Scratch {
    struct Symbol {
      TokenId id;  // -1 = merged into its left neighbour
      int32_t previous, next;
    };
    std::vector<Symbol> symbols;
    std::vector<uint64_t> queue;  // rank << 32 | position, smallest first
  };

  explicit Bpe(Spec spec);

  // Appends the tokens of `word`. Without allow_added no merge and no whole word may give an added
  // token. Bytes without a token (they occur in no valid UTF-8) are left out.
  void Encode(std::string_view word, bool allow_added, Scratch& scratch,
              std::vector<TokenId>& out) const;

 private:
  static constexpr uint32_t kNoRank = UINT32_MAX;
  struct Slot {
    uint64_t pair = UINT64_MAX;
    uint32_t rank = kNoRank;
  };
  static uint64_t PairOf(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t IndexOf(uint64_t pair) const;
  uint32_t RankOf(TokenId left, TokenId right, bool allow_added) const;
  void MergeAll(bool allow_added, Scratch& scratch) const;

  Spec spec_;
  std::vector<Slot> slots_;  // pair -> rank; a power of two, at most half full
};

}  // namespace hadal
