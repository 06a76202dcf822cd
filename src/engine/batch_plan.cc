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

// The logits of a step and who draws from them.
struct Draws {
  const StepLogits& logits;
  Runner& runner;
  Sampler& sampler;
  std::span<uint64_t> mask;  // words for the vocabulary
  size_t vocab;
};

// A token of the row: from its summary where that says enough, else from the row itself.
Status DrawRow(const Draws& d, size_t row, const SampleParams& params, SampledToken& token) {
  if (!d.logits.rows.empty()) {
    return d.sampler.Sample(d.logits.rows.subspan(row * d.vocab, d.vocab), params, token);
  }
  HADAL_TRY(const bool drawn, d.sampler.SampleSummary(d.logits.summaries[row], params, token));
  if (drawn) return {};
  HADAL_TRY(const std::span<float> values, d.runner.Row(row));
  return d.sampler.Sample(values, params, token);
}

// The token after the first n of the sequence, under the choice's guide.
Status SampleRow(const Draws& d, const Sequence& s, size_t n, size_t row, SampledToken& token) {
  const EngineRequest& spec = s.request->spec;
  SampleParams params{&spec.sampling, spec.sampling.seed.value_or(0), s.choice,
                      std::span(s.tokens).first(n), spec.prompt.size()};
  TokenGuide* guide =
      spec.guides.empty() ? nullptr : spec.guides[static_cast<size_t>(s.choice)].get();
  if (guide == nullptr) return DrawRow(d, row, params, token);
  HADAL_TRY(const bool limits, guide->Fill(d.mask));
  if (limits) params.mask = d.mask;
  HADAL_OK(DrawRow(d, row, params, token));
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

void FillTemperatures(const BatchPlan& plan, std::vector<float>& temperatures) {
  temperatures.resize(plan.logit_rows.size());
  for (const BatchPlan::Part& part : plan.parts) {
    if (part.logit_row < 0) continue;
    const auto value = static_cast<float>(part.sequence->request->spec.sampling.temperature);
    for (int32_t i = 0; i <= part.drafted; ++i) {
      temperatures[static_cast<size_t>(part.logit_row + i)] = value;
    }
  }
}

void SampleStep(const BatchPlan& plan, const StepLogits& logits, Runner& runner, Sampler& sampler,
                StepScratch& scratch) {
  std::vector<StepSample>& samples = scratch.samples;
  const size_t n = plan.logit_rows.size();
  if (samples.size() < n) samples.resize(n);  // never shrinks: rows keep their memory
  if (n == 0) return;
  const auto vocab = static_cast<size_t>(runner.info().vocab);
  scratch.mask.resize((vocab + 63) / 64);
  const Draws draws{logits, runner, sampler, scratch.mask, vocab};
  for (const BatchPlan::Part& part : plan.parts) {
    if (part.logit_row < 0) continue;
    const Sequence& s = *part.sequence;
    const size_t known = s.tokens.size() - static_cast<size_t>(part.drafted);
    for (int32_t i = 0; i <= part.drafted; ++i) {
      const auto row = static_cast<size_t>(part.logit_row + i);
      samples[row].status =
          SampleRow(draws, s, known + static_cast<size_t>(i), row, samples[row].token);
      if (!Follows(part, i, samples[row])) break;
    }
  }
}

}  // namespace hadal
