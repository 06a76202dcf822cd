// DeepSeekMoE (arXiv 2401.06066): MoE-16B. Attention and rope of Llama; experts chosen by softmax
// scores over all of them, weighted by the scores as they are.
#include "models/dense_decoder.h"

namespace hadal {

Result<std::unique_ptr<Model>> LoadDeepseek(const ModelFiles& files, Backend& backend,
                                            const LoadOptions& options) {
  const ModelConfig& c = files.config;
  const bool bias = c.attention_bias.value_or(false);
  DenseOptions dense{.qkv_bias = bias, .o_bias = bias};
  HADAL_TRY(dense.moe, MoeOptionsOf(c, {.scoring_func = ScoringFunc::kSoftmax,
                                        .topk_method = TopkMethod::kGreedy}));
  dense.moe->normalise = c.norm_topk_prob.value_or(false);
  return LoadDenseDecoder(files, dense, backend, options);
}

}  // namespace hadal
