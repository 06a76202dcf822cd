// Attention of a prompt's rows over a paged cache on the matrix unit: tasks of 128 query vectors
// walk the key tiles that their last one sees.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/flash_index.h"
#include "kernels/cpu/prompt_space.h"

namespace hadal::cpu {
namespace {

// Query vectors [vec0, vec0 + n) of a chunk and key head.
struct PromptTask {
  const KernelTable& table;
  const FlashArgs& a;
  const SeqChunk& c;
  int64_t kv_head, vec0, n;
  const PromptSpace& s;

  int64_t v_stride() const { return RoundUp(a.v_dim, kPanel); }

  void Keys(int64_t first, int64_t all) const {
    const auto n_keys = static_cast<int>(std::min(kPromptKeys, all - first));
    for (int64_t i = 0; i < n; ++i) {
      const int64_t seen = Visible(a, c, vec0 + i) - first;
      s.seen[i] = static_cast<int32_t>(std::clamp<int64_t>(seen, 0, kPromptKeys));
    }
    const void* rows[kPromptKeys];
    RowPointers(a.k, kv_head * a.k_dim, c.blocks, first, n_keys, rows);
    table.pack_prompt_keys(rows, a.k.dtype == DType::kBf16, n_keys, 0, a.k_dim, a.k_dim, s.keys);
    RowPointers(a.v, kv_head * a.v_dim, c.blocks, first, n_keys, rows);
    table.pack_prompt_values(rows, a.v.dtype == DType::kBf16, n_keys, a.v_dim, v_stride(),
                             s.values);
    table.prompt_attention(
        {s.q, s.keys, s.values, s.seen, s.scratch, s.m, s.l, s.o, n, a.k_dim, v_stride()});
  }

  void Run() const {
    s.TakeQueries(table, n, a.k_dim, a.scale,
                  [&](int64_t i) { return a.q + VectorAt(a, c, kv_head, vec0 + i, a.k_dim); });
    for (int64_t i = 0; i < kPromptQueries; ++i) {
      ResetState({s.m + i, s.l + i, s.o + i * v_stride()}, v_stride());
    }
    const int64_t all = Visible(a, c, vec0 + n - 1);
    for (int64_t first = 0; first < all; first += kPromptKeys) Keys(first, all);
    for (int64_t i = 0; i < n; ++i) {
      float* out = a.out + VectorAt(a, c, kv_head, vec0 + i, a.v_dim);
      for (int64_t d = 0; d < a.v_dim; ++d) out[d] = s.o[i * v_stride() + d] / s.l[i];
    }
  }
};

}  // namespace

void CpuBackend::FlashPrompt(const FlashArgs& a, const SeqChunk& c) {
  const int64_t v_stride = RoundUp(a.v_dim, kPanel), vectors = VectorsOf(a, c);
  const int64_t stride = RoundUp(PromptSpace::Bytes(a.k_dim, v_stride), 4096);
  auto* spaces = static_cast<std::byte*>(
      Reserve(kAttentionThread, static_cast<size_t>(stride * pool_.size())));
  const int64_t tiles = (vectors + kPromptQueries - 1) / kPromptQueries;
  pool_.ForEach(static_cast<int>(tiles * a.n_kv_heads), [&](int i, int thread) {
    // The last vectors see the most keys: longest tasks first.
    const int64_t vec0 = (tiles - 1 - i / a.n_kv_heads) * kPromptQueries;
    const PromptSpace space(spaces + thread * stride, a.k_dim, v_stride);
    const int64_t n = std::min(kPromptQueries, vectors - vec0);
    PromptTask{table_, a, c, i % a.n_kv_heads, vec0, n, space}.Run();
  });
}

}  // namespace hadal::cpu
