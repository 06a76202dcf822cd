// Owns: the boundary between scheduling (pure) and device work. Tests put a fake behind it.
// Thread rule: called by the engine thread only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "kernels/backend.h"

namespace hadal {

struct RunnerInfo {
  int64_t vocab = 0;
  int32_t n_blocks = 0;
  int32_t block_tokens = 0;
  int32_t max_logit_rows = 0;   // of one step
  int64_t context = 0;          // positions the model takes; 0: any number
  bool rounds_prompts = false;  // ModelInfo::rounds_prompts
};

class Runner {
 public:
  virtual ~Runner() = default;
  virtual RunnerInfo info() const = 0;
  // logits: [step.logit_rows.size(), vocab], owned by the runner, valid until the next call.
  virtual Result<std::span<float>> Run(const StepInput& step) = 0;
  // Of the next Run only: sums over the rows of each of these chunks of the residual stream after
  // the last layer are to stand in *sums, [chunks.size(), hidden]. Both stay valid until then.
  virtual void WantSums(std::span<const int32_t> chunks, std::vector<float>* sums) = 0;
};

}  // namespace hadal
