// Owns: the gated feed-forward network, down(silu(gate x) * up x). Must not know families.
// Thread rule: immutable after load; Forward is called by the engine's thread.
#pragma once

#include <cstdint>
#include <string>

#include "models/block.h"
#include "models/weight_loader.h"

namespace hadal {

class FfnBlock final : public Block {
 public:
  // prefix: "model.layers.0.mlp."
  FfnBlock(int64_t hidden, int64_t ffn, WeightLoader& load, const std::string& prefix) : ffn_(ffn) {
    load.Fused(&gate_up_, {{prefix + "gate_proj.weight", ffn}, {prefix + "up_proj.weight", ffn}},
               hidden);
    load.Matrix(&down_, prefix + "down_proj.weight", hidden, ffn);
  }

  Delta Forward(Pass& pass, Tensor x, Tensor out) const override {
    pass.backend.FeedForward(Args(pass, x, out));
    return out;
  }
  // With scratch memory of the pass.
  FfnArgs Args(Pass& pass, Tensor x, Tensor out) const {
    const Tensor gate_up = pass.scratch.Take({pass.rows, 2 * ffn_});
    const Tensor product = pass.scratch.Take({pass.rows, ffn_});
    return {x, gate_up_.get(), down_.get(), gate_up, product, out, pass.exact_rows};
  }

  int64_t ScratchElements(int64_t rows) const override {
    return Workspace::Elements(rows * 2 * ffn_) + Workspace::Elements(rows * ffn_);
  }

 private:
  const int64_t ffn_;
  WeightPtr gate_up_;  // [2 * ffn, hidden]: gate rows, then up rows
  WeightPtr down_;     // [hidden, ffn]
};

}  // namespace hadal
