// Owns: what GGUF calls things, in both directions: metadata <-> ModelConfig, tensor names <-> the
// names of hub checkpoints. Inside Hadal every model speaks the hub's names and one rope pairing
// per family; this file is the only place that knows GGUF's. Architectures: llama, qwen2, qwen3,
// deepseek (MoE-16B), deepseek2 (V2, V2-Lite, V3). Thread rule: free functions.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/checkpoint.h"
#include "formats/gguf.h"
#include "formats/model_config.h"

namespace hadal {

// config.json's meaning from metadata (and from the shapes of a few tensors where old files say
// nothing). kBadFile names the missing or senseless key; kUnsupportedModel another architecture.
Result<ModelConfig> ModelConfigOfGguf(const GgufFile& file);
GenerationConfig GenerationConfigOfGguf(const GgufFile& file);

// The tensors under hub names: experts of a 3-D tensor one by one, rows of llama's q and k back in
// half-split order (TensorEntry::row_order). Tensors without a hub name keep their own, so that a
// Binder reports them. The newer MLA layout appears as "...self_attn.k_b_proj.weight"
// [n_heads, kv_lora, nope] and "...self_attn.v_b_proj.weight" [n_heads, v_dim, kv_lora].
Result<std::vector<TensorEntry>> EntriesOfGguf(const GgufFile& file, const ModelConfig& config);

// ---- writing
// Metadata of a model without its vocabulary: general.*, <arch>.*. kUnsupportedModel for what GGUF
// cannot say.
Result<GgufMetadata> GgufMetadataOf(const ModelConfig& config, const GenerationConfig& generation,
                                    std::string_view name);

// One GGUF tensor and where its rows come from.
struct GgufTensorPlan {
  std::string name;     // "blk.3.ffn_down_exps.weight"
  Shape shape;          // outermost first
  bool vector = false;  // norms, biases: always F32
  bool router = false;  // ffn_gate_inp: always F32
  int64_t layer = -1;
  // Decodes rows [row0, row0 + n) of the tensor seen as [rows, last dimension].
  std::function<void(int64_t row0, int64_t n, float* out)> decode;
};
// In the order in which they are written. The checkpoint outlives the plan.
Result<std::vector<GgufTensorPlan>> PlanGgufTensors(const ModelConfig& config,
                                                    const Checkpoint& checkpoint);

// The tensors of a hub checkpoint, under its names, for safetensors made from GGUF: k_b_proj and
// v_b_proj become kv_b_proj again. The checkpoint outlives the plan.
Result<std::vector<GgufTensorPlan>> PlanHubTensors(const ModelConfig& config,
                                                   const Checkpoint& checkpoint);

// config.json of a ModelConfig, as the hub's files spell it (for safetensors made from GGUF). FP8
// blocks are said, 4-bit groups are not: what is written are decoded values. kUnsupportedModel for
// frequency divisors that no llama3 settings give.
Result<std::string> ConfigJsonOf(const ModelConfig& config);
std::string GenerationConfigJsonOf(const GenerationConfig& config);

}  // namespace hadal
