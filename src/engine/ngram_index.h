// Owns: where in one sequence each run of three tokens was last seen, so that what followed it then
// can be drafted now (prompt lookup). A few operations a token, whether something is found or not.
// A slot of the table holds the latest run with its hash only: a collision costs a draft, nothing
// else. Thread rule: the engine thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/ids.h"

namespace hadal {

class NgramIndex {
 public:
  // Appends to `tokens` up to `most` of those that followed the last earlier place of its last
  // three tokens; the number of them. What is appended may be repeated in turn, so a loop is
  // drafted as far as asked for. Between calls the sequence may lose what was appended, and grow.
  int32_t Draft(std::vector<TokenId>& tokens, int32_t most);

 private:
  size_t SlotOf(std::span<const TokenId> tokens, size_t follower) const;
  void Extend(std::span<const TokenId> tokens);

  std::vector<int32_t> followers_;  // by hash of a run: the index after it; 0: none
  size_t indexed_ = 0;              // runs followed by an index below this are in the table
};

}  // namespace hadal
