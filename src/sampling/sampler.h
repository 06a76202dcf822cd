// Owns: one row of logits -> one token. A pure function of the row, the parameters, the sequence's
// tokens and (seed, choice, position): what else is in the batch cannot change the result.
//
// Order: mask (tokens outside it are never chosen, whatever else says); logit_bias; repetition
// penalty (tokens of prompt and answer: l > 0 ? l / r : l * r); presence and frequency penalties
// (tokens of the answer: l -= presence + count * frequency); temperature; top_k; top_p (the
// smallest most likely set of what top_k left whose mass reaches top_p, at least one token); min_p
// (probability at least min_p times that of the most likely); draw. Temperature 0 is the most
// likely token, the lowest id on ties. Logits that are not finite are never chosen. Logprobs are of
// the model's own distribution: log_softmax of the row as it came.
//
// Thread rule: a Sampler is scratch memory for one thread; rows may be spread over several.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "api/types.h"
#include "base/error.h"
#include "core/ids.h"
#include "core/row_summary.h"

namespace hadal {

struct SampleParams {
  const api::Sampling* sampling = nullptr;
  uint64_t seed = 0;                // of the request
  int choice = 0;                   // each choice draws its own numbers
  std::span<const TokenId> tokens;  // prompt, then answer so far; the drawn one comes after it
  size_t n_prompt = 0;              // tokens of the prompt
  // Bit id % 64 of word id / 64: the token may be chosen. Empty: all may.
  std::span<const uint64_t> mask = {};
};

struct SampledToken {
  TokenId id = 0;
  float logprob = 0;                           // set when logprobs are asked for
  std::vector<std::pair<TokenId, float>> top;  // top_logprobs most likely, ties by lowest id
};

// A token and its weight. Order of likelihood: larger value first, then lower id.
struct Candidate {
  float value = 0;
  TokenId id = 0;
  bool Before(const Candidate& o) const {
    return value > o.value || (value == o.value && id < o.id);
  }
};

// The n first candidates (by likelihood) of `values`, in no particular order; fewer when there are
// fewer than n values above -infinity.
void SelectTop(std::span<const float> values, size_t n, std::vector<Candidate>& top);

class Sampler {
 public:
  explicit Sampler(int64_t vocab);

  // logits: [vocab]; overwritten. kInternal when no logit is finite. `out` is reused by callers to
  // keep its memory.
  Status Sample(std::span<float> logits, const SampleParams& params, SampledToken& out);
  // The same from a row's summary, made at the temperature of params; false, and nothing drawn,
  // where that does not say enough: penalties, biases, logprobs, masks of a drawn token, and shares
  // of the mass that reach further than its candidates.
  Result<bool> SampleSummary(const RowSummary& row, const SampleParams& params, SampledToken& out);

 private:
  void RecordDistribution(std::span<const float> logits, const api::Sampling& sampling,
                          SampledToken& out);
  void ApplyMask(std::span<float> logits, std::span<const uint64_t> mask);
  void Adjust(std::span<float> logits, const SampleParams& params);
  TokenId Draw(std::span<const float> logits, const SampleParams& params);
  TokenId DrawCandidates(const SampleParams& params, double mass, TokenId likeliest);
  bool CollectSummary(const RowSummary& row, const api::Sampling& sampling, double* mass);
  void CollectTopK(std::span<const float> logits, size_t k);
  void CollectHeavy(std::span<const float> logits, const api::Sampling& sampling, double mass);
  void KeepTopP(double top_p, double mass);

  std::vector<float> raw_;             // [vocab] copy of the row, when logprobs are asked for
  std::vector<float> weights_;         // [vocab] exp((logit - max) / temperature)
  std::vector<Candidate> candidates_;  // what may still be drawn
  std::vector<Candidate> selection_;   // scratch of the selection
  std::vector<int32_t> counts_;        // [vocab], zero between calls
  double log_sum_exp_ = 0;             // of raw_
};

}  // namespace hadal
