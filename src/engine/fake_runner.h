// Owns: a Runner for tests. Its "cache" holds one 64-bit number per slot: a hash of the token, its
// position and the numbers of all earlier positions as read through the block table. The logits are
// a function of the last one. So a wrong table, an overwritten block, a block read too early or a
// stale one changes the tokens; some of these are also reported by name. Rows computed as a
// prompt's get other numbers, so that one met by a sequence that would have computed it otherwise
// shows too. Thread rule: as Runner; settings before the first Run, or atomics.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/testing_row_summary.h"
#include "engine/admission.h"
#include "engine/runner.h"
#include "sampling/sampler.h"

namespace hadal {

inline uint64_t Mix(uint64_t x) {  // splitmix64
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// The number of a token, from those before it, and the logits it leads to.
class FakeModel {
 public:
  uint64_t Next(TokenId token, int64_t position, bool prompt = false) {
    const uint64_t row = static_cast<uint64_t>(token) << 32 ^ static_cast<uint64_t>(position);
    const uint64_t v = Mix(history_ ^ Mix(prompt ? ~row : row));
    Read(v);
    return v;
  }
  void Read(uint64_t v) { history_ = Mix(history_ ^ v); }

  static void Logits(uint64_t v, std::span<float> out) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<float>(Mix(v + i) >> 40) * 0x1p-24f * 8 - 4;
    }
  }

 private:
  uint64_t history_ = 0;
};

class FakeRunner final : public Runner {
 public:
  explicit FakeRunner(const RunnerInfo& info) : info_(info) {
    slots_.resize(static_cast<size_t>(info.n_blocks) * static_cast<size_t>(info.block_tokens));
    logits_.resize(static_cast<size_t>(info.max_logit_rows) * static_cast<size_t>(info.vocab));
  }
  RunnerInfo info() const override { return info_; }

  bool keeps_logits = false;  // as a card does: summaries, and rows when they are asked for

