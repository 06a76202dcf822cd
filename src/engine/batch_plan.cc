#include "engine/batch_plan.h"

namespace hadal {

void BatchPlan::Clear() {
  tokens.clear();
  positions.clear();
  slots.clear();
  chunks.clear();
  logit_rows.clear();
  parts.clear();
}

void SampleStep(const BatchPlan& plan, std::span<float> logits, Sampler& sampler,
                std::vector<StepSample>& samples) {
  const size_t n = plan.logit_rows.size();
  if (samples.size() < n) samples.resize(n);  // never shrinks: rows keep their memory
  if (n == 0) return;
  const size_t vocab = logits.size() / n;
  for (const BatchPlan::Part& part : plan.parts) {
    if (part.logit_row < 0) continue;
    const auto row = static_cast<size_t>(part.logit_row);
    const EngineRequest& spec = part.sequence->request->spec;
    const SampleParams params{&spec.sampling, spec.sampling.seed.value_or(0), part.sequence->choice,
                              part.sequence->tokens, spec.prompt.size()};
    samples[row].status =
        sampler.Sample(logits.subspan(row * vocab, vocab), params, samples[row].token);
  }
}

}  // namespace hadal
