// Owns: one thread's memory for the attention of prompt rows: some queries, a tile of keys and
// values, and the running softmax. Thread rule: one thread each.
#pragma once

#include <cstdint>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/softmax_state.h"

namespace hadal::cpu {

constexpr int64_t kPromptQueries = 128;  // query vectors of a task, whole row blocks

struct PromptSpace {
  std::byte* scratch;  // kPromptAttentionSpace
  float *m, *l, *o;
  uint16_t *q, *keys, *values;
  int32_t* seen;

  static int64_t Bytes(int64_t k_dim, int64_t v_stride) {
    return kPromptAttentionSpace + kPromptQueries * (v_stride + 3) * 4 +
           2 * (kPromptQueries / kPromptRows * 2 * PromptBlockElements(k_dim) +
                PromptKeyElements(k_dim) + kPromptKeys * v_stride) +
           8 * 64;
  }
  PromptSpace(std::byte* base, int64_t k_dim, int64_t v_stride) {
    const auto take = [&base]<class T>(T** to, int64_t n) {
      *to = reinterpret_cast<T*>(base);
      base += RoundUp(n * static_cast<int64_t>(sizeof(T)), 64);
    };
    take(&scratch, kPromptAttentionSpace);
    take(&m, kPromptQueries);
    take(&l, kPromptQueries);
    take(&o, kPromptQueries * v_stride);
    take(&q, kPromptQueries / kPromptRows * 2 * PromptBlockElements(k_dim));
    take(&keys, PromptKeyElements(k_dim));
    take(&values, kPromptKeys * v_stride);
    take(&seen, kPromptQueries);
  }

  // n queries, the i-th at at(i), times scale, as row blocks.
  template <class At>
  void TakeQueries(const KernelTable& table, int64_t n, int64_t k_dim, float scale, At&& at) const {
    for (int64_t first = 0; first < n; first += kPromptRows) {
      const int64_t rows = n - first < kPromptRows ? n - first : kPromptRows;
      const float* from[kPromptRows];
      for (int64_t i = 0; i < rows; ++i) from[i] = at(first + i);
      table.pack_prompt_queries(from, rows, k_dim, scale,
                                q + first / kPromptRows * 2 * PromptBlockElements(k_dim));
    }
  }
};

}  // namespace hadal::cpu
