// Owns: one compiled constraint over one vocabulary: its automaton and the masks found so far.
// Shared by all requests that use it. Knows nothing of the source it came from. Thread rule: every
// method may be called from any thread.
#pragma once

#include <memory>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/mask_cache.h"
#include "grammar/token_trie.h"

namespace hadal::grammar {

// What a source was compiled to.
struct Compiled {
  std::shared_ptr<const Automaton> automaton;
  std::vector<Error> warnings = {};  // what is not enforced as it was asked for, with its field
};

class Constraint {
 public:
  Constraint(std::shared_ptr<const Automaton> automaton, std::shared_ptr<const TokenTrie> trie,
             const Limits& limits)
      : Constraint(Compiled{std::move(automaton)}, std::move(trie), limits) {}
  Constraint(Compiled compiled, std::shared_ptr<const TokenTrie> trie, const Limits& limits)
      : automaton_(std::move(compiled.automaton)),
        warnings_(std::move(compiled.warnings)),
        trie_(std::move(trie)),
        limits_(limits),
        masks_(*automaton_, *trie_, limits) {}

  const Automaton& automaton() const { return *automaton_; }
  const std::vector<Error>& warnings() const { return warnings_; }
  const TokenTrie& trie() const { return *trie_; }
  const Limits& limits() const { return limits_; }
  MaskCache& masks() const { return masks_; }
  size_t bytes() const { return automaton_->bytes() + masks_.bytes(); }

 private:
  std::shared_ptr<const Automaton> automaton_;
  std::vector<Error> warnings_;
  std::shared_ptr<const TokenTrie> trie_;
  const Limits limits_;
  mutable MaskCache masks_;  // locks itself
};

}  // namespace hadal::grammar
