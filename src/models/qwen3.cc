// Qwen3 (arXiv 2505.09388): R1-0528-Qwen3-8B. Every head of q and k is normed before rope.
#include "models/dense_decoder.h"

namespace hadal {

Result<std::unique_ptr<Model>> LoadQwen3(const ModelFiles& files, Backend& backend,
                                         const LoadOptions& options) {
  const bool bias = files.config.attention_bias.value_or(false);
  return LoadDenseDecoder(files, {.qkv_bias = bias, .o_bias = bias, .qk_norm = true}, backend,
                          options);
}

}  // namespace hadal
