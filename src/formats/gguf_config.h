// Owns: what GGUF metadata means as a ModelConfig, apart from any file. Private to formats/;
// callers use gguf_model.h. Thread rule: free functions.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/gguf.h"
#include "formats/model_config.h"

namespace hadal {

// The little that metadata needs from the tensors.
struct GgufTensors {
  std::function<std::optional<Shape>(std::string_view name)> shape;  // empty when absent
  std::vector<double> rope_freqs;  // of rope_freqs.weight; empty when absent
};

Result<ModelConfig> ModelConfigOf(const GgufMetadata& metadata, const GgufTensors& tensors);
GenerationConfig GenerationConfigOf(const GgufMetadata& metadata);

// model_type of config.json <-> general.architecture ("" when GGUF has no name for it). deepseek2
// stands for deepseek_v2 and deepseek_v3.
std::string_view GgufArchitectureOf(std::string_view model_type);
// Whether the architecture's files keep rows of q and k in adjacent rope pairs (llama, deepseek).
bool PermutesRope(std::string_view model_type);

// Lists of end tokens have no key of their own in GGUF; eos_token_id is the first.
inline constexpr std::string_view kEosTokensKey = "hadal.eos_token_ids";

}  // namespace hadal