  Result<StepLogits> Run(const StepInput& step, std::span<const float> temperatures) override {
    if (temperatures.size() != step.logit_rows.size()) Violate("temperatures");
    held.wait(true);
    if (delay_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
    ++step_;
    if (lose_gpu) return Fail(ErrorCode::kGpuLost, "an illegal memory access");
    if (fail_next.exchange(false)) {
      // As a device that stops midway: some rows are written, none may be used.
      for (const int32_t slot : step.slots) slots_[static_cast<size_t>(slot)] = {0xBAD, step_};
      return Fail(ErrorCode::kUnavailable, "the weights' file was cut");
    }
    if (step.logit_rows.size() > static_cast<size_t>(info_.max_logit_rows)) Violate("logit rows");
    values_.resize(step.tokens.size());
    states_.resize(step.tokens.size());
    for (const SeqChunk& chunk : step.chunks) RunChunk(step, chunk);
    const auto vocab = static_cast<size_t>(info_.vocab);
    for (size_t i = 0; i < step.logit_rows.size(); ++i) {
      FakeModel::Logits(values_[static_cast<size_t>(step.logit_rows[i])],
                        std::span(logits_).subspan(i * vocab, vocab));
    }
    if (!summed_.empty()) SumChunks(step);
    const std::span<float> rows = std::span(logits_).first(step.logit_rows.size() * vocab);
    if (!keeps_logits) return StepLogits{rows};
    summaries_.clear();
    for (size_t i = 0; i < step.logit_rows.size(); ++i) {
      summaries_.push_back(SummaryOf(rows.subspan(i * vocab, vocab), temperatures[i]));
    }
    return StepLogits{{}, summaries_};
  }
  Result<std::span<float>> Row(size_t row) override {
    const auto vocab = static_cast<size_t>(info_.vocab);
    return std::span(logits_).subspan(row * vocab, vocab);
  }
  // Knows what the model would most likely go on with, but errs now and then. Its own "cache" holds
  // the numbers of the tokens whose hidden states it saw.
  Result<std::span<const TokenId>> Draft(const DraftInput& input) override {
    guesses_.clear();
    for (const SeqChunk& chunk : input.step.chunks) DraftChunk(input, chunk);
    std::vector<float> logits(static_cast<size_t>(info_.vocab));
    for (size_t i = 0; i < input.lengths.size(); ++i) {
      const auto row = static_cast<size_t>(input.step.logit_rows[i]);
      State state = states_[static_cast<size_t>(input.after[row])];
      TokenId token = input.step.tokens[row];
      for (int32_t n = 0; n < input.lengths[i]; ++n) {
        FakeModel::Logits(state.model.Next(token, ++state.position), logits);
        const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
        const bool errs = ++n_guesses_ % 5 == 0;
        token = static_cast<TokenId>(errs ? (best + 1) % info_.vocab : best);
        guesses_.push_back(token);
      }
    }
    return guesses_;
  }
  void WantSums(std::span<const int32_t> chunks, std::vector<double>* sums) override {
    summed_ = chunks;
    sums_ = sums;
  }

  const std::optional<std::string>& violation() const { return violation_; }

  int delay_us = 0;                     // of each step
  std::atomic<bool> fail_next = false;  // the next Run fails
  std::atomic<bool> lose_gpu = false;   // every Run fails from now on
  std::atomic<bool> held = false;       // Run waits until it is false and notified
  bool whole_drafts = false;  // what the draft layer reads must all be there: no prefix cache

 private:
  struct State {  // what is left of a row after Run
    FakeModel model;
    int64_t position = 0;
  };
  struct Slot {
    uint64_t value = 0;
    int64_t step = 0;  // that wrote it; 0: never
  };
  void Violate(std::string what) {
    if (!violation_) violation_ = fmt::format("step {}: {}", step_, what);
  }
  // Hidden states are two numbers wide: one, and a few bits of the row's number.
  void SumChunks(const StepInput& step) {
    sums_->assign(summed_.size() * 2, 0.0);
    for (size_t i = 0; i < summed_.size(); ++i) {
      const SeqChunk& chunk = step.chunks[static_cast<size_t>(summed_[i])];
      for (int32_t r = chunk.first_row; r < chunk.first_row + chunk.n_rows; ++r) {
        (*sums_)[2 * i] += 1;
        (*sums_)[2 * i + 1] += static_cast<double>(values_[static_cast<size_t>(r)] >> 58);
      }
    }
    summed_ = {};
  }
  size_t SlotAt(const SeqChunk& chunk, int32_t p) const {
    return static_cast<size_t>(chunk.blocks[p / info_.block_tokens] * info_.block_tokens +
                               p % info_.block_tokens);
  }
  void DraftChunk(const DraftInput& input, const SeqChunk& chunk) {
    drafted_.resize(slots_.size());
    for (int32_t r = 0; r < chunk.n_rows; ++r) {
      const auto row = static_cast<size_t>(chunk.first_row + r);
      const auto after = static_cast<size_t>(input.after[row]);
      const int32_t p = chunk.context + r;
      const size_t slot = SlotAt(chunk, p);
      if (after >= states_.size()) return Violate("a draft after no row");
      if (input.step.positions[row] != p) Violate("position and chunk of a draft differ");
      if (static_cast<size_t>(input.step.slots[row]) != slot) Violate("slot of a draft");
      if (states_[after].position != p || values_[after] != slots_[slot].value) {
        Violate("a draft after another's row");
      }
      drafted_[slot] = values_[after];
    }
    for (int32_t p = 0; whole_drafts && p < chunk.context; ++p) {
      const size_t slot = SlotAt(chunk, p);
      if (drafted_[slot] != slots_[slot].value) Violate("the draft layer's cache has a hole");
    }
  }
  void RunChunk(const StepInput& step, const SeqChunk& chunk) {
    FakeModel model;
    const auto slot_of = [&](int32_t p) -> Slot& { return slots_[SlotAt(chunk, p)]; };
    if (chunk.n_rows < 1) Violate("a chunk without rows");
    if (chunk.prompt && !info_.rounds_prompts) Violate("a prompt to a model that asks for none");
    if (&chunk != &step.chunks.front() && (&chunk - 1)->prompt && !chunk.prompt) {
      Violate("an answer after a prompt");
    }
    for (int32_t p = 0; p < chunk.context; ++p) {
      const Slot& slot = slot_of(p);
      if (slot.step == 0 || slot.step >= step_) {
        Violate(fmt::format("position {} is read but was written in step {}", p, slot.step));
      }
      model.Read(slot.value);
    }
    for (int32_t r = 0; r < chunk.n_rows; ++r) {
      const auto row = static_cast<size_t>(chunk.first_row + r);
      const int32_t p = chunk.context + r;
      Slot& slot = slot_of(p);
      if (&slot != &slots_[static_cast<size_t>(step.slots[row])]) Violate("slot and table differ");
      if (step.positions[row] != p) Violate("position and chunk differ");
      if (slot.step == step_) Violate("a slot is written twice");
      values_[row] = model.Next(step.tokens[row], p, chunk.prompt);
      states_[row] = {model, p};
      slot = {values_[row], step_};
    }
  }

  const RunnerInfo info_;
  std::vector<Slot> slots_;
  std::vector<float> logits_;
  std::vector<RowSummary> summaries_;
  std::vector<uint64_t> values_;   // of the rows of the step
  std::vector<State> states_;      // after them
  std::vector<uint64_t> drafted_;  // by slot: the number whose hidden state the draft layer saw
  std::vector<TokenId> guesses_;
  int64_t n_guesses_ = 0;
  int64_t step_ = 0;
  std::span<const int32_t> summed_;
  std::vector<double>* sums_ = nullptr;
  std::optional<std::string> violation_;
};

struct Answer {
  std::vector<TokenId> tokens;
  api::FinishReason reason = api::FinishReason::kLength;
  bool operator==(const Answer&) const = default;
};

// What a request gives alone, without cache, batch or scheduler. spec has a seed.
inline Answer AnswerAlone(const EngineRequest& spec, int choice, int64_t vocab,
                          bool rounds_prompts = false) {
  Sampler sampler(vocab);
  std::vector<float> logits(static_cast<size_t>(vocab));
  std::vector<TokenId> tokens = spec.prompt;
  FakeModel model;
  uint64_t value = 0;
  Answer answer;
  size_t computed = 0;
  const auto stops = [&](const std::vector<TokenId>& ids, TokenId id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  while (static_cast<int64_t>(answer.tokens.size()) < spec.max_tokens) {
    for (; computed < tokens.size(); ++computed) {
      value = model.Next(tokens[computed], static_cast<int64_t>(computed),
                         rounds_prompts && computed < spec.prompt.size());
    }
    FakeModel::Logits(value, logits);
    SampledToken token;
    const Status status = sampler.Sample(
        logits, {&spec.sampling, *spec.sampling.seed, choice, tokens, spec.prompt.size()}, token);
    if (!status) break;
    tokens.push_back(token.id);
    answer.tokens.push_back(token.id);
    if (!stops(spec.stop_tokens, token.id) && !stops(spec.sampling.stop_token_ids, token.id)) {
      continue;
    }
    answer.reason = api::FinishReason::kStop;
    break;
  }
  return answer;
}

}  // namespace hadal
