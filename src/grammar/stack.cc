#include "grammar/stack.h"

#include <algorithm>

#include "base/check.h"

namespace hadal::grammar {
namespace {

uint64_t HashOf(std::span<const Frame> frames) {
  uint64_t h = 0xcbf29ce484222325;
  const auto mix = [&h](uint64_t v) { h = (h ^ v) * 0x9e3779b97f4a7c15 ^ h >> 29; };
  for (const Frame& f : frames) {
    mix(uint64_t{f.to.state} << 32 | f.to.repeat);
    mix(uint64_t{f.to.need} << 32 | f.to.room);
    mix(f.below);
  }
  return h;
}

}  // namespace

Stack::Stack(bool interned) : nodes_{0, 1}, frames_(1), interned_(interned) {}

uint32_t Stack::Push(std::span<const Frame> frames) {
  const uint64_t hash = interned_ ? HashOf(frames) : 0;
  if (interned_) {
    const auto [begin, end] = by_hash_.equal_range(hash);
    for (auto it = begin; it != end; ++it) {
      if (std::ranges::equal(this->frames(it->second), frames)) return it->second;
    }
  }
  const uint32_t node = n_nodes();
  frames_.insert(frames_.end(), frames.begin(), frames.end());
  nodes_.push_back(static_cast<uint32_t>(frames_.size()));
  if (interned_) by_hash_.emplace(hash, node);
  return node;
}

void Stack::CutTo(uint32_t n_nodes) {
  CHECK(!interned_ && n_nodes >= 1 && n_nodes <= this->n_nodes());
  nodes_.resize(n_nodes + 1);
  frames_.resize(nodes_.back());
}

}  // namespace hadal::grammar
