// Owns: weights of any kind, and rows of prompts, to the operands of products of bf16 pairs. Of
// weights: 32 values of k of a panel as [16][16][2] bf16, which is a tile of AMX and what a bf16
// panel is made of. A kind has
//   PanelBytes(k)
//   Unpack(panel, k, k0, steps, out)   `steps` operands from k0 on, a multiple of 32; where there
//   is
//                                      none the panel holds the operands
// Included only by the prompt.cc of this folder and amx; everything has internal linkage. Thread
// rule: pure functions.
#pragma once

#include "kernels/cpu/avx512/bf16_pairs.h"
#include "kernels/cpu/avx512/block_codes.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kOperand = kPanel * kBf16KStep;  // elements

// Nearest bf16 of two vectors of finite values (ties away from zero), side by side per column.
HADAL_AVX512_INLINE __m512i FinitePairs(__m512 even, __m512 odd) {
  const __m512i half = _mm512_set1_epi32(0x8000);
  const __m512i e = _mm512_add_epi32(_mm512_castps_si512(even), half);
  const __m512i o = _mm512_add_epi32(_mm512_castps_si512(odd), half);
  const __m512i high_halves =
      _mm512_set_epi16(63, 31, 61, 29, 59, 27, 57, 25, 55, 23, 53, 21, 51, 19, 49, 17, 47, 15, 45,
                       13, 43, 11, 41, 9, 39, 7, 37, 5, 35, 3, 33, 1);
  return _mm512_permutex2var_epi16(e, high_halves, o);
}

// Codes of at most kBits bits become the floats kBase + code when they are put at the end of its
// mantissa: a shift and a mask, no conversion.
template <int kBits>
struct CodeFloats {
  static constexpr int kAt = 23 - kBits;  // the bit of a code's lowest one
  static constexpr float kBase = 1 << kBits;

  // The i-th byte of every lane.
  template <int i>
  HADAL_AVX512_INLINE __m512 Take(__m512i codes) {
    constexpr int kShift = 8 * i - kAt, kOrAnd = 0xea;  // (a & b) | c
    if constexpr (kShift > 0) codes = _mm512_srli_epi32(codes, kShift);
    if constexpr (kShift < 0) codes = _mm512_slli_epi32(codes, -kShift);
    const __m512i mask = _mm512_set1_epi32(((1 << kBits) - 1) << kAt);
    const __m512i base = _mm512_castps_si512(_mm512_set1_ps(kBase));
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(codes, mask, base, kOrAnd));
  }
};

// The 64 values of a quad: scale * (base + code) + offset per column.
template <class Floats>
HADAL_AVX512_INLINE void WriteQuad(__m512i codes, __m512 scale, __m512 offset, uint16_t* out) {
  const __m512 v[4] = {_mm512_fmadd_ps(Floats::template Take<0>(codes), scale, offset),
                       _mm512_fmadd_ps(Floats::template Take<1>(codes), scale, offset),
                       _mm512_fmadd_ps(Floats::template Take<2>(codes), scale, offset),
                       _mm512_fmadd_ps(Floats::template Take<3>(codes), scale, offset)};
  _mm512_store_si512(out, FinitePairs(v[0], v[1]));
  _mm512_store_si512(out + 2 * kPanel, FinitePairs(v[2], v[3]));
}

template <int kFormat>
struct PromptBlocks {
  static constexpr BlockFormat kF = kBlockFormats[kFormat];
  using Floats = CodeFloats<MaxCode(kF) < 128 ? 7 : 8>;
  static int64_t PanelBytes(int64_t k) { return PanelBytesBlocks(kF, k); }

  static void Unpack(const char* panel, int64_t k, int64_t k0, int64_t steps, uint16_t* out) {
    (void)k;
    constexpr int kParts = kGroup / kF.part, kPartQuads = kF.part / 4;
    const auto* block = reinterpret_cast<const uint8_t*>(panel) + k0 / BlockK(kF) * BlockBytes(kF);
    int64_t g = k0 % BlockK(kF) / kGroup;
    for (int64_t s = 0; s < steps; g = 0, block += BlockBytes(kF)) {
      const Common common = LoadCommon<kFormat>(block);
      for (; g < BlockGroups(kF) && s < steps; ++g, ++s, out += kOperand) {
        const uint8_t* low = block + LowAt(kF, static_cast<int>(g));
        const uint8_t* high = block + HighAt(kF, static_cast<int>(g));
        HADAL_UNROLL
        for (int i = 0; i < kParts; ++i) {
          const Factors f = LoadFactors<kFormat>(block, common, static_cast<int>(g) * kParts + i);
          const __m512 offset = Offset(block, f);
          HADAL_UNROLL
          for (int j = i * kPartQuads; j < (i + 1) * kPartQuads; ++j) {
            WriteQuad<Floats>(Codes<kFormat>(low, high, j), f.scale, offset, out + j * 4 * kPanel);
          }
        }
      }
    }
  }

 private:
  // What is added to scale * (base + code).
  HADAL_AVX512_INLINE __m512 Offset(const uint8_t* block, const Factors& f) {
    __m512 zero = _mm512_set1_ps(Floats::kBase + static_cast<float>(kF.zero));
    if constexpr (kF.scales == Scales::kHalfZero) {
      zero = _mm512_add_ps(zero, _mm512_cvtepi32_ps(LoadU8(block + 32)));
    }
    if constexpr (kF.scales == Scales::kHalfMin) return _mm512_fnmadd_ps(zero, f.scale, f.min);
    return _mm512_fnmsub_ps(zero, f.scale, f.min);
  }
};

// Panels that are tile operands as they are.
struct PromptBf16 {
  static int64_t PanelBytes(int64_t k) { return PanelBytesBf16(k); }
};

struct PromptF16 {
  static int64_t PanelBytes(int64_t k) { return PanelBytesF16(k); }

  static void Unpack(const char* panel, int64_t k, int64_t k0, int64_t steps, uint16_t* out) {
    const auto* w = reinterpret_cast<const uint16_t*>(panel);
    for (int64_t i = k0; i < k0 + steps * kBf16KStep; i += 2, out += 2 * kPanel) {
      __m512 v[2];
      for (int j = 0; j < 2; ++j) {
        v[j] = i + j < k ? _mm512_cvtph_ps(_mm256_loadu_si256(
                               reinterpret_cast<const __m256i*>(w + (i + j) * kPanel)))
                         : _mm512_setzero_ps();
      }
      _mm512_store_si512(out, Pairs(v[0], v[1]));
    }
  }
};

// KernelTable::to_prompt_rows.
void ToPromptRows(const float* const* x, int64_t rows, int64_t k, uint16_t* out) {
  for (int64_t r = 0; r < kPromptRows; ++r) {
    uint16_t* to = out + r / 16 * kOperand + r % 16 * kBf16KStep;
    for (int64_t i = 0; i < RoundUp(k, kBf16KStep); i += 16) {
      const __m512 v = r < rows ? Load(x[r] + i, k - i) : _mm512_setzero_ps();
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i % kBf16KStep), ToBf16(v));
      if (i % kBf16KStep != 0) to += 2 * kOperand;
    }
  }
}

}  // namespace
}  // namespace hadal::cpu
