#include "kv/block_pool.h"

#include <fmt/format.h>

#include "base/check.h"

namespace hadal {

BlockPool::BlockPool(int32_t n_blocks) {
  CHECK(n_blocks >= 0);
  blocks_.resize(static_cast<size_t>(n_blocks));
  free_.reserve(blocks_.size());
  for (int32_t i = n_blocks; i-- > 0;) free_.push_back(i);  // block 0 is taken first
}

BlockPool::Block& BlockPool::At(BlockId id) {
  CHECK(id.value >= 0 && id.value < total());
  return blocks_[static_cast<size_t>(id.value)];
}

const BlockPool::Block& BlockPool::At(BlockId id) const {
  CHECK(id.value >= 0 && id.value < total());
  return blocks_[static_cast<size_t>(id.value)];
}

std::optional<BlockId> BlockPool::TakeFree() {
  if (free_.empty()) return std::nullopt;
  const BlockId id(free_.back());
  free_.pop_back();
  Block& block = At(id);
  block.state = State::kHeld;
  block.references = 1;
  ++held_;
  return id;
}

void BlockPool::Retain(BlockId id) {
  Block& block = At(id);
  CHECK(block.state != State::kFree);
  if (block.state == State::kCached) {
    Unlink(block);
    --cached_;
    ++held_;
    block.state = State::kHeld;
  }
  ++block.references;
}

void BlockPool::Release(BlockId id, bool keep_cached) {
  Block& block = At(id);
  CHECK(block.state == State::kHeld && block.references > 0);
  if (--block.references > 0) return;
  --held_;
  if (!keep_cached) {
    block.state = State::kFree;
    free_.push_back(id.value);
    return;
  }
  block.state = State::kCached;
  block.older = tail_;
  block.newer = kNone;
  (tail_ == kNone ? head_ : At(BlockId(tail_)).newer) = id.value;
  tail_ = id.value;
  ++cached_;
}

void BlockPool::Evict(BlockId id) {
  Block& block = At(id);
  CHECK(block.state == State::kCached);
  Unlink(block);
  --cached_;
  block.state = State::kFree;
  free_.push_back(id.value);
}

void BlockPool::Unlink(Block& block) {
  (block.older == kNone ? head_ : At(BlockId(block.older)).newer) = block.newer;
  (block.newer == kNone ? tail_ : At(BlockId(block.newer)).older) = block.older;
  block.older = block.newer = kNone;
}

std::optional<std::string> BlockPool::CheckIntegrity() const {
  int32_t n_free = 0, n_held = 0, n_cached = 0;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& b = blocks_[i];
    n_free += b.state == State::kFree;
    n_held += b.state == State::kHeld;
    n_cached += b.state == State::kCached;
    if ((b.references > 0) != (b.state == State::kHeld)) {
      return fmt::format("block {} has {} references in state {}", i, b.references,
                         static_cast<int>(b.state));
    }
  }
  if (n_free != free() || n_held != held_ || n_cached != cached_) {
    return fmt::format("counted {} free, {} held, {} cached; recorded {}, {}, {}", n_free, n_held,
                       n_cached, free(), held_, cached_);
  }
  if (free() + held_ + cached_ != total()) {
    return fmt::format("{} free + {} held + {} cached are not {}", free(), held_, cached_, total());
  }
  std::vector<bool> on_stack(blocks_.size());
  for (const int32_t i : free_) {
    if (on_stack[static_cast<size_t>(i)]) return fmt::format("block {} is free twice", i);
    on_stack[static_cast<size_t>(i)] = true;
    if (At(BlockId(i)).state != State::kFree) {
      return fmt::format("block {} is on the free stack but not free", i);
    }
  }
  int32_t listed = 0, previous = kNone;
  for (int32_t i = head_; i != kNone; i = At(BlockId(i)).newer) {
    const Block& b = At(BlockId(i));
    if (++listed > cached_ || b.state != State::kCached || b.older != previous) {
      return fmt::format("the list of cached blocks is broken at block {}", i);
    }
    previous = i;
  }
  if (listed != cached_ || tail_ != previous) return "the list of cached blocks lost its end";
  return std::nullopt;
}

}  // namespace hadal
