// Owns: one pre-norm residual layer of a decoder. Must not know families.
// Thread rule: immutable after load.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include "models/block.h"
#include "models/weight_loader.h"

namespace hadal {

struct DecoderLayer {
  VectorPtr attention_norm;  // [hidden]
  std::unique_ptr<Block> attention;
  VectorPtr ffn_norm;  // [hidden]
  std::unique_ptr<Block> ffn;

  // prefix: "model.layers.0."; the layer must not move until the weights are loaded.
  void LoadNorms(WeightLoader& load, const std::string& prefix, int64_t hidden) {
    load.Vector(&attention_norm, prefix + "input_layernorm.weight", hidden);
    load.Vector(&ffn_norm, prefix + "post_attention_layernorm.weight", hidden);
  }
  // h: the residual stream x after attention_norm. Gives what is to be added to x, with the memory
  // of `out`, before other work takes the pass's scratch.
  Delta Forward(Pass& pass, float eps, Tensor x, Tensor h, Tensor out) const {
    const size_t mark = pass.scratch.mark();
    const Delta attended = attention->Forward(pass, h, out);
    pass.scratch.Release(mark);
    pass.backend.AddRmsNorm(x, attended, Values(ffn_norm), eps, h);
    const Delta delta = ffn->Forward(pass, h, out);
    pass.scratch.Release(mark);
    return delta;
  }
  int64_t ScratchElements(int64_t rows) const {
    return std::max(attention->ScratchElements(rows), ffn->ScratchElements(rows));
  }
};

}  // namespace hadal
