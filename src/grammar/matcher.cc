#include "grammar/matcher.h"

#include <algorithm>

#include "base/check.h"

namespace hadal::grammar {

Matcher::Matcher(std::shared_ptr<const Constraint> constraint)
    : constraint_(std::move(constraint)),
      stack_(/*interned=*/false),
      stepper_(constraint_->automaton(), constraint_->limits()) {
  Point first;
  const Stepper::Outcome outcome = stepper_.Begin(stack_, first.configs);
  if (outcome.too_many) first.configs.clear();
  first.complete = outcome.bottom;
  first.n_nodes = stack_.n_nodes();
  points_.push_back(std::move(first));
}

Result<bool> Matcher::Accept(std::string_view bytes) {
  if (now().finished) return false;
  Point next = now();
  std::vector<Config> out;
  for (const char c : bytes) {
    const Stepper::Outcome outcome =
        stepper_.Step(stack_, next.configs, static_cast<uint8_t>(c), out);
    if (outcome.too_many || out.empty()) {
      stack_.CutTo(now().n_nodes);
      if (!outcome.too_many) return false;
      return Fail(
          ErrorCode::kInvalidArgument,
          "the output is nested too deep, or can be read in more than {} ways at once, under "
          "its grammar",
          constraint_->limits().max_configurations);
    }
    next.configs.swap(out);
    next.complete = outcome.bottom;
  }
  next.n_nodes = stack_.n_nodes();
  points_.push_back(std::move(next));
  return true;
}

Result<bool> Matcher::Accept(TokenId token) {
  if (constraint_->trie().IsStop(token)) {
    if (!now().complete || now().finished) return false;
    Point next = now();
    next.finished = true;
    points_.push_back(std::move(next));
    return true;
  }
  const std::string_view bytes = constraint_->trie().BytesOf(token);
  if (bytes.empty()) return false;
  return Accept(bytes);
}

void Matcher::Rollback(size_t n) {
  CHECK(n <= n_accepted());
  points_.resize(points_.size() - n);
  stack_.CutTo(now().n_nodes);
}

Status Matcher::FillMask(std::span<uint64_t> mask) const {
  std::fill(mask.begin(), mask.end(), 0);
  if (now().finished) return {};
  HADAL_OK(constraint_->masks().Fill(now().configs, stack_, mask));
  if (now().complete) {
    for (const TokenId stop : constraint_->trie().stops()) {
      mask[static_cast<size_t>(stop) / 64] |= uint64_t{1} << (static_cast<uint32_t>(stop) % 64);
    }
  } else if (std::all_of(mask.begin(), mask.end(), [](uint64_t word) { return word == 0; })) {
    return Fail(ErrorCode::kInvalidArgument,
                "no token of the vocabulary can go on under the grammar; it may ask for characters "
                "that the vocabulary cannot write");
  }
  return {};
}

}  // namespace hadal::grammar
