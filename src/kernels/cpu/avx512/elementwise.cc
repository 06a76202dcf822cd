#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

void RmsNorm(const float* x, const float* weight, float eps, int64_t n, float* out) {
  __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                   _mm512_setzero_ps()};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    for (int j = 0; j < 4; ++j) {
      const __m512 v = _mm512_loadu_ps(x + i + j * 16);
      sum[j] = _mm512_fmadd_ps(v, v, sum[j]);
    }
  }
  for (; i < n; i += 16) {
    const __m512 v = Load(x + i, n - i);
    sum[0] = _mm512_fmadd_ps(v, v, sum[0]);
  }
  const float total = _mm512_reduce_add_ps(
      _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
  const __m128 mean = _mm_set_ss(total / static_cast<float>(n) + eps);
  const __m512 scale = _mm512_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(mean)));
  for (i = 0; i < n; i += 16) {
    const __m512 v = _mm512_mul_ps(Load(x + i, n - i), scale);
    Store(out + i, n - i, _mm512_mul_ps(v, Load(weight + i, n - i)));
  }
}

void Add(float* x, const float* delta, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    Store(x + i, n - i, _mm512_add_ps(Load(x + i, n - i), Load(delta + i, n - i)));
  }
}

void Axpy(float a, const float* x, int64_t n, float* y) {
  const __m512 factor = _mm512_set1_ps(a);
  for (int64_t i = 0; i < n; i += 16) {
    Store(y + i, n - i, _mm512_fmadd_ps(factor, Load(x + i, n - i), Load(y + i, n - i)));
  }
}

void SwiGlu(const float* gate, const float* up, int64_t n, float* out) {
  const __m512 one = _mm512_set1_ps(1.0f);
  for (int64_t i = 0; i < n; i += 16) {
    const __m512 g = Load(gate + i, n - i);
    const __m512 e = Exp(_mm512_sub_ps(_mm512_setzero_ps(), g));
    const __m512 silu = _mm512_div_ps(g, _mm512_add_ps(one, e));
    Store(out + i, n - i, _mm512_mul_ps(silu, Load(up + i, n - i)));
  }
}

void ToBf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; i += 16) {
    _mm256_mask_storeu_epi16(out + i, TailMask(n - i), F32ToBf16(Load(x + i, n - i)));
  }
}

void FromBf16(const uint16_t* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; i += 16) {
    Store(out + i, n - i, Bf16ToF32(_mm256_maskz_loadu_epi16(TailMask(n - i), x + i)));
  }
}

}  // namespace

// Rope stays with AVX2: its rows are too short to gain.
void FillAvx512(KernelTable* table) {
  table->matmul_f32 = avx512::MatMulF32;
  table->matmul_bf16 = avx512::MatMulBf16;
  table->matmul_f16 = avx512::MatMulF16;
  table->matmul_int8 = avx512::MatMulInt8;
  table->quantise = avx512::Quantise;
  avx512::FillBlocks(table);
  table->quantise_groups8 = avx512::QuantiseGroups8;
  table->quantise_groups16 = avx512::QuantiseGroups16;
  table->rms_norm = RmsNorm;
  table->add = Add;
  table->axpy = Axpy;
  table->swiglu = SwiGlu;
  table->to_bf16 = ToBf16;
  table->from_bf16 = FromBf16;
  table->attention_tile = avx512::Attend;
}

}  // namespace hadal::cpu
