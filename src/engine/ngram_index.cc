#include "engine/ngram_index.h"

#include <algorithm>
#include <bit>

namespace hadal {
namespace {

constexpr size_t kRun = 3;

}  // namespace

size_t NgramIndex::SlotOf(std::span<const TokenId> tokens, size_t follower) const {
  uint64_t hash = 0;
  for (size_t i = follower - kRun; i < follower; ++i) {
    hash = (hash ^ static_cast<uint32_t>(tokens[i])) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 32;
  }
  return hash & (followers_.size() - 1);
}

// The last run has no follower yet and stays out, or it would find itself.
void NgramIndex::Extend(std::span<const TokenId> tokens) {
  constexpr size_t kSmallest = 256;
  if (followers_.size() < 2 * tokens.size()) {
    followers_.assign(std::bit_ceil(std::max(kSmallest, 3 * tokens.size())), 0);
    indexed_ = 0;
  }
  for (indexed_ = std::max(indexed_, kRun); indexed_ < tokens.size(); ++indexed_) {
    followers_[SlotOf(tokens, indexed_)] = static_cast<int32_t>(indexed_);
  }
}

int32_t NgramIndex::Draft(std::vector<TokenId>& tokens, int32_t most) {
  if (tokens.size() < kRun) return 0;
  Extend(tokens);
  const auto last = static_cast<ptrdiff_t>(tokens.size() - kRun);
  const auto from = static_cast<size_t>(followers_[SlotOf(tokens, tokens.size())]);
  if (from == 0 || !std::equal(tokens.begin() + last, tokens.end(),
                               tokens.begin() + static_cast<ptrdiff_t>(from - kRun))) {
    return 0;
  }
  for (int32_t i = 0; i < most; ++i) tokens.push_back(tokens[from + static_cast<size_t>(i)]);
  return most;
}

}  // namespace hadal
