#include "kv/prefix_cache.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <cstring>
#include <memory>

#include "base/check.h"

namespace hadal {
namespace {

// SHA-256 of two byte strings, one after the other.
PrefixKey Sha256(std::span<const uint8_t> first, std::span<const uint8_t> second) {
  struct FreeContext {
    void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
  };
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  PrefixKey key;
  unsigned int size = 0;
  // Fails only without memory or without SHA-256; a wrong key would mix tenants, so stop.
  CHECK(context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1 &&
        EVP_DigestUpdate(context.get(), first.data(), first.size()) == 1 &&
        EVP_DigestUpdate(context.get(), second.data(), second.size()) == 1 &&
        EVP_DigestFinal_ex(context.get(), key.data(), &size) == 1 && size == key.size());
  return key;
}

std::span<const uint8_t> Bytes(const void* data, size_t size) {
  return {static_cast<const uint8_t*>(data), size};
}

}  // namespace

PrefixKey RootKey(std::string_view tenant) {
  static constexpr std::string_view kDomain = "hadal prefix cache 1";
  return Sha256(Bytes(kDomain.data(), kDomain.size()), Bytes(tenant.data(), tenant.size()));
}

PrefixKey NextKey(const PrefixKey& parent, std::span<const TokenId> tokens) {
  return Sha256(parent, Bytes(tokens.data(), tokens.size_bytes()));
}

size_t PrefixCache::KeyHash::operator()(const PrefixKey& key) const {
  size_t h = 0;
  std::memcpy(&h, key.data(), sizeof h);  // the key is already uniformly distributed
  return h;
}

PrefixCache::PrefixCache(BlockPool& pool) : pool_(pool) {
  nodes_.resize(static_cast<size_t>(pool.total()));
  by_key_.reserve(nodes_.size());
}

int32_t PrefixCache::Find(const PrefixKey& key) const {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? kNone : it->second;
}

size_t PrefixCache::CountMatches(std::span<const PrefixKey> keys) const {
  size_t n = 0;
  while (n < keys.size() && Find(keys[n]) != kNone) ++n;
  return n;
}

int32_t PrefixCache::CountCached(std::span<const PrefixKey> keys, size_t n) const {
  int32_t cached = 0;
  for (size_t i = 0; i < n; ++i) {
    const int32_t block = Find(keys[i]);
    CHECK(block != kNone);
    cached += pool_.state(BlockId(block)) == BlockPool::State::kCached;
  }
  return cached;
}

void PrefixCache::Lookup(std::span<const PrefixKey> keys, std::vector<int32_t>& blocks) {
  for (const PrefixKey& key : keys) {
    const int32_t block = Find(key);
    if (block == kNone) return;
    pool_.Retain(BlockId(block));
    blocks.push_back(block);
  }
}

std::optional<BlockId> PrefixCache::Allocate() {
  if (pool_.free() == 0 && pool_.cached() > 0) EvictOne();
  return pool_.TakeFree();
}

void PrefixCache::EvictOne() {
  // Sequences release from last to first, so the oldest is nearly always a leaf.
  for (auto id = pool_.OldestCached(); id; id = pool_.NewerCached(*id)) {
    if (Node(id->value).first_child != kNone) continue;
    Forget(id->value);
    pool_.Evict(*id);
    return;
  }
  ForgetSubtree(pool_.OldestCached()->value);
}

bool PrefixCache::Insert(std::span<const PrefixKey> keys, BlockId block) {
  CHECK(!keys.empty() && pool_.state(block) == BlockPool::State::kHeld);
  CHECK(!Node(block.value).registered);
  if (Find(keys.back()) != kNone) return false;
  const int32_t parent = keys.size() == 1 ? kNone : Find(keys[keys.size() - 2]);
  if (keys.size() > 1 && parent == kNone) return false;
  Node(block.value).key = keys.back();
  Link(block.value, parent);
  by_key_.emplace(keys.back(), block.value);
  return true;
}

void PrefixCache::Release(BlockId block) { pool_.Release(block, Node(block.value).registered); }

void PrefixCache::Link(int32_t block, int32_t parent) {
  TreeNode& node = Node(block);
  node.registered = true;
  node.parent = parent;
  if (parent == kNone) return;
  node.next_sibling = Node(parent).first_child;
  if (node.next_sibling != kNone) Node(node.next_sibling).previous_sibling = block;
  Node(parent).first_child = block;
}

void PrefixCache::Forget(int32_t leaf) {
  TreeNode& node = Node(leaf);
  CHECK(node.registered && node.first_child == kNone);
  by_key_.erase(node.key);
  if (node.next_sibling != kNone) Node(node.next_sibling).previous_sibling = node.previous_sibling;
  if (node.previous_sibling != kNone) {
    Node(node.previous_sibling).next_sibling = node.next_sibling;
  } else if (node.parent != kNone) {
    Node(node.parent).first_child = node.next_sibling;
  }
  node = TreeNode{};
}

void PrefixCache::ForgetSubtree(int32_t block) {
  int32_t at = block;
  while (true) {
    while (Node(at).first_child != kNone) at = Node(at).first_child;
    const int32_t parent = Node(at).parent;
    Forget(at);
    if (pool_.state(BlockId(at)) == BlockPool::State::kCached) pool_.Evict(BlockId(at));
    if (at == block) return;
    at = parent;
  }
}

std::optional<std::string> PrefixCache::CheckIntegrity() const {
  if (auto violation = pool_.CheckIntegrity()) return violation;
  size_t registered = 0, children = 0, with_parent = 0;
  for (int32_t i = 0; i < pool_.total(); ++i) {
    const TreeNode& node = Node(i);
    const BlockPool::State state = pool_.state(BlockId(i));
    if (node.registered != (state == BlockPool::State::kCached) &&
        state != BlockPool::State::kHeld) {
      return fmt::format("block {} is {}in the tree in state {}", i, node.registered ? "" : "not ",
                         static_cast<int>(state));
    }
    if (!node.registered) continue;
    ++registered;
    with_parent += node.parent != kNone;
    if (Find(node.key) != i) return fmt::format("the key of block {} leads elsewhere", i);
    for (int32_t c = node.first_child; c != kNone; c = Node(c).next_sibling) {
      if (++children > nodes_.size()) return fmt::format("children of block {} form a ring", i);
      if (!Node(c).registered || Node(c).parent != i) {
        return fmt::format("block {} is no child of block {}", c, i);
      }
    }
  }
  if (registered != by_key_.size() || children != with_parent) {
    return fmt::format("{} blocks in the tree, {} keys; {} children, {} with a parent", registered,
                       by_key_.size(), children, with_parent);
  }
  return std::nullopt;
}

}  // namespace hadal
