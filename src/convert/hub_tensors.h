// Owns: which tensors a hub checkpoint of a configuration has: names, shapes and what each is for,
// in the order in which they are written.
// Must not know files or types. Thread rule: free functions.
#pragma once

#include <string>
#include <vector>

#include "core/tensor.h"
#include "formats/model_config.h"

namespace hadal {

enum class TensorRole {
  kNorm,        // vector around 1
  kBias,        // vector around 0
  kChoiceBias,  // e_score_correction_bias
  kEmbedding,
  kHead,
  kRouter,
  kInput,   // matrices that read the residual stream, or a latent
  kOutput,  // matrices that add to the residual stream
};

struct HubTensor {
  std::string name;
  Shape shape;
  TensorRole role = TensorRole::kInput;
};

// model_type llama, qwen2, qwen3, deepseek, deepseek_v2 or deepseek_v3; without multi-token
// prediction layers.
std::vector<HubTensor> HubTensorsOf(const ModelConfig& config);

// How many of them belong to one routed expert each. Costs nothing, however many they are.
int64_t ExpertTensorsOf(const ModelConfig& config);

// What FP8 checkpoints store in FP8: matrices inside layers, without routers.
bool IsFp8Matrix(TensorRole role);

}  // namespace hadal
