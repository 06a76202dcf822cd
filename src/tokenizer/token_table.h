// Owns: an open-addressing map from byte strings to ids. The hash is seeded, so that a file cannot
// choose strings that collide. Keys are views: the caller keeps their bytes alive.
// Thread rule: Find may be called from any thread after the last Insert.
#pragma once

#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "core/ids.h"

namespace hadal {

// splitmix64's finaliser: every input bit reaches every output bit.
constexpr uint64_t MixBits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

inline uint64_t HashBytes(std::string_view bytes, uint64_t seed) {
  uint64_t h = seed ^ (bytes.size() * 0x9E3779B97F4A7C15ull);
  while (bytes.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), 8);
    h = MixBits(h ^ word);
    bytes.remove_prefix(8);
  }
  uint64_t word = 0;
  if (!bytes.empty()) std::memcpy(&word, bytes.data(), bytes.size());
  return MixBits(h ^ word);
}

class TokenTable {
 public:
  TokenTable() = default;
  TokenTable(uint64_t seed, size_t capacity)
      : seed_(seed), slots_(std::bit_ceil(capacity * 2 + 2)) {}

  // False when the key is there already. At most `capacity` insertions.
  bool Insert(std::string_view key, TokenId id) {
    Slot& slot = slots_[IndexOf(key)];
    if (slot.id >= 0) return false;
    slot = {key, id};
    return true;
  }
  std::optional<TokenId> Find(std::string_view key) const {
    if (slots_.empty()) return std::nullopt;
    const Slot& slot = slots_[IndexOf(key)];
    return slot.id >= 0 ? std::optional(slot.id) : std::nullopt;
  }

 private:
  struct Slot {
    std::string_view key;
    TokenId id = -1;
  };
  size_t IndexOf(std::string_view key) const {
    size_t i = HashBytes(key, seed_) & (slots_.size() - 1);
    while (slots_[i].id >= 0 && slots_[i].key != key) i = (i + 1) & (slots_.size() - 1);
    return i;
  }

  uint64_t seed_ = 0;
  std::vector<Slot> slots_;  // a power of two, at most half full
};

}  // namespace hadal
