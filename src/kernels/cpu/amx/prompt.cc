// Products of prompt rows: weights of any kind become bf16 tiles once for a block of panels and a
// stretch of k, and all the rows pass over them. Sums of 512 rows by 8 panels stay in the cache
// between stretches, so an element's chain is in the order of k whatever the blocking.
#include "kernels/cpu/amx/prompt.h"

#include "kernels/cpu/amx/tile_convert.h"
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/prompt_weights.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kSumElements = kTileRows * kPanel;  // floats of a tile of sums
constexpr int64_t kMostSteps = kPromptDepth / kBf16KStep;

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

template <int kFormat>
void FillFrom(KernelTable* table) {
  if constexpr (kFormat < kBlockFormatCount) {
    table->prompt_blocks[kFormat] = Multiply<PromptBlocks<kFormat>>;
    FillFrom<kFormat + 1>(table);
  }
}

}  // namespace

namespace amx {

void HADAL_FILL_PROMPT(KernelTable* table) {
  table->prompt_bf16 = Multiply<PromptBf16>;
  table->prompt_f16 = Multiply<PromptF16>;
  table->to_prompt_rows = ToPromptRows;
  FillFrom<0>(table);
}

}  // namespace amx
}  // namespace hadal::cpu
