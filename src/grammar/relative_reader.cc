#include "grammar/relative_reader.h"

namespace hadal::grammar {

RelativeReader::RelativeReader(const Automaton& automaton, const Limits& limits)
    : stepper_(automaton, limits), stack_(/*interned=*/true) {}

void RelativeReader::Clear() {
  rows_.clear();
  ids_.clear();
  stack_ = Stack(/*interned=*/true);
}

int32_t RelativeReader::FromState(uint32_t state) { return IdOf({{state, Stack::kBottom}}, {}); }

int32_t RelativeReader::FromReturn(const Return& to) {
  const Stepper::Outcome outcome = stepper_.Resume(stack_, to, scratch_);
  return IdOf(scratch_, outcome);
}

int32_t RelativeReader::Compute(int32_t state, uint8_t byte) {
  const Stepper::Outcome outcome =
      stepper_.Step(stack_, rows_[static_cast<size_t>(state)]->configs, byte, scratch_);
  const int32_t next = IdOf(scratch_, outcome);
  if (next != kTooMany) rows_[static_cast<size_t>(state)]->next[byte] = next;
  return next;
}

int32_t RelativeReader::IdOf(const std::vector<Config>& configs, const Stepper::Outcome& outcome) {
  steps_ += 8 + configs.size();
  if (outcome.too_many) return kTooMany;
  if (configs.empty()) return kDead;
  const auto id = static_cast<int32_t>(rows_.size());
  const auto [it, added] = ids_.try_emplace({outcome.bottom, configs}, id);
  if (added) {
    rows_.push_back(std::make_unique<Row>());
    rows_.back()->next.fill(kUnknown);
    rows_.back()->bottom = outcome.bottom;
    rows_.back()->configs = configs;
  }
  return it->second;
}

}  // namespace hadal::grammar
