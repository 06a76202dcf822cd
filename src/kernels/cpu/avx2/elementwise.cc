#include "kernels/cpu/avx2/avx2_kernels.h"
#include "kernels/cpu/avx2/vector.h"

namespace hadal::cpu {
namespace {

void RmsNorm(const float* x, const float* weight, float eps, int64_t n, float* out) {
  __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                   _mm256_setzero_ps()};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    for (int j = 0; j < 4; ++j) {
      const __m256 v = _mm256_loadu_ps(x + i + j * 8);
      sum[j] = _mm256_fmadd_ps(v, v, sum[j]);
    }
  }
  for (; i < n; i += 8) {
    const __m256 v = Load(x + i, n - i);
    sum[0] = _mm256_fmadd_ps(v, v, sum[0]);
  }
  const float total =
      Sum(_mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
  const __m128 mean = _mm_set_ss(total / static_cast<float>(n) + eps);
  const __m256 scale = _mm256_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(mean)));
  for (i = 0; i < n; i += 8) {
    const __m256 v = _mm256_mul_ps(Load(x + i, n - i), scale);
    Store(out + i, n - i, _mm256_mul_ps(v, Load(weight + i, n - i)));
  }
}

void Add(float* x, const float* delta, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) {
    Store(x + i, n - i, _mm256_add_ps(Load(x + i, n - i), Load(delta + i, n - i)));
  }
}

void Axpy(float a, const float* x, int64_t n, float* y) {
  const __m256 factor = _mm256_set1_ps(a);
  for (int64_t i = 0; i < n; i += 8) {
    Store(y + i, n - i, _mm256_fmadd_ps(factor, Load(x + i, n - i), Load(y + i, n - i)));
  }
}

void SwiGlu(const float* gate, const float* up, int64_t n, float* out) {
  const __m256 one = _mm256_set1_ps(1.0f);
  for (int64_t i = 0; i < n; i += 8) {
    const __m256 g = Load(gate + i, n - i);
    const __m256 e = Exp(_mm256_sub_ps(_mm256_setzero_ps(), g));
    const __m256 silu = _mm256_div_ps(g, _mm256_add_ps(one, e));
    Store(out + i, n - i, _mm256_mul_ps(silu, Load(up + i, n - i)));
  }
}

void RopeAdjacent(float* x, const float* cos, const float* sin, int64_t pairs) {
  int64_t i = 0;
  for (; i + 4 <= pairs; i += 4) {
    const __m256 v = _mm256_loadu_ps(x + 2 * i);
    const __m128 c4 = _mm_loadu_ps(cos + i), s4 = _mm_loadu_ps(sin + i);
    // Each factor twice: c0 c0 c1 c1 | c2 c2 c3 c3.
    const __m256 c = _mm256_set_m128(_mm_unpackhi_ps(c4, c4), _mm_unpacklo_ps(c4, c4));
    const __m256 s = _mm256_set_m128(_mm_unpackhi_ps(s4, s4), _mm_unpacklo_ps(s4, s4));
    const __m256 swapped = _mm256_permute_ps(v, 0xb1);
    _mm256_storeu_ps(x + 2 * i, _mm256_addsub_ps(_mm256_mul_ps(v, c), _mm256_mul_ps(swapped, s)));
  }
  for (; i < pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

void RopeHalves(float* x, const float* cos, const float* sin, int64_t pairs) {
  for (int64_t i = 0; i < pairs; i += 8) {
    const int64_t left = pairs - i;
    const __m256 a = Load(x + i, left), b = Load(x + pairs + i, left);
    const __m256 c = Load(cos + i, left), s = Load(sin + i, left);
    Store(x + i, left, _mm256_sub_ps(_mm256_mul_ps(a, c), _mm256_mul_ps(b, s)));
    Store(x + pairs + i, left, _mm256_add_ps(_mm256_mul_ps(b, c), _mm256_mul_ps(a, s)));
  }
}

void Rope(float* x, const float* cos, const float* sin, int64_t pairs, bool adjacent) {
  adjacent ? RopeAdjacent(x, cos, sin, pairs) : RopeHalves(x, cos, sin, pairs);
}

uint16_t OneToBf16(float f) {
  const auto u = static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_castps_si128(_mm_set_ss(f))));
  if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((u >> 16) | 0x40);
  return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}

void ToBf16(const float* x, int64_t n, uint16_t* out) {
  const __m256i one = _mm256_set1_epi32(1), half = _mm256_set1_epi32(0x7fff);
  const __m256i quiet = _mm256_set1_epi32(0x400000);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256 v = _mm256_loadu_ps(x + i);
    const __m256i u = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), one);
    const __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(half, odd));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i bits =
        _mm256_srli_epi32(_mm256_blendv_epi8(rounded, _mm256_or_si256(u, quiet), nan), 16);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(out + i),
        _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1)));
  }
  for (; i < n; ++i) out[i] = OneToBf16(x[i]);
}

void FromBf16(const uint16_t* x, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
    _mm256_storeu_ps(out + i, Bf16ToF32(v));
  }
  for (; i < n; ++i) {
    out[i] = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(x[i] << 16)));
  }
}

void FromF16(const uint16_t* x, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(v));
  }
  for (; i < n; ++i) out[i] = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(x[i])));
}

}  // namespace

void FillAvx2(KernelTable* table) {
  table->matmul_f32 = avx2::MatMulF32;
  table->matmul_bf16 = avx2::MatMulBf16;
  table->matmul_f16 = avx2::MatMulF16;
  table->matmul_int8 = avx2::MatMulInt8;
  table->quantise = avx2::Quantise;
  avx2::FillBlocks(table);
  table->quantise_groups8 = avx2::QuantiseGroups8;
  table->quantise_groups16 = avx2::QuantiseGroups16;
  table->rms_norm = RmsNorm;
  table->add = Add;
  table->axpy = Axpy;
  table->swiglu = SwiGlu;
  table->rope = Rope;
  table->to_bf16 = ToBf16;
  table->from_bf16 = FromBf16;
  table->from_f16 = FromF16;
  table->attention_tile = avx2::Attend;
}

}  // namespace hadal::cpu
