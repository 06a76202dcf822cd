// DeepSeek-V3 (arXiv 2412.19437): V3, V3-0324, R1, R1-0528, V3.1. Latent attention; experts chosen
// by sigmoid scores plus a bias within the best groups (best two experts of each group), weighted
// by the scores without the bias. One layer of multi-token prediction guesses tokens.
#include "models/latent_decoder.h"

namespace hadal {

Result<std::unique_ptr<Model>> LoadDeepseekV3(const ModelFiles& files, Backend& backend,
                                              const LoadOptions& options) {
  const ModelConfig& c = files.config;
  LatentOptions latent;
  HADAL_TRY(latent.mla, MlaOptionsOf(c));
  HADAL_TRY(latent.moe, MoeOptionsOf(c, {.scoring_func = ScoringFunc::kSigmoid,
                                         .topk_method = TopkMethod::kNoauxTc,
                                         .routed_scaling_factor = 2.5}));
  latent.moe.normalise = c.norm_topk_prob.value_or(true);
  // The published checkpoints pair adjacent dimensions; exports may have permuted them.
  latent.pairing =
      c.rope_interleave.value_or(true) ? RopePairing::kAdjacent : RopePairing::kHalfSplit;
  return LoadLatentDecoder(files, latent, backend, options);
}

}  // namespace hadal
