#include "service/answer_guide.h"

#include <algorithm>
#include <utility>

namespace hadal {
namespace {

constexpr std::string_view kEndOfThink = "</think>";

void Set(std::span<uint64_t> mask, TokenId id, bool allowed) {
  if (id < 0 || static_cast<size_t>(id) / 64 >= mask.size()) return;
  const uint64_t bit = uint64_t{1} << (static_cast<uint32_t>(id) % 64);
  uint64_t& word = mask[static_cast<size_t>(id) / 64];
  word = allowed ? word | bit : word & ~bit;
}

// The node of the tree after `bytes`; 0 when there is none.
uint32_t NodeOf(const grammar::TokenTrie& trie, std::string_view bytes) {
  uint32_t node = 0;
  for (const char c : bytes) {
    uint32_t child = node + 1;
    const uint32_t end = trie.end(node);
    while (child < end && trie.byte(child) != static_cast<uint8_t>(c)) child = trie.end(child);
    if (child >= end) return 0;
    node = child;
  }
  return node;
}

template <class F>
void ForTokensUnder(const grammar::TokenTrie& trie, uint32_t node, F visit) {
  for (uint32_t n = node; n < trie.end(node); ++n) {
    for (const TokenId id : trie.tokens(n)) visit(id);
  }
}

// How many bytes of </think> the text ends with, all of them excluded.
size_t BegunTag(std::string_view text) {
  for (size_t n = std::min(text.size(), kEndOfThink.size() - 1); n > 0; --n) {
    if (text.ends_with(kEndOfThink.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

AnswerGuide::AnswerGuide(std::shared_ptr<const GuideRules> rules)
    : rules_(std::move(rules)), heal_(rules_->heal) {
  if (rules_->answer != nullptr) matcher_.emplace(rules_->answer);
  if (!rules_->starts_in_reasoning) return;
  state_ = State::kReasoning;
  CheckBudget();
}

Result<std::unique_ptr<AnswerGuide>> AnswerGuide::Make(std::shared_ptr<const GuideRules> rules) {
  std::unique_ptr<AnswerGuide> guide(new AnswerGuide(std::move(rules)));
  const std::string& given = guide->rules_->given;
  if (guide->matcher_ && !given.empty()) {
    HADAL_TRY(const bool fits, guide->matcher_->Accept(given));
    if (!fits) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the prefix is not the beginning of an answer in the format that is asked for");
    }
  }
  return guide;
}

Result<bool> AnswerGuide::Fill(std::span<uint64_t> mask) {
  switch (state_) {
    case State::kClosing:
      std::fill(mask.begin(), mask.end(), 0);
      Set(mask, rules_->close_reasoning[n_closed_], true);
      return true;
    case State::kReasoning:
      return FillReasoning(mask);
    case State::kAnswer:
      return FillAnswer(mask);
  }
  return false;
}

Result<bool> AnswerGuide::FillReasoning(std::span<uint64_t> mask) const {
  if (!constrained() && heal_.empty()) return false;
  std::fill(mask.begin(), mask.end(), ~uint64_t{0});
  if (!heal_.empty()) KeepHealing(mask);
  if (!constrained()) return true;
  for (const TokenId id : rules_->never_in_reasoning) Set(mask, id, false);
  for (const TokenId id : rules_->trie->stops()) Set(mask, id, false);
  // Spelled out in other tokens, the tag could end in the middle of one.
  const size_t begun = BegunTag(tail_);
  if (begun == 0) return true;
  if (const uint32_t node = NodeOf(*rules_->trie, kEndOfThink.substr(begun)); node != 0) {
    ForTokensUnder(*rules_->trie, node, [&](TokenId id) {
      if (id != rules_->think_end) Set(mask, id, false);
    });
  }
  return true;
}

Result<bool> AnswerGuide::FillAnswer(std::span<uint64_t> mask) const {
  if (constrained()) {
    HADAL_OK(matcher_->FillMask(mask));
  } else if (heal_.empty()) {
    return false;
  } else {
    std::fill(mask.begin(), mask.end(), ~uint64_t{0});
  }
  if (!heal_.empty()) KeepHealing(mask);
  return true;
}

// Leaves the tokens that begin with what is to be healed, and those that it begins with.
void AnswerGuide::KeepHealing(std::span<uint64_t> mask) const {
  const grammar::TokenTrie& trie = *rules_->trie;
  std::vector<uint64_t> fits(mask.size(), 0);
  for (size_t n = 1; n <= heal_.size(); ++n) {
    const uint32_t node = NodeOf(trie, std::string_view(heal_).substr(0, n));
    if (node == 0) break;
    if (n == heal_.size()) {
      ForTokensUnder(trie, node, [&](TokenId id) { Set(fits, id, true); });
    } else {
      for (const TokenId id : trie.tokens(node)) Set(fits, id, true);
    }
  }
  for (size_t i = 0; i < mask.size(); ++i) mask[i] &= fits[i];
}

Status AnswerGuide::Accept(TokenId id) {
  const bool first = std::exchange(at_start_, false);
  switch (state_) {
    case State::kClosing:
      if (++n_closed_ == rules_->close_reasoning.size()) state_ = State::kAnswer;
      return {};
    case State::kReasoning:
      return AcceptInReasoning(id);
    case State::kAnswer:
      // As the output's parser has it: only the very first token can open the reasoning.
      if (first && !constrained() && rules_->think_begin && id == *rules_->think_begin) {
        state_ = State::kReasoning;
        CheckBudget();
        return {};
      }
      return AcceptInAnswer(id);
  }
  return {};
}

Status AnswerGuide::AcceptInReasoning(TokenId id) {
  const std::string_view bytes = rules_->trie->BytesOf(id);
  if (!heal_.empty()) heal_.erase(0, std::min(heal_.size(), bytes.size()));
  ++n_reasoning_;
  tail_ += bytes;
  if (tail_.size() > kEndOfThink.size()) tail_.erase(0, tail_.size() - kEndOfThink.size());
  if (id == rules_->think_end || tail_ == kEndOfThink) {
    state_ = State::kAnswer;
    return {};
  }
  CheckBudget();
  return {};
}

Status AnswerGuide::AcceptInAnswer(TokenId id) {
  if (!heal_.empty()) {
    heal_.erase(0, std::min(heal_.size(), rules_->trie->BytesOf(id).size()));
  }
  if (!constrained()) return {};
  HADAL_TRY(const bool allowed, matcher_->Accept(id));
  if (allowed) return {};
  return Fail(ErrorCode::kInternal, "token {} is not allowed by the answer's constraint", id);
}

// </think> and what is written before it count as reasoning.
void AnswerGuide::CheckBudget() {
  if (!rules_->max_thinking_tokens || rules_->close_reasoning.empty()) return;
  const auto& close = rules_->close_reasoning;
  const auto before = std::find(close.begin(), close.end(), rules_->think_end) - close.begin();
  if (n_reasoning_ + before + 1 >= *rules_->max_thinking_tokens) state_ = State::kClosing;
}

}  // namespace hadal
