// Products of prompt rows: weights of any kind become bf16 tiles once for a block of panels and a
// stretch of k, and all the rows pass over them. Sums of 512 rows by 8 panels stay in the cache
// between stretches, so an element's chain is in the order of k whatever the blocking.
#include "kernels/cpu/amx/prompt.h"

#include "kernels/cpu/amx/tile_convert.h"
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/block_codes.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kSumElements = kTileRows * kPanel;  // floats of a tile of sums
constexpr int64_t kMostSteps = kPromptDepth / kBf16KStep;

// ---- weights to tiles: `steps` operands of 32 values of k from k0 on, [steps][16][16][2] bf16

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
struct BlockWeights {
  static constexpr BlockFormat kF = kBlockFormats[kFormat];
  using Floats = CodeFloats<MaxCode(kF) < 128 ? 7 : 8>;
  static int64_t PanelBytes(int64_t k) { return PanelBytesBlocks(kF, k); }

  static void Unpack(const char* panel, int64_t k, int64_t k0, int64_t steps, uint16_t* out) {
    (void)k;
    constexpr int kParts = kGroup / kF.part, kPartQuads = kF.part / 4;
    const auto* block = reinterpret_cast<const uint8_t*>(panel) + k0 / BlockK(kF) * BlockBytes(kF);
    for (int64_t s = 0; s < steps; block += BlockBytes(kF)) {
      const Common common = LoadCommon<kFormat>(block);
      for (int g = 0; g < BlockGroups(kF); ++g, ++s, out += kTileElements) {
        HADAL_UNROLL
        for (int i = 0; i < kParts; ++i) {
          const Factors f = LoadFactors<kFormat>(block, common, g * kParts + i);
          const __m512 offset = Offset(block, f);
          HADAL_UNROLL
          for (int j = i * kPartQuads; j < (i + 1) * kPartQuads; ++j) {
            WriteQuad<Floats>(Codes<kFormat>(block + LowAt(kF, g), block + HighAt(kF, g), j),
                              f.scale, offset, out + j * 4 * kPanel);
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
struct Bf16Weights {
  static int64_t PanelBytes(int64_t k) { return PanelBytesBf16(k); }
};

struct F16Weights {
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

// ---- products

// Operands of one stretch of k: activations of a row block, and weights of one or two panels.
struct Operands {
  const uint16_t* x;
  const uint16_t* w[2];
  int64_t steps;
};

// Tiles 0..3 are sums [2 row groups][2 panels], kept in memory between the stretches.
template <bool kTwoGroups, bool kTwoPanels>
HADAL_AVX512_INLINE void LoadSums(const float* sums) {
  TileLoad<0>(sums, kTileBytes);
  if constexpr (kTwoPanels) TileLoad<1>(sums + kSumElements, kTileBytes);
  if constexpr (kTwoGroups) TileLoad<2>(sums + 2 * kSumElements, kTileBytes);
  if constexpr (kTwoGroups && kTwoPanels) TileLoad<3>(sums + 3 * kSumElements, kTileBytes);
}
template <bool kTwoGroups, bool kTwoPanels>
HADAL_AVX512_INLINE void StoreSums(float* sums) {
  TileStore<0>(sums, kTileBytes);
  if constexpr (kTwoPanels) TileStore<1>(sums + kSumElements, kTileBytes);
  if constexpr (kTwoGroups) TileStore<2>(sums + 2 * kSumElements, kTileBytes);
  if constexpr (kTwoGroups && kTwoPanels) TileStore<3>(sums + 3 * kSumElements, kTileBytes);
}

template <bool kTwoGroups, bool kTwoPanels>
void Stretch(const Operands& o, bool first, float* sums) {
  if (first) {
    TileZero<0>();
    TileZero<1>();
    TileZero<2>();
    TileZero<3>();
  } else {
    LoadSums<kTwoGroups, kTwoPanels>(sums);
  }
  for (int64_t s = 0; s < o.steps; ++s) {
    TileLoad<4>(o.x + 2 * s * kTileElements, kTileBytes);
    TileLoad<6>(o.w[0] + s * kTileElements, kTileBytes);
    TileDotBf16<0, 4, 6>();
    if constexpr (kTwoPanels) {
      TileLoad<7>(o.w[1] + s * kTileElements, kTileBytes);
      TileDotBf16<1, 4, 7>();
    }
    if constexpr (kTwoGroups) {
      TileLoad<5>(o.x + (2 * s + 1) * kTileElements, kTileBytes);
      TileDotBf16<2, 5, 6>();
      if constexpr (kTwoPanels) TileDotBf16<3, 5, 7>();
    }
  }
  StoreSums<kTwoGroups, kTwoPanels>(sums);
}

void RunStretch(const Operands& o, int64_t rows, bool first, float* sums) {
  const bool groups = rows > kTileRows, panels = o.w[1] != nullptr;
  if (groups && panels) return Stretch<true, true>(o, first, sums);
  if (groups) return Stretch<true, false>(o, first, sums);
  if (panels) return Stretch<false, true>(o, first, sums);
  Stretch<false, false>(o, first, sums);
}

// Sums of a row block and panel pair, in the order of LoadSums, to out with the bias.
void WriteSums(const PromptTile& t, const float* sums, int64_t row, int64_t rows, int64_t panel,
               int64_t panels) {
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t column = (panel + p) * kPanel, left = t.n - column;
    const __m512 bias = t.bias ? Load(t.bias + column, left) : _mm512_setzero_ps();
    for (int64_t r = 0; r < rows; ++r) {
      const float* at = sums + (r / kTileRows * 2 + p) * kSumElements + r % kTileRows * kPanel;
      Store(t.out + (row + r) * t.ldo + column, left, _mm512_add_ps(_mm512_load_ps(at), bias));
    }
  }
}

// Of a gated product: silu(gate) * up of a row block and panel, into the row blocks of the next
// one.
void WriteGated(const PromptTile& t, const float* sums, int64_t row, int64_t rows, int64_t panel) {
  const int64_t k = panel * kPanel;
  uint16_t* block = t.gated + row / kPromptRows * PromptBlockElements(t.n / 2) +
                    k / kBf16KStep * 2 * kTileElements + k % kBf16KStep;
  for (int64_t r = 0; r < rows; ++r) {
    const float* at = sums + r / kTileRows * 2 * kSumElements + r % kTileRows * kPanel;
    const __m512 gate = _mm512_load_ps(at), up = _mm512_load_ps(at + kSumElements);
    const __m512 e = Exp(_mm512_sub_ps(_mm512_setzero_ps(), gate));
    const __m512 silu = _mm512_div_ps(gate, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
    uint16_t* to = block + r / kTileRows * kTileElements + r % kTileRows * kBf16KStep;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), ToBf16(_mm512_mul_ps(silu, up)));
  }
}

// The panels multiplied together, at most kPromptPanels, one after another or, gated, gate and up
// alternating, so that a pair of tiles holds the two of the same columns.
struct Group {
  int64_t first, count;
  int64_t up = 0;  // gated: panels from one of the gate to that of up
  int64_t At(int64_t i) const { return up == 0 ? first + i : first + i / 2 + i % 2 * up; }
};

// At most kPromptKeep rows from `row` on.
template <class W>
void Panels(const PromptTile& t, int64_t row, const Group& group) {
  auto* unpacked = static_cast<uint16_t*>(t.space);
  auto* sums = reinterpret_cast<float*>(unpacked + kPromptPanels * kMostSteps * kTileElements);
  const int64_t rows = t.m - row < kPromptKeep ? t.m - row : kPromptKeep;
  const int64_t all = RoundUp(t.k, kBf16KStep) / kBf16KStep, panel_bytes = W::PanelBytes(t.k);
  const auto pair_sums = [&](int64_t r, int64_t p) {
    return sums + (r / kPromptRows * (kPromptPanels / 2) + p / 2) * 4 * kSumElements;
  };
  for (int64_t s0 = 0; s0 < all; s0 += kMostSteps) {
    const int64_t steps = all - s0 < kMostSteps ? all - s0 : kMostSteps;
    const uint16_t* operands[kPromptPanels];
    for (int64_t p = 0; p < group.count; ++p) {
      const char* w = static_cast<const char*>(t.w) + group.At(p) * panel_bytes;
      if constexpr (requires { W::Unpack(w, t.k, s0, steps, unpacked); }) {
        uint16_t* to = unpacked + p * kMostSteps * kTileElements;
        W::Unpack(w, t.k, s0 * kBf16KStep, steps, to);
        operands[p] = to;
      } else {
        operands[p] = reinterpret_cast<const uint16_t*>(w) + s0 * kTileElements;
      }
    }
    for (int64_t r = 0; r < rows; r += kPromptRows) {
      const uint16_t* x = t.x + (row + r) / kPromptRows * PromptBlockElements(t.k);
      for (int64_t p = 0; p < group.count; p += 2) {
        RunStretch({x + 2 * s0 * kTileElements,
                    {operands[p], p + 1 < group.count ? operands[p + 1] : nullptr},
                    steps},
                   rows - r, s0 == 0, pair_sums(r, p));
      }
    }
  }
  for (int64_t r = 0; r < rows; r += kPromptRows) {
    const int64_t n = rows - r < kPromptRows ? rows - r : kPromptRows;
    for (int64_t p = 0; p < group.count; p += 2) {
      if (t.gated) {
        WriteGated(t, pair_sums(r, p), row + r, n, group.At(p));
      } else {
        WriteSums(t, pair_sums(r, p), row + r, n, group.At(p), group.count - p < 2 ? 1 : 2);
      }
    }
  }
}

template <class W>
void Multiply(const PromptTile& t) {
  ConfigureAllRows();
  const int64_t step = t.gated ? kPromptPanels / 2 : kPromptPanels;
  for (int64_t row = 0; row < t.m; row += kPromptKeep) {
    for (int64_t p = t.panel0; p < t.panel1; p += step) {
      const int64_t n = t.panel1 - p < step ? t.panel1 - p : step;
      Panels<W>(t, row, t.gated ? Group{p, 2 * n, t.n / 2 / kPanel} : Group{p, n});
    }
  }
  TileRelease();
}

// ---- activations

void ToPromptRows(const float* const* x, int64_t rows, int64_t k, uint16_t* out) {
  for (int64_t r = 0; r < kPromptRows; ++r) {
    uint16_t* to = out + r / kTileRows * kTileElements + r % kTileRows * kBf16KStep;
    for (int64_t i = 0; i < RoundUp(k, kBf16KStep); i += 16) {
      const __m512 v = r < rows ? Load(x[r] + i, k - i) : _mm512_setzero_ps();
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i % kBf16KStep), ToBf16(v));
      if (i % kBf16KStep != 0) to += 2 * kTileElements;
    }
  }
}

template <int kFormat>
void FillFrom(KernelTable* table) {
  if constexpr (kFormat < kBlockFormatCount) {
    table->prompt_blocks[kFormat] = Multiply<BlockWeights<kFormat>>;
    FillFrom<kFormat + 1>(table);
  }
}

}  // namespace

namespace amx {

void HADAL_FILL_PROMPT(KernelTable* table) {
  table->prompt_bf16 = Multiply<Bf16Weights>;
  table->prompt_f16 = Multiply<F16Weights>;
  table->to_prompt_rows = ToPromptRows;
  FillFrom<0>(table);
}

}  // namespace amx
}  // namespace hadal::cpu
