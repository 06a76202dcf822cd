// Owns: refusing a step that does not fit the model or the cache, before anything is computed.
// Must not know families. Thread rule: a free function.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "kernels/backend.h"

namespace hadal {

struct StepLimits {
  int64_t max_rows = 0;        // LoadOptions::max_step_tokens
  int64_t max_logit_rows = 0;  // LoadOptions::max_logit_rows
  int64_t vocab = 0;
  int64_t context = 0;  // positions
};

// kInvalidArgument: lengths that disagree, a token, position, slot, block or row out of range, or
// chunks that do not cover the rows in order.
Status CheckStep(const StepInput& step, const StepLimits& limits, int32_t n_blocks,
                 int32_t block_tokens);

}  // namespace hadal
