#include "tokenizer/bpe.h"

#include <algorithm>
#include <functional>

namespace hadal {
namespace {

// Positions are 32-bit; a longer word is cut here. No request body comes near.
constexpr size_t kMaxWordBytes = size_t{1} << 30;

}  // namespace

Bpe::Bpe(Spec spec) : spec_(std::move(spec)), slots_(std::bit_ceil(spec_.merges.size() * 2 + 2)) {
  for (size_t rank = 0; rank < spec_.merges.size(); ++rank) {
    const uint64_t pair = PairOf(spec_.merges[rank].left, spec_.merges[rank].right);
    slots_[IndexOf(pair)] = {pair, static_cast<uint32_t>(rank)};
  }
}

size_t Bpe::IndexOf(uint64_t pair) const {
  size_t i = MixBits(pair ^ spec_.seed) & (slots_.size() - 1);
  while (slots_[i].rank != kNoRank && slots_[i].pair != pair) i = (i + 1) & (slots_.size() - 1);
  return i;
}

uint32_t Bpe::RankOf(TokenId left, TokenId right, bool allow_added) const {
  const uint32_t rank = slots_[IndexOf(PairOf(left, right))].rank;
  if (rank == kNoRank || allow_added) return rank;
  return spec_.is_added[static_cast<size_t>(spec_.merges[rank].merged)] ? kNoRank : rank;
}

void Bpe::Encode(std::string_view word, bool allow_added, Scratch& scratch,
                 std::vector<TokenId>& out) const {
  if (const auto id = spec_.whole_words.Find(word);
      id && (allow_added || !spec_.is_added[static_cast<size_t>(*id)])) {
    out.push_back(*id);
    return;
  }
  while (!word.empty()) {
    const std::string_view part = word.substr(0, kMaxWordBytes);
    word.remove_prefix(part.size());
    scratch.symbols.clear();
    for (const char c : part) {
      const TokenId id = spec_.byte_tokens[static_cast<unsigned char>(c)];
      const auto at = static_cast<int32_t>(scratch.symbols.size());
      if (id >= 0) scratch.symbols.push_back({id, at - 1, at + 1});
    }
    if (scratch.symbols.empty()) continue;
    scratch.symbols.back().next = -1;
    if (scratch.symbols.size() > 1) MergeAll(allow_added, scratch);
    for (const Scratch::Symbol& symbol : scratch.symbols) {
      if (symbol.id >= 0) out.push_back(symbol.id);
    }
  }
}

void Bpe::MergeAll(bool allow_added, Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& queue = scratch.queue;
  queue.clear();
  const auto entry_at = [&](int32_t at) -> uint64_t {
    const Scratch::Symbol& left = symbols[static_cast<size_t>(at)];
    const uint32_t rank = RankOf(left.id, symbols[static_cast<size_t>(left.next)].id, allow_added);
    return rank == kNoRank ? UINT64_MAX
                           : static_cast<uint64_t>(rank) << 32 | static_cast<uint32_t>(at);
  };
  const auto push = [&](int32_t at) {
    const uint64_t entry = entry_at(at);
    if (entry == UINT64_MAX) return;
    queue.push_back(entry);
    std::push_heap(queue.begin(), queue.end(), std::greater<>());
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    const uint64_t entry = entry_at(static_cast<int32_t>(i));
    if (entry != UINT64_MAX) queue.push_back(entry);
  }
  std::make_heap(queue.begin(), queue.end(), std::greater<>());
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const auto at = static_cast<int32_t>(queue.back() & UINT32_MAX);
    const Merge& merge = spec_.merges[queue.back() >> 32];
    queue.pop_back();
    Scratch::Symbol& left = symbols[static_cast<size_t>(at)];
    if (left.id < 0 || left.next < 0) continue;
    Scratch::Symbol& right = symbols[static_cast<size_t>(left.next)];
    // The entry is stale when its symbols have changed since, unless they now merge to the same
    // token: the reference compares the result, not the pair.
    if (left.id != merge.left || right.id != merge.right) {
      const uint32_t rank = RankOf(left.id, right.id, allow_added);
      if (rank == kNoRank || spec_.merges[rank].merged != merge.merged) continue;
    }
    left.id = merge.merged;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = at;
    if (left.previous >= 0) push(left.previous);
    if (left.next >= 0) push(at);
  }
}

}  // namespace hadal
