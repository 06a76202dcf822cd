#include "engine/batch_plan.h"

namespace hadal {

void BatchPlan::Clear() {
  tokens.clear();
  positions.clear();
  slots.clear();
  chunks.clear();
  logit_rows.clear();
  parts.clear();
  summed.clear();
}

namespace {

// One token under the choice's guide; mask: words for the vocabulary.
Status SampleRow(const Sequence& s, std::span<float> row, Sampler& sampler,
                 std::span<uint64_t> mask, SampledToken& token) {
  const EngineRequest& spec = s.request->spec;
  SampleParams params{&spec.sampling, spec.sampling.seed.value_or(0), s.choice, s.tokens,
                      spec.prompt.size()};
  TokenGuide* guide =
      spec.guides.empty() ? nullptr : spec.guides[static_cast<size_t>(s.choice)].get();
  if (guide == nullptr) return sampler.Sample(row, params, token);
  HADAL_TRY(const bool limits, guide->Fill(mask));
  if (limits) params.mask = mask;
  HADAL_OK(sampler.Sample(row, params, token));
  return guide->Accept(token.id);
}

}  // namespace

void SampleStep(const BatchPlan& plan, std::span<float> logits, Sampler& sampler,
                StepScratch& scratch) {
  std::vector<StepSample>& samples = scratch.samples;
  const size_t n = plan.logit_rows.size();
  if (samples.size() < n) samples.resize(n);  // never shrinks: rows keep their memory
  if (n == 0) return;
  const size_t vocab = logits.size() / n;
  scratch.mask.resize((vocab + 63) / 64);
  for (const BatchPlan::Part& part : plan.parts) {
    if (part.logit_row < 0) continue;
    const auto row = static_cast<size_t>(part.logit_row);
    samples[row].status = SampleRow(*part.sequence, logits.subspan(row * vocab, vocab), sampler,
                                    scratch.mask, samples[row].token);
  }
}

}  // namespace hadal
