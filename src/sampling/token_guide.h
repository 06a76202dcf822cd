// Owns: the interface of what says which tokens an answer may go on with: grammars, budgets of
// reasoning, healed prompts. Knows nothing of where the rules come from.
// Thread rule: a guide belongs to one choice and is called by the engine thread only, once for each
// token in this order: Fill, then Accept of the token drawn. A preempted choice keeps its guide.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/error.h"
#include "core/ids.h"

namespace hadal {

class TokenGuide {
 public:
  virtual ~TokenGuide() = default;
  // false: every token may come, `mask` is as it was. true: `mask` holds the allowed ones, bit
  // id % 64 of word id / 64, at least one. An error ends the request and nothing else.
  virtual Result<bool> Fill(std::span<uint64_t> mask) = 0;
  virtual Status Accept(TokenId id) = 0;
};

}  // namespace hadal
