#include <algorithm>

#include "core/dtype.h"
#include "kernels/cpu/ref/ref_kernels.h"

namespace hadal::cpu::ref {
namespace {

float ToFloat(float v) { return v; }
float ToFloat(uint16_t v) { return F16ToFloat(v); }

// Panels of [k][16].
template <class Element>
void Multiply(const MatMulTile& t) {
  const auto* x = static_cast<const float*>(t.x);
  const auto* w = static_cast<const Element*>(t.w);
  for (int64_t p = t.panel0; p < t.panel1; ++p) {
    const Element* panel = w + p * t.k * kPanel;
    const int64_t columns = std::min<int64_t>(kPanel, t.n - p * kPanel);
    for (int64_t r = 0; r < t.m; ++r) {
      float sum[kPanel] = {};
      for (int64_t k = 0; k < t.k; ++k) {
        for (int c = 0; c < kPanel; ++c)
          sum[c] += x[r * t.ldx + k] * ToFloat(panel[k * kPanel + c]);
      }
      float* out = t.out + r * t.ldo + p * kPanel;
      for (int64_t c = 0; c < columns; ++c) {
        out[c] = t.bias ? sum[c] + t.bias[p * kPanel + c] : sum[c];
      }
    }
  }
}

}  // namespace

void MatMulF32(const MatMulTile& t) { Multiply<float>(t); }
void MatMulF16(const MatMulTile& t) { Multiply<uint16_t>(t); }

}  // namespace hadal::cpu::ref
