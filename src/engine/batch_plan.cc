#include "engine/batch_plan.h"

#include <algorithm>

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

void DraftPlan::Clear() {
  tokens.clear();
  positions.clear();
  slots.clear();
  after.clear();
  chunks.clear();
  logit_rows.clear();
  lengths.clear();
}

namespace {

// The token after the first n of the sequence, under the choice's guide; mask: words for the
// vocabulary.
Status SampleRow(const Sequence& s, size_t n, std::span<float> row, Sampler& sampler,
                 std::span<uint64_t> mask, SampledToken& token) {
  const EngineRequest& spec = s.request->spec;
  SampleParams params{&spec.sampling, spec.sampling.seed.value_or(0), s.choice,
                      std::span(s.tokens).first(n), spec.prompt.size()};
  TokenGuide* guide =
      spec.guides.empty() ? nullptr : spec.guides[static_cast<size_t>(s.choice)].get();
  if (guide == nullptr) return sampler.Sample(row, params, token);
  HADAL_TRY(const bool limits, guide->Fill(mask));
  if (limits) params.mask = mask;
  HADAL_OK(sampler.Sample(row, params, token));
  return guide->Accept(token.id);
}

// Whether guess i of the part was drawn and the one after it counts.
bool Follows(const BatchPlan::Part& part, int32_t i, const StepSample& sample) {
  if (i == part.drafted || !sample.status) return false;
  const std::vector<TokenId>& tokens = part.sequence->tokens;
  const TokenId guess = tokens[tokens.size() - static_cast<size_t>(part.drafted - i)];
  return sample.token.id == guess && !IsStop(part.sequence->request->spec, guess);
}

}  // namespace

bool IsStop(const EngineRequest& request, TokenId token) {
  const auto in = [&](const std::vector<TokenId>& ids) {
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  };
  return in(request.stop_tokens) || in(request.sampling.stop_token_ids);
}

int32_t CountAccepted(const BatchPlan::Part& part, std::span<const StepSample> samples) {
  int32_t n = 0;
  while (Follows(part, n, samples[static_cast<size_t>(part.logit_row + n)])) ++n;
  return n;
}

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
    const Sequence& s = *part.sequence;
    const size_t known = s.tokens.size() - static_cast<size_t>(part.drafted);
    for (int32_t i = 0; i <= part.drafted; ++i) {
      const auto row = static_cast<size_t>(part.logit_row + i);
      samples[row].status =
          SampleRow(s, known + static_cast<size_t>(i), logits.subspan(row * vocab, vocab), sampler,
                    scratch.mask, samples[row].token);
      if (!Follows(part, i, samples[row])) break;
    }
  }
}

}  // namespace hadal
