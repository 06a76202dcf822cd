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
  bool drafts = false;          // Draft may be called
};

// What to guess before the next step. Row r has the position and slot of a token that row after[r]
// of the last Run computed, and the token that follows it; all such rows of the last Run whose
// sequences go on are among them. lengths[i] tokens are wanted after the token of logit row i; the
// chunk's blocks cover their slots.
struct DraftInput {
  StepInput step;
  std::span<const int32_t> after;    // [T]
  std::span<const int32_t> lengths;  // [step.logit_rows.size()], each at least 1
};

// Of the logit rows of a step, owned by the runner and valid until its next call.
struct StepLogits {
  std::span<float> rows;                       // [n, vocab]; empty: they stayed on the card,
  std::span<const RowSummary> summaries = {};  // which told this of each; Row gives one
};

class Runner {
 public:
  virtual ~Runner() = default;
  virtual RunnerInfo info() const = 0;
  // temperatures: of each logit row, at which it will be drawn.
  virtual Result<StepLogits> Run(const StepInput& step, std::span<const float> temperatures) = 0;
  // A row of the last Run whose rows stayed on the card.
  virtual Result<std::span<float>> Row(size_t row) {
    return Fail(ErrorCode::kInternal, "row {} of a step whose logits are here", row);
  }
  // The guesses, those after the first logit row first; valid until the next call.
  virtual Result<std::span<const TokenId>> Draft(const DraftInput& input) = 0;
  // Of the next Run only: sums over the rows of each of these chunks of the residual stream after
  // the last layer are to stand in *sums, [chunks.size(), hidden]. Both stay valid until then.
  virtual void WantSums(std::span<const int32_t> chunks, std::vector<double>* sums) = 0;
};

}  // namespace hadal
