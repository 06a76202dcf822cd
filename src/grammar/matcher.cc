#include "grammar/matcher.h"

#include <algorithm>

#include "base/check.h"

namespace hadal::grammar {

Matcher::Matcher(std::shared_ptr<const Constraint> constraint)
    : constraint_(std::move(constraint)),
      stack_(/*interned=*/false),
      stepper_(constraint_->automaton(), constraint_->limits()) {
  std::vector<Config> first;
  const Stepper::Outcome outcome = stepper_.Begin(stack_, first);
  if (outcome.too_many) first.clear();
  Add({.n_nodes = stack_.n_nodes(), .complete = outcome.bottom}, first);
}

std::span<const Config> Matcher::configs() const {
  const uint32_t begin = points_.size() > 1 ? points_[points_.size() - 2].end : 0;
  return std::span(configs_).subspan(begin, now().end - begin);
}

void Matcher::Add(Point point, std::span<const Config> configs) {
  configs_.insert(configs_.end(), configs.begin(), configs.end());
  point.end = static_cast<uint32_t>(configs_.size());
  points_.push_back(point);
}

Result<bool> Matcher::Accept(std::string_view bytes) {
  if (now().finished) return false;
  Point next = now();
  std::vector<Config> in(configs().begin(), configs().end()), out;
  for (const char c : bytes) {
    const Stepper::Outcome outcome = stepper_.Step(stack_, in, static_cast<uint8_t>(c), out);
    if (outcome.too_many || out.empty()) {
      stack_.CutTo(now().n_nodes);
      if (!outcome.too_many) return false;
      return Fail(
          ErrorCode::kInvalidArgument,
          "the output is nested too deep, or can be read in more than {} ways at once, under "
          "its grammar",
          constraint_->limits().max_configurations);
    }
    in.swap(out);
    next.complete = outcome.bottom;
  }
  next.n_nodes = stack_.n_nodes();
  Add(next, in);
  return true;
}

Result<bool> Matcher::Accept(TokenId token) {
  if (constraint_->trie().IsStop(token)) {
    if (!now().complete || now().finished) return false;
    Point next = now();
    next.finished = true;
    const std::vector<Config> same(configs().begin(), configs().end());
    Add(next, same);
    return true;
  }
  const std::string_view bytes = constraint_->trie().BytesOf(token);
  if (bytes.empty()) return false;
  return Accept(bytes);
}

void Matcher::Rollback(size_t n) {
  CHECK(n <= n_accepted());
  points_.resize(points_.size() - n);
  configs_.resize(now().end);
  stack_.CutTo(now().n_nodes);
}

Status Matcher::FillMask(std::span<uint64_t> mask) const {
  std::fill(mask.begin(), mask.end(), 0);
  if (now().finished) return {};
  HADAL_OK(constraint_->masks().Fill(configs(), stack_, mask));
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
