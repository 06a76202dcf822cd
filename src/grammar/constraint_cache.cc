#include "grammar/constraint_cache.h"

#include "access/sha256.h"

namespace hadal::grammar {
namespace {

std::string KeyOf(const ConstraintSource& source) {
  std::string text =
      fmt::format("{} {} {} {} {}\n", static_cast<int>(source.kind),
                  static_cast<int>(source.schema.space), source.schema.open_objects,
                  source.schema.ignore_unknown_keywords, source.schema.ignore_unknown_formats);
  const bool reads_text =
      source.kind != ConstraintKind::kJsonObject && source.kind != ConstraintKind::kText;
  if (reads_text) text += source.text;
  return text;
}

}  // namespace

Result<std::shared_ptr<const Constraint>> ConstraintCache::Get(const ConstraintSource& source) {
  return Get(KeyOf(source), [&source](const Limits& limits) -> Result<Compiled> {
    HADAL_TRY(auto automaton, Compile(source, limits));
    return Compiled{std::move(automaton)};
  });
}

Result<std::shared_ptr<const Constraint>> ConstraintCache::Get(std::string_view key,
                                                               const Compiler& compile) {
  std::string hash = Sha256Hex(key);
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = by_key_.find(hash); it != by_key_.end()) {
      ++counts_.hits;
      entries_.splice(entries_.begin(), entries_, it->second);
      return it->second->constraint;
    }
    if (const auto it = failed_.find(hash); it != failed_.end()) {
      return tl::make_unexpected(it->second);
    }
  }
  Result<Compiled> compiled = compile(options_.limits);
  if (!compiled) {
    const std::lock_guard lock(mutex_);
    if (failed_.size() >= kMostFailures) failed_.clear();
    failed_.emplace(std::move(hash), compiled.error());
    return tl::make_unexpected(std::move(compiled).error());
  }
  auto made = std::make_shared<const Constraint>(std::move(*compiled), trie_, options_.limits);
  const std::lock_guard lock(mutex_);
  ++counts_.compiled;
  if (const auto it = by_key_.find(hash); it != by_key_.end()) return it->second->constraint;
  entries_.push_front({hash, made});
  by_key_[std::move(hash)] = entries_.begin();
  EvictLocked();
  return made;
}

size_t ConstraintCache::BytesLocked() const {
  size_t bytes = 0;
  for (const Entry& entry : entries_) bytes += 256 + entry.constraint->bytes();
  return bytes;
}

// The newest is kept even when it is alone too large. Masks grow after an entry was made, so the
// sum is taken anew each time.
void ConstraintCache::EvictLocked() {
  size_t bytes = BytesLocked();
  while (entries_.size() > 1 &&
         (bytes > options_.max_bytes || entries_.size() > options_.max_entries)) {
    bytes -= 256 + entries_.back().constraint->bytes();
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
    ++counts_.evicted;
  }
}

ConstraintCache::Counts ConstraintCache::counts() const {
  const std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.entries = entries_.size();
  counts.bytes = BytesLocked();
  return counts;
}

}  // namespace hadal::grammar
