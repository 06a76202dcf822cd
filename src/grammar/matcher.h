// Owns: how far one output has come under a constraint. Knows nothing of sampling or requests.
// Thread rule: a Matcher belongs to one thread at a time; its Constraint is shared.
//
//   Matcher matcher(constraint);
//   std::vector<uint64_t> mask(matcher.n_words());
//   HADAL_OK(matcher.FillMask(mask));         // bit id % 64 of word id / 64
//   HADAL_TRY(const bool ok, matcher.Accept(token));
//   matcher.Rollback(1);
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "grammar/constraint.h"
#include "grammar/stepper.h"

namespace hadal::grammar {

class Matcher {
 public:
  explicit Matcher(std::shared_ptr<const Constraint> constraint);

  // Reads on; false, and nothing has changed, when the constraint does not allow it. A stop token
  // is allowed when the output is complete, and nothing after it. kInvalidArgument: a limit was hit
  // (the grammar is too ambiguous or nested too deep).
  Result<bool> Accept(std::string_view bytes);
  Result<bool> Accept(TokenId token);
  // Takes back the last n accepted calls of Accept; n <= n_accepted().
  void Rollback(size_t n);
  // Another matcher at the same place; both go on independently.
  Matcher Fork() const { return *this; }

  // All that was read is an output that the constraint allows, so it may end here.
  bool IsComplete() const { return now().complete; }
  // A stop token was accepted.
  bool IsFinished() const { return now().finished; }
  size_t n_accepted() const { return points_.size() - 1; }

  // Exactly the tokens that Accept would accept. `mask` has n_words() or more words; the rest
  // become 0. kInvalidArgument: a limit was hit, or no token of the vocabulary can go on.
  Status FillMask(std::span<uint64_t> mask) const;
  size_t n_words() const { return constraint_->trie().n_words(); }
  const Constraint& constraint() const { return *constraint_; }

 private:
  struct Point {
    uint32_t end = 0;      // of its configurations in configs_
    uint32_t n_nodes = 0;  // of the stack
    bool complete = false;
    bool finished = false;
  };
  const Point& now() const { return points_.back(); }
  std::span<const Config> configs() const;
  void Add(Point point, std::span<const Config> configs);

  std::shared_ptr<const Constraint> constraint_;
  Stack stack_;
  Stepper stepper_;
  // In flat lists, so that a matcher is copied by copying three of them.
  std::vector<Point> points_;  // after each accepted call; the first is the beginning
  std::vector<Config> configs_;
};

}  // namespace hadal::grammar
