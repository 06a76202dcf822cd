#include <algorithm>
#include <cmath>

#include "kernels/cpu/ref/ref_kernels.h"

namespace hadal::cpu::ref {

void Attend(const AttentionTile& t) {
  for (int64_t i = 0; i < t.n_q; ++i) {
    const int seen = t.seen[i];
    if (seen == 0) continue;
    float* s = t.scores + i * kKeyTile;
    const float* q = t.q + i / kPanel * t.k_dim * kPanel + i % kPanel;
    for (int j = 0; j < seen; ++j) {
      s[j] = 0;
      for (int64_t d = 0; d < t.k_dim; ++d) s[j] += q[d * kPanel] * t.keys[j][d];
    }
    const float m = std::max(t.m[i], *std::max_element(s, s + seen));
    const float alpha = std::exp(t.m[i] - m);
    float* o = t.o + i * t.v_stride;
    for (int64_t d = 0; d < t.v_dim; ++d) o[d] *= alpha;
    float sum = 0;
    for (int j = 0; j < seen; ++j) {
      const float p = std::exp(s[j] - m);
      sum += p;
      for (int64_t d = 0; d < t.v_dim; ++d) o[d] += p * t.values[j][d];
    }
    t.m[i] = m;
    t.l[i] = t.l[i] * alpha + sum;
  }
}

}  // namespace hadal::cpu::ref
