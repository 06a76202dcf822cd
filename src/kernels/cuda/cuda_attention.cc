// Attention: rows of answers by kernels of single rows, over the keys and values or, with MLA, over
// the latents themselves (the absorbed form).
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

const CudaWeight& Cast(const Weight* w) { return static_cast<const CudaWeight&>(*w); }

Cache CacheOf(const KvView& v) { return {v.data, v.dtype == DType::kBf16, v.width}; }

}  // namespace

// Rows at a time whose parts fit 64 MiB.
void CudaBackend::Attend(const AttentionShape& shape, const float* q, const Cache& k,
                         const Cache& v, const RowIndex& index, float* out) {
  constexpr int64_t kSpace = int64_t{16} << 20;
  AttentionShape part = shape;
  part.rows = 1;
  const int64_t of_row = AttentionSpace(part, k, v, index.most).floats;
  const int64_t heads = shape.n_kv * shape.group;
  const int64_t step = std::clamp<int64_t>(kSpace / std::max<int64_t>(of_row, 1), 1, 32768);
  for (int64_t row = 0; row < shape.rows; row += step) {
    part.rows = std::min(step, shape.rows - row);
    const AttentionMemory memory = AttentionSpace(part, k, v, index.most);
    AttentionScratch scratch;
    scratch.parts = ReserveFloats(kAttentionParts, memory.floats);
    scratch.counts = static_cast<int*>(
        Reserve(kAttentionCounts, static_cast<size_t>(memory.counts) * sizeof(int)));
    RowIndex rows = index;
    rows.visible += row;
    rows.table_at += row;
    AttendRows(device_->stream(), part, q + row * heads * shape.k_dim, k, v, rows, scratch,
               out + row * heads * shape.v_dim);
  }
}

void CudaBackend::Attention(const GqaArgs& a, std::span<const SeqChunk> chunks) {
  const AttentionShape shape{.rows = a.q.shape[0],
                             .n_kv = a.n_kv_heads,
                             .group = a.n_heads / a.n_kv_heads,
                             .k_dim = a.head_dim,
                             .v_dim = a.head_dim,
                             .scale = a.scale};
  Attend(shape, a.q.f32(), CacheOf(a.k), CacheOf(a.v), IndexOf(chunks, a.k.block_tokens),
         a.out.f32());
}

// The absorbed form for every row.
void CudaBackend::MlaAttention(const MlaArgs& a, std::span<const SeqChunk> chunks) {
  const int64_t rows = a.q.shape[0], heads = a.n_heads;
  const int64_t q_dim = a.nope + a.rope, k_dim = a.kv_lora + a.rope;
  const RowMap by_head{.modulo = heads};
  const RowIndex index = IndexOf(chunks, a.latent.block_tokens);
  float* absorbed = ReserveFloats(kMlaQuery, rows * heads * k_dim);
  Multiply(a.q.f32(), q_dim, rows * heads, Cast(a.uk), by_head, {absorbed, k_dim, nullptr});
  CopyColumns(device_->stream(), a.q.f32(), q_dim, a.nope, a.rope, rows * heads, absorbed, k_dim,
              a.kv_lora);
  float* latent = ReserveFloats(kMlaLatent, rows * heads * a.kv_lora);
  const AttentionShape shape{.rows = rows,
                             .n_kv = 1,
                             .group = heads,
                             .k_dim = k_dim,
                             .v_dim = a.kv_lora,
                             .scale = a.scale};
  Attend(shape, absorbed, CacheOf(a.latent), CacheOf(a.latent), index, latent);
  Multiply(latent, a.kv_lora, rows * heads, Cast(a.uv), by_head, {a.out.f32(), a.v_dim, nullptr});
}

}  // namespace hadal::CUDA_NAMESPACE
