// Llama (arXiv 2407.21783): R1-Distill-Llama, DeepSeek-LLM, DeepSeek-Coder.
#include "models/dense_decoder.h"

namespace hadal {

Result<std::unique_ptr<Model>> LoadLlama(const ModelFiles& files, Backend& backend,
                                         const LoadOptions& options) {
  const bool bias = files.config.attention_bias.value_or(false);
  return LoadDenseDecoder(files, {.qkv_bias = bias, .o_bias = bias}, backend, options);
}

}  // namespace hadal
