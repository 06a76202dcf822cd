// Owns: which tokens a state of an automaton allows, remembered. What a token does inside the rule
// of the state is one entry; where it leaves the rule, a further entry per place returned to tells
// how it goes on, and so on downwards. So a mask found under one caller serves under every other.
// Knows nothing of requests. Thread rule: every method may be called from any thread; one lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "grammar/relative_reader.h"
#include "grammar/token_trie.h"

namespace hadal::grammar {

class MaskCache {
 public:
  MaskCache(const Automaton& automaton, const TokenTrie& trie, const Limits& limits);

  // Sets the bits of all tokens that some configuration can read; `mask` has n_words() or more
  // words. kInvalidArgument when the grammar is too ambiguous to say within the limits.
  Status Fill(std::span<const Config> configs, const Stack& stack, std::span<uint64_t> mask);
  size_t bytes() const;
  struct Counts {
    uint64_t hits = 0, computed = 0, cleared = 0;
  };
  Counts counts() const;

 private:
  struct Entry {
    bool has_exits = true;        // otherwise nothing follows the rule, and exits stay empty
    std::vector<uint64_t> bits;   // either these
    std::vector<TokenId> tokens;  // or these
    std::vector<uint32_t> exits;  // nodes of the trie where the rule can be left and bytes follow
    std::map<Return, std::unique_ptr<Entry>> below;
  };
  struct Visit {
    const Entry* entry;
    uint32_t node;
    auto operator<=>(const Visit&) const = default;
  };
  Result<Entry*> EntryOf(uint32_t state);
  Result<Entry*> EntryBelow(Entry& above, const Return& to);
  // The tokens below `nodes` of the tree, read from `start` on.
  Status Compute(int32_t start, std::span<const uint32_t> nodes, bool is_return, Entry& entry);
  Status Walk(uint32_t node, int32_t start, Entry& entry);
  void Apply(const Entry& entry, std::span<uint64_t> mask) const;
  Return Clamp(Return to) const;

  const Automaton& automaton_;
  const TokenTrie& trie_;
  const Limits limits_;
  mutable std::mutex mutex_;  // guards all below
  RelativeReader reader_;
  std::unordered_map<uint32_t, std::unique_ptr<Entry>> entries_;
  std::vector<int32_t> path_;  // state by depth, during Walk
  std::vector<TokenId> found_;
  uint64_t walked_ = 0;
  std::atomic<size_t> bytes_ = 0;  // read without the lock: a fill may take long
  Counts counts_;
};

}  // namespace hadal::grammar
