// DeepSeek-V2 (arXiv 2405.04434): V2, V2-Lite, V2.5, Coder-V2. Latent attention; experts chosen by
// softmax scores, in V2 and V2.5 within the best groups (best expert of each group).
#include "models/latent_decoder.h"

namespace hadal {

Result<std::unique_ptr<Model>> LoadDeepseekV2(const ModelFiles& files, Backend& backend,
                                              const LoadOptions& options) {
  LatentOptions latent;
  HADAL_TRY(latent.mla, MlaOptionsOf(files.config));
  HADAL_TRY(latent.moe, MoeOptionsOf(files.config, {.scoring_func = ScoringFunc::kSoftmax,
                                                    .topk_method = TopkMethod::kGreedy}));
  // norm_topk_prob is false in every published checkpoint and ignored by transformers: the weights
  // are the scores times routed_scaling_factor.
  latent.moe.normalise = false;
  latent.pairing = RopePairing::kAdjacent;
  return LoadLatentDecoder(files, latent, backend, options);
}

}  // namespace hadal
