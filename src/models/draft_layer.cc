#include "models/draft_layer.h"

#include <numeric>
#include <utility>
#include <vector>

namespace hadal {
namespace {

// Writes src [T, n] into columns [at, at + n) of out [T, any]: a cache of one block, in order.
void CopyColumns(Backend& b, Tensor src, int64_t at, Tensor out) {
  const auto rows = static_cast<int32_t>(out.shape[0]);
  std::vector<int32_t> slots(static_cast<size_t>(rows));
  std::iota(slots.begin(), slots.end(), 0);
  b.StoreKv(src, 0, src.shape[1], slots, at, {out.data, out.dtype, out.shape[1], rows});
}

}  // namespace

DraftLayer::DraftLayer(WeightLoader& load, const std::string& prefix, int64_t hidden, float eps,
                       std::unique_ptr<Block> attention, std::unique_ptr<Block> ffn)
    : hidden_(hidden), eps_(eps) {
  load.Vector(&token_norm_, prefix + "enorm.weight", hidden);
  load.Vector(&state_norm_, prefix + "hnorm.weight", hidden);
  load.Matrix(&join_, prefix + "eh_proj.weight", hidden, 2 * hidden);
  load.Vector(&head_norm_, prefix + "shared_head.norm.weight", hidden);
  layer_.LoadNorms(load, prefix, hidden);
  layer_.attention = std::move(attention);
  layer_.ffn = std::move(ffn);
}

void DraftLayer::Forward(Pass& pass, Tensor x, Tensor h) const {
  Backend& b = pass.backend;
  const size_t mark = pass.scratch.mark();
  const Tensor both = pass.scratch.Take({pass.rows, 2 * hidden_});
  b.RmsNorm(x, Values(token_norm_), eps_, x);
  b.RmsNorm(h, Values(state_norm_), eps_, h);
  CopyColumns(b, x, 0, both);
  CopyColumns(b, h, hidden_, both);
  b.MatMul(both, *join_, nullptr, x);
  pass.scratch.Release(mark);

  const Tensor out = pass.scratch.Take({pass.rows, hidden_});
  b.RmsNorm(x, Values(layer_.attention_norm), eps_, h);
  b.Add(x, layer_.Forward(pass, eps_, x, h, out));
  pass.scratch.Release(mark);
}

int64_t DraftLayer::ScratchElements(int64_t rows) const {
  return std::max(Workspace::Elements(rows * 2 * hidden_),
                  Workspace::Elements(rows * hidden_) + layer_.ScratchElements(rows));
}

}  // namespace hadal
