// Owns: which blocks hold the cache of which token prefix, and what goes when memory is short.
// Knows nothing of sequences, requests or bytes. Uses the BlockPool given to it.
//
// The key of a full block is a SHA-256 chain: key_i = SHA256(key_{i-1} || tokens of block i),
// seeded with the tenant. Equal keys mean equal tenants and equal tokens from the first on, so a
// block is never shared between tenants and a chosen prompt cannot collide with another's.
//
// Use: Lookup the keys of a prompt (the blocks found are held for the caller), Allocate the rest,
// Insert each block after the step that filled it was committed, Release from last to first.
// Thread rule: one thread (the engine's); the key functions are free of state.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/ids.h"
#include "kv/block_pool.h"

namespace hadal {

using PrefixKey = std::array<uint8_t, 32>;

// The key before the first block: SHA256(domain || tenant).
PrefixKey RootKey(std::string_view tenant);
// The key of the block that holds `tokens` after the prefix named by `parent`.
PrefixKey NextKey(const PrefixKey& parent, std::span<const TokenId> tokens);

class PrefixCache {
 public:
  // The pool must outlive the cache; blocks are taken and given back through the cache only.
  explicit PrefixCache(BlockPool& pool);

  // Number of leading keys that are present.
  size_t CountMatches(std::span<const PrefixKey> keys) const;
  // Of the first n leading matches, how many are held by nobody: taking them uses up cached blocks.
  int32_t CountCached(std::span<const PrefixKey> keys, size_t n) const;
  // Appends the blocks of the leading matches, each held for the caller.
  void Lookup(std::span<const PrefixKey> keys, std::vector<int32_t>& blocks);

  // A block held for the caller: a free one, or the least recently used cached one. A block is
  // evicted before the block it continues; when every cached block is continued by a held one, the
  // oldest goes and what continues it is forgotten. nullopt: every block is held.
  std::optional<BlockId> Allocate();
  // Blocks that Allocate could hand out now.
  int32_t available() const { return pool_.free() + pool_.cached(); }

  // Registers a full, committed, held block whose key is keys.back(), after keys.front() ..; keys
  // are those of the sequence's blocks from the first on. False when the key is there already (the
  // caller keeps a private copy) or when the block before it is not.
  bool Insert(std::span<const PrefixKey> keys, BlockId block);
  // Drops the caller's hold: a registered block stays cached, another becomes free.
  void Release(BlockId block);

  bool Contains(BlockId block) const { return Node(block.value).registered; }
  // The first violation found in the tree or the pool.
  std::optional<std::string> CheckIntegrity() const;

 private:
  static constexpr int32_t kNone = -1;
  struct TreeNode {  // of the block with the same index
    PrefixKey key{};
    bool registered = false;
    int32_t parent = kNone;
    int32_t first_child = kNone, next_sibling = kNone, previous_sibling = kNone;
  };
  struct KeyHash {
    size_t operator()(const PrefixKey& key) const;
  };
  TreeNode& Node(int32_t block) { return nodes_[static_cast<size_t>(block)]; }
  const TreeNode& Node(int32_t block) const { return nodes_[static_cast<size_t>(block)]; }
  int32_t Find(const PrefixKey& key) const;
  void Link(int32_t block, int32_t parent);
  void Forget(int32_t leaf);          // takes a block without children out of the tree
  void ForgetSubtree(int32_t block);  // cached blocks of it become free
  void EvictOne();

  BlockPool& pool_;
  std::vector<TreeNode> nodes_;
  std::unordered_map<PrefixKey, int32_t, KeyHash> by_key_;
};

}  // namespace hadal
