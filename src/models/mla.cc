#include "models/mla.h"

#include <cmath>

namespace hadal {
namespace {

// The reference code builds the norms of the two latents with its default epsilon, whatever
// rms_norm_eps says.
constexpr float kLatentNormEps = 1e-6f;

}  // namespace

Result<MlaOptions> MlaOptionsOf(const ModelConfig& c) {
  if (!c.is_mla()) {
    return FailField(ErrorCode::kUnsupportedModel, "kv_lora_rank",
                     "kv_lora_rank is not given; '{}' needs it for its latent attention",
                     c.model_type);
  }
  if (c.attention_bias.value_or(false)) {
    return FailField(ErrorCode::kUnsupportedModel, "attention_bias",
                     "attention_bias is true; latent attention with biases is not supported");
  }
  const double m = c.rope.YarnMscale(c.rope.mscale_all_dim.value_or(0));
  const auto head = static_cast<double>(c.qk_nope_head_dim + c.qk_rope_head_dim);
  return MlaOptions{.hidden = c.hidden_size,
                    .n_heads = c.num_attention_heads,
                    .q_lora = c.q_lora_rank,
                    .kv_lora = c.kv_lora_rank,
                    .nope = c.qk_nope_head_dim,
                    .rope = c.qk_rope_head_dim,
                    .v_dim = c.v_head_dim,
                    .scale = static_cast<float>(m * m / std::sqrt(head))};
}

MlaBlock::MlaBlock(const MlaOptions& options, WeightLoader& load, const std::string& prefix,
                   const RopeTable& rope, size_t stream)
    : o_(options), rope_(rope), stream_(stream) {
  const int64_t q_dim = o_.n_heads * (o_.nope + o_.rope);
  if (o_.q_lora == 0) {
    load.Matrix(&w_q_, prefix + "q_proj.weight", q_dim, o_.hidden);
  } else {
    load.Matrix(&w_q_a_, prefix + "q_a_proj.weight", o_.q_lora, o_.hidden);
    load.Vector(&q_norm_, prefix + "q_a_layernorm.weight", o_.q_lora);
    load.Matrix(&w_q_b_, prefix + "q_b_proj.weight", q_dim, o_.q_lora);
  }
  load.Split({{&w_c_, o_.kv_lora}, {&w_k_pe_, o_.rope}}, prefix + "kv_a_proj_with_mqa.weight",
             o_.hidden);
  load.Vector(&kv_norm_, prefix + "kv_a_layernorm.weight", o_.kv_lora);
  load.Latent(&kv_b_, prefix, {o_.n_heads, o_.nope, o_.v_dim, o_.kv_lora});
  load.Matrix(&w_o_, prefix + "o_proj.weight", o_.hidden, o_.n_heads * o_.v_dim);
}

// q [T, n_heads, nope + rope]: W_q x, or W_qb norm(W_qa x).
// The products of x, also its latent c and the shared key part k_pe, are one operation.
void MlaBlock::Project(Pass& pass, Tensor x, Tensor q, Tensor c, Tensor k_pe) const {
  Backend& b = pass.backend;
  const Tensor flat{q.data, q.dtype, {pass.rows, o_.n_heads * (o_.nope + o_.rope)}};
  const bool low_rank = o_.q_lora != 0;
  const Tensor c_q = low_rank ? pass.scratch.Take({pass.rows, o_.q_lora}) : flat;
  const Product products[] = {
      {(low_rank ? w_q_a_ : w_q_).get(), nullptr, c_q},
      {w_c_.get(), nullptr, c},
      {w_k_pe_.get(), nullptr, {k_pe.data, k_pe.dtype, {pass.rows, o_.rope}}}};
  b.MatMuls(x, products, pass.exact_rows);
  if (low_rank) {
    b.RmsNorm(c_q, Values(q_norm_), kLatentNormEps, c_q);
    b.MatMul(c_q, *w_q_b_, nullptr, flat, pass.exact_rows);
  }
}

Delta MlaBlock::Forward(Pass& pass, Tensor x, Tensor out) const {
  Backend& b = pass.backend;
  const StepInput& step = pass.step;
  const int64_t rows = pass.rows;
  const Tensor q = pass.scratch.Take({rows, o_.n_heads, o_.nope + o_.rope});
  const Tensor c = pass.scratch.Take({rows, o_.kv_lora});
  const Tensor k_pe = pass.scratch.Take({rows, 1, o_.rope});  // one head for all
  Project(pass, x, q, c, k_pe);
  const KvView latent = pass.kv.view(stream_);
  const Heads heads[] = {{.x = q, .rope = &rope_, .offset = static_cast<int>(o_.nope)},
                         {.x = {c.data, c.dtype, {rows, 1, o_.kv_lora}},
                          .norm = Values(kv_norm_),
                          .eps = kLatentNormEps,
                          .cache = &latent},
                         {.x = k_pe, .rope = &rope_, .cache = &latent, .at = o_.kv_lora}};
  b.PrepareHeads(heads, step.positions, step.slots);
  const Tensor mixed = pass.scratch.Take({rows, o_.n_heads, o_.v_dim});
  const MlaArgs args{.q = q,
                     .latent = latent,
                     .uk = kv_b_.uk.get(),
                     .uv = kv_b_.uv.get(),
                     .kv_b = kv_b_.whole.get(),
                     .n_heads = static_cast<int>(o_.n_heads),
                     .nope = static_cast<int>(o_.nope),
                     .rope = static_cast<int>(o_.rope),
                     .kv_lora = static_cast<int>(o_.kv_lora),
                     .v_dim = static_cast<int>(o_.v_dim),
                     .scale = o_.scale,
                     .form = MlaForm::kAuto,
                     .out = mixed};
  b.MlaAttention(args, step.chunks);
  b.MatMul({mixed.data, mixed.dtype, {rows, o_.n_heads * o_.v_dim}}, *w_o_, nullptr, out,
           pass.exact_rows);
  return out;
}

int64_t MlaBlock::ScratchElements(int64_t rows) const {
  return Workspace::Elements(rows * o_.n_heads * (o_.nope + o_.rope)) +
         Workspace::Elements(rows * o_.q_lora) + Workspace::Elements(rows * o_.kv_lora) +
         Workspace::Elements(rows * o_.rope) + Workspace::Elements(rows * o_.n_heads * o_.v_dim);
}

}  // namespace hadal
