// Owns: turning sources into Constraints, each compiled once and kept while there is room: least
// recently used first out, bounded by the bytes of automata and masks.
// Knows nothing of requests. Thread rule: every method may be called from any thread; two threads
// that ask for the same source at once may both compile it, and one result is kept.
//
//   ConstraintCache cache(trie, {});
//   HADAL_TRY(auto constraint, cache.Get({ConstraintKind::kJsonSchema, text, options}));
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "grammar/constraint.h"
#include "grammar/constraint_source.h"

namespace hadal::grammar {

class ConstraintCache {
 public:
  struct Options {
    Limits limits;
    size_t max_bytes = 256u << 20;
    size_t max_entries = 1024;
  };
  ConstraintCache(std::shared_ptr<const TokenTrie> trie, Options options)
      : trie_(std::move(trie)), options_(options) {}

  Result<std::shared_ptr<const Constraint>> Get(const ConstraintSource& source);
  // A constraint of the caller's making; `key` says all that `compile` depends on.
  using Compiler = std::function<Result<Compiled>(const Limits&)>;
  Result<std::shared_ptr<const Constraint>> Get(std::string_view key, const Compiler& compile);

  const TokenTrie& trie() const { return *trie_; }
  struct Counts {
    size_t entries = 0, bytes = 0;
    uint64_t hits = 0, compiled = 0, evicted = 0;
  };
  Counts counts() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const Constraint> constraint;
  };
  size_t BytesLocked() const;
  void EvictLocked();

  const std::shared_ptr<const TokenTrie> trie_;
  const Options options_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  std::map<std::string, std::list<Entry>::iterator, std::less<>> by_key_;
  // What does not compile, so that sending it again costs nothing.
  static constexpr size_t kMostFailures = 256;
  std::map<std::string, Error, std::less<>> failed_;
  Counts counts_;
};

}  // namespace hadal::grammar
