#include <cmath>

#include "core/dtype.h"
#include "kernels/cpu/ref/ref_kernels.h"

namespace hadal::cpu {
namespace ref {

void RmsNorm(const float* x, const float* weight, float eps, int64_t n, float* out) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

void Add(float* x, const float* delta, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += delta[i];
}

void Axpy(float a, const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

void SwiGlu(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void Rope(float* x, const float* cos, const float* sin, int64_t pairs, bool adjacent) {
  for (int64_t i = 0; i < pairs; ++i) {
    float& a = x[adjacent ? 2 * i : i];
    float& b = x[adjacent ? 2 * i + 1 : i + pairs];
    const float a0 = a, b0 = b;
    a = a0 * cos[i] - b0 * sin[i];
    b = b0 * cos[i] + a0 * sin[i];
  }
}

void ToBf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = FloatToBf16(x[i]);
}

void FromBf16(const uint16_t* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = Bf16ToFloat(x[i]);
}

void FromF16(const uint16_t* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = F16ToFloat(x[i]);
}

}  // namespace ref

namespace {

template <int kFormat>
void FillBlocks(KernelTable* table) {
  if constexpr (kFormat < kBlockFormatCount) {
    table->matmul_blocks[kFormat] = [](const MatMulTile& t) {
      ref::MatMulBlocks(kBlockFormats[kFormat], t);
    };
    FillBlocks<kFormat + 1>(table);
  }
}

}  // namespace

void FillRef(KernelTable* table) {
  *table = {};
  table->matmul_f32 = ref::MatMulF32;
  table->matmul_f16 = ref::MatMulF16;
  FillBlocks<0>(table);
  table->quantise_groups8 = ref::QuantiseGroups8;
  table->quantise_groups16 = ref::QuantiseGroups16;
  table->rms_norm = ref::RmsNorm;
  table->add = ref::Add;
  table->axpy = ref::Axpy;
  table->swiglu = ref::SwiGlu;
  table->rope = ref::Rope;
  table->to_bf16 = ref::ToBf16;
  table->from_bf16 = ref::FromBf16;
  table->from_f16 = ref::FromF16;
  table->attention_tile = ref::Attend;
}

}  // namespace hadal::cpu
