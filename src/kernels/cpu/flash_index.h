// Owns: where the query vectors, keys and values of a chunk's attention are. A query vector is one
// row and head of a group that shares a key head; vectors of a chunk count by row, then by head.
// Thread rule: pure functions.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/cpu_backend.h"

namespace hadal::cpu {

// Addresses of keys [first, first + n) of one head.
inline void RowPointers(const KvView& view, int64_t column, const int32_t* blocks, int64_t first,
                        int n, const void** rows) {
  const auto size = static_cast<int64_t>(SizeOf(view.dtype));
  const int64_t row_bytes = view.width * size;
  int64_t block = first / view.block_tokens, offset = first % view.block_tokens;
  for (int j = 0; j < n; ++j, ++offset) {
    if (offset == view.block_tokens) ++block, offset = 0;
    rows[j] = static_cast<const std::byte*>(view.data) + column * size +
              (int64_t{blocks[block]} * view.block_tokens + offset) * row_bytes;
  }
}

inline int64_t VectorsOf(const FlashArgs& a, const SeqChunk& c) { return c.n_rows * a.group; }
inline int64_t KeysOf(const SeqChunk& c) { return int64_t{c.context} + c.n_rows; }
// Keys that query vector v of a chunk sees.
inline int64_t Visible(const FlashArgs& a, const SeqChunk& c, int64_t v) {
  return c.context + v / a.group + 1;
}
// Start of vector v of a chunk and kv head, in a [rows][n_kv_heads][group][dim] array.
inline int64_t VectorAt(const FlashArgs& a, const SeqChunk& c, int64_t kv_head, int64_t v,
                        int64_t dim) {
  const int64_t row = c.first_row - a.first_row + v / a.group;
  return ((row * a.n_kv_heads + kv_head) * a.group + v % a.group) * dim;
}

// n query vectors, the i-th at at(i), times scale, as attention_tile takes them.
template <class At>
void PackVectors(int64_t n, int64_t k_dim, float scale, At&& at, float* out) {
  for (int64_t first = 0; first < n; first += kPanel, out += k_dim * kPanel) {
    const int64_t count = std::min<int64_t>(kPanel, n - first);
    const float* from[kPanel];
    for (int64_t i = 0; i < count; ++i) from[i] = at(first + i);
    for (int64_t d = 0; d < k_dim; ++d) {
      for (int64_t i = 0; i < kPanel; ++i) {
        out[d * kPanel + i] = i < count ? from[i][d] * scale : 0.0f;
      }
    }
  }
}

}  // namespace hadal::cpu
