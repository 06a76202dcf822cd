// Qwen2 (arXiv 2407.10671): R1-Distill-Qwen. q, k and v always have biases; o has none.
#include "models/dense_decoder.h"

namespace hadal {

Result<std::unique_ptr<Model>> LoadQwen2(const ModelFiles& files, Backend& backend,
                                         const LoadOptions& options) {
  return LoadDenseDecoder(files, {.qkv_bias = true}, backend, options);
}

}  // namespace hadal
