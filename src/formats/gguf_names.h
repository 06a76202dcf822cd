// Owns: the one table of tensor names, GGUF's beside the hub's. Private to formats/; callers use
// gguf_model.h. Thread rule: constants and free functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace hadal {

struct TensorNames {
  std::string_view gguf;  // "attn_q.weight", after "blk.N."
  std::string_view hub;   // "self_attn.q_proj.weight", after "model.layers.N."
};
// Tensors of a layer, in the order in which they are written. Experts are not among them.
std::span<const TensorNames> LayerNames();
// "ffn_gate_exps.weight" | "gate_proj.weight", after "mlp.experts.E."
std::span<const TensorNames> ExpertNames();
// Tensors outside layers: whole names.
std::span<const TensorNames> ModelNames();

// A tensor of layer N: "blk.N.<rest>".
struct LayerTensorName {
  int64_t layer = 0;
  std::string_view rest;
};
std::optional<LayerTensorName> ParseLayerName(std::string_view gguf_name);

// The hub's name of a row of `names`, or empty.
std::string_view HubNameIn(std::span<const TensorNames> names, std::string_view gguf);

}  // namespace hadal
