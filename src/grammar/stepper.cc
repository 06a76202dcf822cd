#include "grammar/stepper.h"

#include <algorithm>

namespace hadal::grammar {
namespace {

constexpr size_t kMaxPendingFrames = 1u << 16;  // of one rule at one byte

}  // namespace

Stepper::Outcome Stepper::Begin(Stack& stack, std::vector<Config>& out) {
  out.clear();
  n_pending_ = 0;
  overflowed_ = false;
  // The start is not called: it stands on the bottom itself.
  out.push_back({automaton_->rule(automaton_->root()).start, Stack::kBottom});
  return Close(stack, out);
}

Stepper::Outcome Stepper::Step(Stack& stack, const std::vector<Config>& in, uint8_t byte,
                               std::vector<Config>& out) {
  out.clear();
  n_pending_ = 0;
  overflowed_ = false;
  for (const Config& config : in) {
    const uint32_t to = automaton_->Next(config.state, byte);
    if (to != kNone) out.push_back({to, config.node});
  }
  return Close(stack, out);
}

Stepper::Outcome Stepper::Resume(Stack& stack, const Return& to, std::vector<Config>& out) {
  out.clear();
  n_pending_ = 0;
  overflowed_ = false;
  Return_(to, Stack::kBottom, out);
  return Close(stack, out);
}

Stepper::Pending& Stepper::PendingOf(uint32_t rule) {
  for (size_t i = 0; i < n_pending_; ++i) {
    if (pending_[i].rule == rule) return pending_[i];
  }
  if (n_pending_ == pending_.size()) pending_.emplace_back();
  Pending& pending = pending_[n_pending_++];
  pending.rank = automaton_->rule(rule).rank;
  pending.rule = rule;
  pending.frames.clear();
  return pending;
}

void Stepper::AddCall(uint32_t rule, const Frame& frame) {
  PendingOf(rule).frames.push_back(frame);
}

void Stepper::Return_(const Return& to, uint32_t below, std::vector<Config>& out) {
  if (to.repeat == kNone) {
    out.push_back({to.state, below});
    return;
  }
  if (to.need == 0) out.push_back({to.state, below});
  if (to.room == 0) return;
  const Return next{to.state, to.repeat, to.need == 0 ? 0 : to.need - 1,
                    to.room == kNone ? kNone : to.room - 1};
  AddCall(automaton_->repeat(to.repeat).rule, {next, below});
}

void Stepper::AddCalls(const Stack& stack, const Config& config) {
  for (const Automaton::Call& call : automaton_->calls(config.state)) {
    if (call.repeat != kNone) {
      const Automaton::Repeat& repeat = automaton_->repeat(call.repeat);
      const Return to{call.to, call.repeat, repeat.min == 0 ? 0 : repeat.min - 1,
                      repeat.max == kNone ? kNone : repeat.max - 1};
      AddCall(call.rule, {to, config.node});
    } else if (automaton_->only_accepts(call.to)) {
      // Nothing is left to do after the call: return to the callers at once.
      auto& frames = PendingOf(call.rule).frames;
      const auto callers = stack.frames(config.node);
      overflowed_ |= frames.size() + callers.size() > kMaxPendingFrames;
      if (!overflowed_) frames.insert(frames.end(), callers.begin(), callers.end());
    } else {
      AddCall(call.rule, {{.state = call.to}, config.node});
    }
  }
}

// First the returns that are possible, then the calls, in an order in which every caller of a rule
// at this byte is known before the rule is entered.
Stepper::Outcome Stepper::Close(Stack& stack, std::vector<Config>& out) {
  Outcome outcome;
  const auto unique = [&out] {
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
  };
  unique();
  for (size_t i = 0; i < out.size(); ++i) {
    const Config config = out[i];
    if (!automaton_->accepts(config.state)) continue;
    for (const Frame& frame : stack.frames(config.node)) {
      if (frame.to.is_bottom()) {
        outcome.bottom = true;
        continue;
      }
      const size_t before = out.size();
      Return_(frame.to, frame.below, out);
      if (out.size() > before && std::find(out.begin(), out.begin() + static_cast<long>(before),
                                           out.back()) != out.begin() + static_cast<long>(before)) {
        out.pop_back();
      }
    }
    if (out.size() > max_configurations_) return {.too_many = true};
  }
  for (size_t i = 0; i < out.size(); ++i) AddCalls(stack, out[i]);
  while (n_pending_ > 0) {
    const auto next =
        std::min_element(pending_.begin(), pending_.begin() + static_cast<long>(n_pending_),
                         [](const Pending& a, const Pending& b) { return a.rank < b.rank; });
    std::swap(*next, pending_[n_pending_ - 1]);
    Pending& pending = pending_[--n_pending_];
    auto& frames = pending.frames;
    std::sort(frames.begin(), frames.end());
    frames.erase(std::unique(frames.begin(), frames.end()), frames.end());
    if (overflowed_ || out.size() >= max_configurations_ ||
        stack.n_frames() + frames.size() > max_frames_) {
      return {.too_many = true};
    }
    const Config entered{automaton_->rule(pending.rule).start, stack.Push(frames)};
    out.push_back(entered);
    AddCalls(stack, entered);
  }
  unique();
  return outcome;
}

}  // namespace hadal::grammar
