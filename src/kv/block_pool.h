// Owns: which block of the paged cache is free, held or cached. Pure bookkeeping: no bytes, no
// device, no keys. The prefix tree (kv/prefix_cache.h) decides which cached block goes first.
//
// A block is in exactly one state:
//   free    nobody needs its content
//   held    n >= 1 sequences have it in their block table
//   cached  nobody holds it, its content may be found again; kept in order of last use
// Thread rule: one thread (the engine's). No allocation after construction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kv/layout.h"

namespace hadal {

class BlockPool {
 public:
  enum class State : uint8_t { kFree, kHeld, kCached };

  explicit BlockPool(int32_t n_blocks);

  int32_t total() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t free() const { return static_cast<int32_t>(free_.size()); }
  int32_t cached() const { return cached_; }
  int32_t held() const { return held_; }
  State state(BlockId id) const { return At(id).state; }
  int32_t references(BlockId id) const { return At(id).references; }

  // free -> held by one.
  std::optional<BlockId> TakeFree();
  // held by n -> held by n + 1; cached -> held by one.
  void Retain(BlockId id);
  // held by n -> held by n - 1; the last holder makes it cached (most recently used) or free.
  void Release(BlockId id, bool keep_cached);
  // cached -> free.
  void Evict(BlockId id);

  // Cached blocks from least to most recently used.
  std::optional<BlockId> OldestCached() const { return Optional(head_); }
  std::optional<BlockId> NewerCached(BlockId id) const { return Optional(At(id).newer); }

  // The first violation found: counts, lists and states must agree.
  std::optional<std::string> CheckIntegrity() const;

 private:
  static constexpr int32_t kNone = -1;
  struct Block {
    State state = State::kFree;
    int32_t references = 0;
    int32_t older = kNone, newer = kNone;  // neighbours in the list of cached blocks
  };
  static std::optional<BlockId> Optional(int32_t index) {
    return index == kNone ? std::nullopt : std::optional(BlockId(index));
  }
  Block& At(BlockId id);
  const Block& At(BlockId id) const;
  void Unlink(Block& block);

  std::vector<Block> blocks_;
  std::vector<int32_t> free_;            // a stack
  int32_t head_ = kNone, tail_ = kNone;  // oldest and newest cached block
  int32_t cached_ = 0, held_ = 0;
};

}  // namespace hadal
