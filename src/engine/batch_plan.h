// Owns: what one step computes: rows in the order of the runner's tensors, and whose they are.
// A plan is valid from Scheduler::Plan to the Commit or Fail of the same step.
// Thread rule: the engine thread. Its memory is reused from step to step.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/runner.h"
#include "engine/sequence.h"
#include "kernels/backend.h"
#include "sampling/sampler.h"

namespace hadal {

struct BatchPlan {
  struct Part {
    Sequence* sequence = nullptr;
    int32_t logit_row = -1;  // index into logit_rows; -1: more of the prompt is to come
    int32_t drafted = 0;     // guesses at the end of its tokens; logit rows are 1 + drafted
  };

  std::vector<TokenId> tokens;      // [T]
  std::vector<int32_t> positions;   // [T]
  std::vector<int32_t> slots;       // [T]
  std::vector<SeqChunk> chunks;     // decoding sequences first, then prefill, each by age
  std::vector<int32_t> logit_rows;  // rows to draw a token from
  std::vector<Part> parts;          // of each chunk
  std::vector<int32_t> summed;      // chunks whose hidden states are to be summed

  bool empty() const { return tokens.empty(); }
  StepInput input() const { return {tokens, positions, slots, chunks, logit_rows}; }
  void Clear();
};

// What a model's own draft layer computes before the step; rows in the order of its parts.
struct DraftPlan {
  std::vector<TokenId> tokens;
  std::vector<int32_t> positions, slots;
  std::vector<int32_t> after;  // rows of the step before
  std::vector<SeqChunk> chunks;
  std::vector<int32_t> logit_rows;
  std::vector<int32_t> lengths;  // guesses wanted after each logit row

  bool empty() const { return tokens.empty(); }
  DraftInput input() const {
    return {{tokens, positions, slots, chunks, logit_rows}, after, lengths};
  }
  void Clear();
};

// What was drawn for one logit row.
struct StepSample {
  Status status;
  SampledToken token;
};

bool IsStop(const EngineRequest& request, TokenId token);
// How many of the part's guesses were drawn: what stands at their rows follows from them. A token
// that ends the choice is never followed.
int32_t CountAccepted(const BatchPlan::Part& part, std::span<const StepSample> samples);

// Reused from step to step.
struct StepScratch {
  std::vector<double> sums;         // [plan.summed.size(), hidden]
  std::vector<StepSample> samples;  // one per logit row
  std::vector<uint64_t> mask;
  std::vector<float> temperatures;  // one per logit row
};

void FillTemperatures(const BatchPlan& plan, std::vector<float>& temperatures);

// logits: of the runner's last Run, overwritten where they are rows. Of a part with guesses, rows
// are drawn one after another as without them, up to the first token that was not guessed; those
// after it are not drawn, and its guide sees only what was.
void SampleStep(const BatchPlan& plan, const StepLogits& logits, Runner& runner, Sampler& sampler,
                StepScratch& scratch);

}  // namespace hadal
