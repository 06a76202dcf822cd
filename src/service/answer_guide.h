// Owns: which tokens one answer may go on with: reasoning within its budget, closed cleanly at the
// bound; then the answer, which begins where a healed prompt was cut and obeys its constraint.
// Knows nothing of requests or of who samples. Thread rule: as TokenGuide.
//
// While the answer is constrained, the reasoning can only end by </think> (its token, or nothing
// else): not by an end of the text, not by a tool call that forgot the tag.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "grammar/matcher.h"
#include "sampling/token_guide.h"

namespace hadal {

// The same for every choice of a request; outlives the guides.
struct GuideRules {
  std::shared_ptr<const grammar::TokenTrie> trie;
  std::shared_ptr<const grammar::Constraint> answer;  // null: free
  bool starts_in_reasoning = false;
  std::optional<TokenId> think_begin = {}, think_end = {};
  std::vector<TokenId> close_reasoning = {};  // written at the bound; think_end is among them
  std::optional<int64_t> max_thinking_tokens = {};
  std::vector<TokenId> never_in_reasoning = {};  // while the answer is constrained
  std::string given = {};  // of the answer, in the prompt already: the constraint covers it too
  std::string heal = {};   // cut off the prompt's end: the answer begins with it
  std::string field = {};  // that asked for the constraint, for errors
};

class AnswerGuide final : public TokenGuide {
 public:
  // kInvalidArgument when what is given is not the beginning of an allowed answer.
  static Result<std::unique_ptr<AnswerGuide>> Make(std::shared_ptr<const GuideRules> rules);

  Result<bool> Fill(std::span<uint64_t> mask) override;
  Status Accept(TokenId id) override;

 private:
  enum class State { kReasoning, kClosing, kAnswer };
  explicit AnswerGuide(std::shared_ptr<const GuideRules> rules);

  Status Named(Status status) const;
  bool constrained() const { return matcher_.has_value(); }
  Result<bool> FillReasoning(std::span<uint64_t> mask) const;
  Result<bool> FillAnswer(std::span<uint64_t> mask) const;
  void KeepHealing(std::span<uint64_t> mask) const;
  Status AcceptInReasoning(TokenId id);
  Status AcceptInAnswer(TokenId id);
  void CheckBudget();

  const std::shared_ptr<const GuideRules> rules_;
  State state_ = State::kAnswer;
  std::optional<grammar::Matcher> matcher_;
  int64_t n_reasoning_ = 0;
  size_t n_closed_ = 0;   // of close_reasoning
  bool at_start_ = true;  // nothing was accepted yet
  std::string tail_;      // the last bytes of the reasoning: </think> may be spelled out
  std::string heal_;      // what is left to begin with
};

}  // namespace hadal
