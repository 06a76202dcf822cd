// Owns: one compiled constraint over one vocabulary: its automaton and the masks found so far.
// Shared by all requests that use it. Knows nothing of the source it came from. Thread rule: every
// method may be called from any thread.
#pragma once

#include <memory>

#include "grammar/automaton.h"
#include "grammar/mask_cache.h"
#include "grammar/token_trie.h"

namespace hadal::grammar {

class Constraint {
 public:
  Constraint(std::shared_ptr<const Automaton> automaton, std::shared_ptr<const TokenTrie> trie,
             const Limits& limits)
      : automaton_(std::move(automaton)),
        trie_(std::move(trie)),
        limits_(limits),
        masks_(*automaton_, *trie_, limits) {}

  const Automaton& automaton() const { return *automaton_; }
  const TokenTrie& trie() const { return *trie_; }
  const Limits& limits() const { return limits_; }
  MaskCache& masks() const { return masks_; }
  size_t bytes() const { return automaton_->bytes() + masks_.bytes(); }

 private:
  std::shared_ptr<const Automaton> automaton_;
  std::shared_ptr<const TokenTrie> trie_;
  const Limits limits_;
  mutable MaskCache masks_;  // locks itself
};

}  // namespace hadal::grammar
