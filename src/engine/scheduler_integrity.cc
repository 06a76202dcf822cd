// The invariants of the scheduler, as one function that tests call after every step.
#include <fmt/format.h>

#include <algorithm>

#include "engine/scheduler.h"

namespace hadal {

std::optional<std::string> Scheduler::CheckIntegrity() const {
  if (auto violation = cache_.CheckIntegrity()) return violation;
  if (auto violation = CheckBlocks()) return violation;
  if (running_.size() > static_cast<size_t>(options_.max_sequences)) return "too many run";
  if (!std::is_sorted(running_.begin(), running_.end(), Older())) return "running_ lost its order";
  for (const Sequence* s : waiting_) {
    if (s->state != Sequence::State::kWaiting || !s->blocks.empty()) {
      return fmt::format("request {} waits in another state or with blocks", s->request->id.value);
    }
  }
  return CheckPlan();
}

// Each reference is of one block table, and what may still be written has one holder.
std::optional<std::string> Scheduler::CheckBlocks() const {
  std::vector<int32_t> references(static_cast<size_t>(pool_.total()));
  for (const Sequence* s : running_) {
    if (s->state != Sequence::State::kRunning) return "a sequence runs in another state";
    for (const int32_t b : s->blocks) ++references[static_cast<size_t>(b)];
  }
  for (int32_t b = 0; b < pool_.total(); ++b) {
    if (pool_.references(BlockId(b)) != references[static_cast<size_t>(b)]) {
      return fmt::format("block {} has {} references, tables have {}", b,
                         pool_.references(BlockId(b)), references[static_cast<size_t>(b)]);
    }
  }
  for (const Sequence* s : running_) {
    const int64_t slots = static_cast<int64_t>(s->blocks.size()) * block_tokens_;
    if (plan_.empty() && s->drafted != 0) return "a guess outlived its step";
    if (s->computed > slots || s->computed < s->found || s->left() < 1) {
      return fmt::format("request {} computed {} of {} tokens, {} found, {} slots",
                         s->request->id.value, s->computed, s->tokens.size(), s->found, slots);
    }
    for (size_t i = static_cast<size_t>(s->computed / block_tokens_); i < s->blocks.size(); ++i) {
      const BlockId b(s->blocks[i]);
      if (pool_.references(b) != 1 || cache_.Contains(b)) {
        return fmt::format("block {} may be written by request {} and read by others", b.value,
                           s->request->id.value);
      }
    }
  }
  return std::nullopt;
}

std::optional<std::string> Scheduler::CheckPlan() const {
  if (plan_.tokens.size() > static_cast<size_t>(options_.max_step_tokens)) return "too many rows";
  if (plan_.logit_rows.size() > static_cast<size_t>(max_logit_rows_)) return "too many logit rows";
  int32_t guesses = 0, decoding = 0;
  for (const BatchPlan::Part& part : plan_.parts) {
    guesses += part.drafted;
    decoding += part.sequence->left() - part.drafted == 1;
  }
  if (guesses > std::max(0, options_.max_draft + 1 - decoding)) return "too many guesses";
  size_t row = 0, logits = 0;
  std::vector<const Sequence*> seen;
  for (size_t i = 0; i < plan_.parts.size(); ++i) {
    const Sequence& s = *plan_.parts[i].sequence;
    const SeqChunk& c = plan_.chunks[i];
    const auto describe = [&](std::string_view what) {
      return fmt::format("request {} choice {}: {} ({} rows at {}, {} found, {} tokens)",
                         s.request->id.value, s.choice, what, c.n_rows, c.context, s.found,
                         s.tokens.size());
    };
    if (s.state != Sequence::State::kRunning) return describe("planned but not running");
    if (c.n_rows < 1) return describe("planned without rows");
    if (std::find(seen.begin(), seen.end(), &s) != seen.end()) return describe("planned twice");
    seen.push_back(&s);
    if (c.context != s.computed || c.context < s.found) return describe("inside what is cached");
    if (static_cast<size_t>(c.context + c.n_rows) > s.tokens.size())
      return describe("past the end");
    if (BlocksFor(c.context + c.n_rows) > s.blocks.size()) return describe("outside its table");
    if (c.blocks != s.blocks.data()) return describe("of another table");
    if (static_cast<size_t>(c.first_row) != row) return describe("rows overlap or miss");
    for (int32_t r = 0; r < c.n_rows; ++r, ++row) {
      const int32_t p = c.context + r;
      const int32_t slot =
          s.blocks[static_cast<size_t>(p / block_tokens_)] * block_tokens_ + p % block_tokens_;
      if (plan_.slots[row] != slot || plan_.positions[row] != p) return describe("wrong slot");
      if (plan_.tokens[row] != s.tokens[static_cast<size_t>(p)]) return describe("wrong token");
    }
    const bool last = c.n_rows == s.left();
    if (last != (plan_.parts[i].logit_row >= 0)) return describe("logits missing or unasked");
    const int32_t drafted = plan_.parts[i].drafted;
    if (drafted != s.drafted || drafted < 0 || drafted >= c.n_rows) return describe("guesses");
    if (!last && drafted > 0) return describe("guesses before the end");
    for (int32_t r = last ? drafted : -1; r >= 0; --r) {
      if (plan_.logit_rows[logits++] != static_cast<int32_t>(row) - 1 - r) {
        return describe("logits of another row");
      }
    }
  }
  if (row != plan_.tokens.size() || logits != plan_.logit_rows.size()) return "rows of nobody";
  return std::nullopt;
}

}  // namespace hadal
