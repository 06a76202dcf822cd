#include "grammar/mask_cache.h"

#include <algorithm>

#include "base/check.h"

namespace hadal::grammar {
namespace {

constexpr size_t kMaxReaderStates = 8192;
constexpr size_t kMaxVisits = 1u << 14;

tl::unexpected<Error> TooAmbiguous() {
  return Fail(ErrorCode::kInvalidArgument,
              "the grammar can be read in too many ways at once; make its alternatives begin "
              "differently");
}

}  // namespace

MaskCache::MaskCache(const Automaton& automaton, const TokenTrie& trie, const Limits& limits)
    : automaton_(automaton),
      trie_(trie),
      limits_(limits),
      reader_(automaton, limits),
      path_(trie.max_token_bytes() + 1) {}

size_t MaskCache::bytes() const { return bytes_; }

MaskCache::Counts MaskCache::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

// Counts further away than the longest token cannot be told apart by a token.
Return MaskCache::Clamp(Return to) const {
  const uint32_t far = trie_.max_token_bytes() + 1;
  if (to.repeat == kNone) return to;
  to.need = std::min(to.need, far);
  if (to.room > far) to.room = kNone;
  return to;
}

Status MaskCache::Fill(std::span<const Config> configs, const Stack& stack,
                       std::span<uint64_t> mask) {
  CHECK(mask.size() >= trie_.n_words());
  const std::lock_guard lock(mutex_);
  if (bytes_ > limits_.max_mask_bytes) {
    entries_.clear();
    bytes_ = 0;
    ++counts_.cleared;
  }
  walked_ = 0;
  std::fill(mask.begin(), mask.end(), 0);
  std::vector<Visit> visits;
  for (const Config& config : configs) {
    HADAL_TRY(Entry * entry, EntryOf(config.state));
    visits.push_back({entry, config.node});
  }
  // Depth by depth; the same place reached in two ways is looked at once.
  std::vector<Visit> below;
  size_t n_visits = 0;
  while (!visits.empty()) {
    std::sort(visits.begin(), visits.end());
    visits.erase(std::unique(visits.begin(), visits.end()), visits.end());
    n_visits += visits.size();
    if (n_visits > kMaxVisits) return TooAmbiguous();
    for (const Visit& visit : visits) {
      Apply(*visit.entry, mask);
      if (visit.entry->exits.empty()) continue;
      for (const Frame& frame : stack.frames(visit.node)) {
        if (frame.to.is_bottom()) continue;
        HADAL_TRY(Entry * entry, EntryBelow(const_cast<Entry&>(*visit.entry), Clamp(frame.to)));
        below.push_back({entry, frame.below});
      }
    }
    visits.swap(below);
    below.clear();
  }
  return {};
}

void MaskCache::Apply(const Entry& entry, std::span<uint64_t> mask) const {
  if (!entry.bits.empty()) {
    const uint64_t* from = entry.bits.data();
    uint64_t* to = mask.data();
    for (size_t i = 0, n = entry.bits.size(); i < n; ++i) to[i] |= from[i];
  }
  for (const TokenId id : entry.tokens) {
    mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (static_cast<uint32_t>(id) % 64);
  }
}

Result<MaskCache::Entry*> MaskCache::EntryOf(uint32_t state) {
  const auto it = entries_.find(state);
  if (it != entries_.end()) {
    ++counts_.hits;
    return it->second.get();
  }
  const uint32_t root = 0;
  if (reader_.n_states() > kMaxReaderStates) reader_.Clear();
  auto entry = std::make_unique<Entry>();
  entry->has_exits = !automaton_.is_outermost(state);
  HADAL_OK(Compute(reader_.FromState(state), {&root, 1}, false, *entry));
  return (entries_[state] = std::move(entry)).get();
}

Result<MaskCache::Entry*> MaskCache::EntryBelow(Entry& above, const Return& to) {
  const auto it = above.below.find(to);
  if (it != above.below.end()) {
    ++counts_.hits;
    return it->second.get();
  }
  if (reader_.n_states() > kMaxReaderStates) reader_.Clear();
  auto entry = std::make_unique<Entry>();
  entry->has_exits = !automaton_.is_outermost(to.state);
  HADAL_OK(Compute(reader_.FromReturn(to), above.exits, true, *entry));
  return (above.below[to] = std::move(entry)).get();
}

Status MaskCache::Compute(int32_t start, std::span<const uint32_t> nodes, bool is_return,
                          Entry& entry) {
  ++counts_.computed;
  if (start == RelativeReader::kTooMany) return TooAmbiguous();
  if (start != RelativeReader::kDead) {
    found_.clear();
    for (const uint32_t node : nodes) {
      if (is_return && entry.has_exits && reader_.AtBottom(start)) entry.exits.push_back(node);
      HADAL_OK(Walk(node, start, entry));
    }
    if (found_.size() > trie_.n_words()) {
      entry.bits.resize(trie_.n_words());
      for (const TokenId id : found_) {
        entry.bits[static_cast<size_t>(id) / 64] |= uint64_t{1} << (static_cast<uint32_t>(id) % 64);
      }
    } else {
      entry.tokens = found_;
    }
  }
  bytes_ += 160 + entry.bits.size() * 8 + entry.tokens.size() * 4 + entry.exits.size() * 4;
  return {};
}

// The tokens strictly below `node` that can be read from `start`.
Status MaskCache::Walk(uint32_t node, int32_t start, Entry& entry) {
  const uint32_t end = trie_.end(node);
  path_[trie_.depth(node)] = start;
  const uint64_t begun = reader_.steps();
  for (uint32_t i = node + 1; i < end;) {
    ++walked_;
    const int32_t state = reader_.Step(path_[trie_.depth(i) - 1u], trie_.byte(i));
    if (state < 0) {
      if (state == RelativeReader::kTooMany) return TooAmbiguous();
      i = trie_.end(i);
      continue;
    }
    path_[trie_.depth(i)] = state;
    for (const TokenId id : trie_.tokens(i)) found_.push_back(id);
    if (entry.has_exits && trie_.end(i) > i + 1 && reader_.AtBottom(state)) {
      entry.exits.push_back(i);
    }
    if (walked_ + reader_.steps() - begun > limits_.max_mask_steps) return TooAmbiguous();
    ++i;
  }
  walked_ += reader_.steps() - begun;
  return {};
}

}  // namespace hadal::grammar
