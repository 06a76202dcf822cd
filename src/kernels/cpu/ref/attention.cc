#include <algorithm>
#include <cmath>

#include "core/dtype.h"
#include "kernels/cpu/ref/ref_kernels.h"

namespace hadal::cpu::ref {
namespace {

float At(const void* row, bool bf16, int64_t d) {
  return bf16 ? Bf16ToFloat(static_cast<const uint16_t*>(row)[d])
              : static_cast<const float*>(row)[d];
}

}  // namespace

void PackKeys(const void* const* rows, bool bf16, int n_keys, int64_t dim, float* keys) {
  for (int64_t d = 0; d < dim; ++d) {
    for (int j = 0; j < kKeyTile; ++j) {
      keys[d * kKeyTile + j] = j < n_keys ? At(rows[j], bf16, d) : 0.0f;
    }
  }
}

void PackValues(const void* const* rows, bool bf16, int n_keys, int64_t dim, int64_t stride,
                float* values) {
  for (int j = 0; j < n_keys; ++j) {
    for (int64_t d = 0; d < stride; ++d) {
      values[j * stride + d] = d < dim ? At(rows[j], bf16, d) : 0.0f;
    }
  }
}

void Attend(const AttentionTile& t) {
  for (int64_t i = 0; i < t.n_q; ++i) {
    const int seen = t.seen[i];
    if (seen == 0) continue;
    float* s = t.scores + i * kKeyTile;
    for (int j = 0; j < kKeyTile; ++j) s[j] = 0;
    for (int64_t d = 0; d < t.k_dim; ++d) {
      const float q = t.q[i * t.k_dim + d];
      for (int j = 0; j < kKeyTile; ++j) s[j] += q * t.keys[d * kKeyTile + j];
    }
    const float m = std::max(t.m[i], *std::max_element(s, s + seen));
    const float alpha = std::exp(t.m[i] - m);
    float* o = t.o + i * t.v_stride;
    for (int64_t d = 0; d < t.v_stride; ++d) o[d] *= alpha;
    float sum = 0;
    for (int j = 0; j < seen; ++j) {
      const float p = std::exp(s[j] - m);
      sum += p;
      for (int64_t d = 0; d < t.v_stride; ++d) o[d] += p * t.values[j * t.v_stride + d];
    }
    t.m[i] = m;
    t.l[i] = t.l[i] * alpha + sum;
  }
}

}  // namespace hadal::cpu::ref
