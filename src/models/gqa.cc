#include "models/gqa.h"

#include <cmath>

namespace hadal {

GqaBlock::GqaBlock(const GqaOptions& options, WeightLoader& load, const std::string& prefix,
                   const RopeTable& rope, size_t k_stream, size_t v_stream)
    : o_(options), rope_(rope), k_stream_(k_stream), v_stream_(v_stream) {
  const int64_t q_dim = o_.n_heads * o_.head_dim, kv_dim = o_.n_kv_heads * o_.head_dim;
  load.Matrix(&wq_, prefix + "q_proj.weight", q_dim, o_.hidden);
  load.Matrix(&wk_, prefix + "k_proj.weight", kv_dim, o_.hidden);
  load.Matrix(&wv_, prefix + "v_proj.weight", kv_dim, o_.hidden);
  load.Matrix(&wo_, prefix + "o_proj.weight", o_.hidden, q_dim);
  if (o_.qkv_bias) {
    load.Vector(&bq_, prefix + "q_proj.bias", q_dim);
    load.Vector(&bk_, prefix + "k_proj.bias", kv_dim);
    load.Vector(&bv_, prefix + "v_proj.bias", kv_dim);
  }
  if (o_.o_bias) load.Vector(&bo_, prefix + "o_proj.bias", o_.hidden);
  if (o_.qk_norm) {
    load.Vector(&q_norm_, prefix + "q_norm.weight", o_.head_dim);
    load.Vector(&k_norm_, prefix + "k_norm.weight", o_.head_dim);
  }
}

Delta GqaBlock::Forward(Pass& pass, Tensor x, Tensor out) const {
  Backend& b = pass.backend;
  const StepInput& step = pass.step;
  const int64_t rows = pass.rows, kv_dim = o_.n_kv_heads * o_.head_dim;
  const Shape q_flat = {rows, o_.n_heads * o_.head_dim}, q_heads = {rows, o_.n_heads, o_.head_dim};
  const Shape kv_flat = {rows, kv_dim}, kv_heads = {rows, o_.n_kv_heads, o_.head_dim};
  Tensor q = pass.scratch.Take(q_flat), k = pass.scratch.Take(kv_flat);
  Tensor v = pass.scratch.Take(kv_flat), mixed = pass.scratch.Take(q_flat);

  const Product products[] = {
      {wq_.get(), Values(bq_), q}, {wk_.get(), Values(bk_), k}, {wv_.get(), Values(bv_), v}};
  b.MatMuls(x, products, pass.exact_rows);
  const Tensor q3{q.data, q.dtype, q_heads}, k3{k.data, k.dtype, kv_heads};
  const Tensor v3{v.data, v.dtype, kv_heads};
  const KvView k_cache = pass.kv.view(k_stream_), v_cache = pass.kv.view(v_stream_);
  const Heads heads[] = {
      {.x = q3, .norm = Values(q_norm_), .eps = o_.eps, .rope = &rope_},
      {.x = k3, .norm = Values(k_norm_), .eps = o_.eps, .rope = &rope_, .cache = &k_cache},
      {.x = v3, .cache = &v_cache}};
  b.PrepareHeads(heads, step.positions, step.slots);
  const GqaArgs args{.q = q3,
                     .k = k_cache,
                     .v = v_cache,
                     .n_heads = static_cast<int>(o_.n_heads),
                     .n_kv_heads = static_cast<int>(o_.n_kv_heads),
                     .head_dim = static_cast<int>(o_.head_dim),
                     .scale = 1.0f / std::sqrt(static_cast<float>(o_.head_dim)),
                     .out = {mixed.data, mixed.dtype, q_heads}};
  b.Attention(args, step.chunks);
  b.MatMul(mixed, *wo_, Values(bo_), out, pass.exact_rows);
  return out;
}

int64_t GqaBlock::ScratchElements(int64_t rows) const {
  return 2 * Workspace::Elements(rows * o_.n_heads * o_.head_dim) +
         2 * Workspace::Elements(rows * o_.n_kv_heads * o_.head_dim);
}

}  // namespace hadal
