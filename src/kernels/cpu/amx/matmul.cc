// bf16 and int8 products on AMX tiles: 32 rows by 2 panels at a time. The packed panels are tile
// operands as they are: 16 tile rows of 64 bytes, each 16 columns by 2 (bf16) or 4 (int8) values of
// k. Rows of a tile do not mix, so a row's result does not depend on how many the tile holds; the
// tile configuration follows the rows that are left.
//
// A bf16 product takes its activations in two parts that together keep 16 bits of significand:
// rounded to 8 bits they would choose other experts where the router's scores are close.
#include "kernels/cpu/amx/prompt.h"
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/vector.h"
#include "kernels/cpu/kernel_table.h"

namespace hadal::cpu {
namespace {

// Tiles: 0, 1 sums of the first 16 rows by 2 panels; 2, 3 of the next 16; 4, 5 activations; 6, 7
// weights.
// rows0, rows1: rows of activations in the two row groups, 1..16 each.
void Configure(int64_t rows0, int64_t rows1) {
  TileConfig config;
  const int64_t rows[8] = {rows0, rows0, rows1, rows1, rows0, rows1, kTileRows, kTileRows};
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = kTileBytes;
    config.rows[i] = static_cast<uint8_t>(rows[i]);
  }
  TileConfigure(config);
}

HADAL_AVX512_INLINE void ZeroSums() {
  TileZero<0>();
  TileZero<1>();
  TileZero<2>();
  TileZero<3>();
}

// Adds the bias and writes one tile of sums.
void WriteSums(const MatMulTile& t, const float* sums, int64_t row, int64_t rows, int64_t panel) {
  const int64_t column = panel * kPanel, left = t.n - column;
  for (int64_t r = 0; r < rows; ++r) {
    __m512 v = _mm512_loadu_ps(sums + r * kPanel);
    if (t.bias) v = _mm512_add_ps(v, Load(t.bias + column, left));
    Store(t.out + (row + r) * t.ldo + column, left, v);
  }
}

// Rows [row, row + rows) with rows > 16 exactly when kTwoGroups, by panels [panel, panel + P). Each
// step loads its weights once and adds the products of the low parts, then of the high parts.
template <bool kTwoGroups, int P>
void Bf16Block(const MatMulTile& t, int64_t row, int64_t rows, int64_t panel) {
  const int64_t steps = RoundUp(t.k, kBf16KStep) / kBf16KStep;
  const int64_t x_stride = t.ldx * 2, panel_bytes = PanelBytesBf16(t.k);
  const auto* x = static_cast<const char*>(t.x) + row * x_stride;
  const auto* w = static_cast<const char*>(t.w) + panel * panel_bytes;
  ZeroSums();
  for (int64_t s = 0; s < steps; ++s) {
    TileLoad<6>(w + s * kOperandBytes, kTileBytes);
    if constexpr (P == 2) TileLoad<7>(w + panel_bytes + s * kOperandBytes, kTileBytes);
    for (int part = 1; part >= 0; --part) {
      const char* at = x + (2 * s + part) * kTileBytes;
      TileLoad<4>(at, x_stride);
      TileDotBf16<0, 4, 6>();
      if constexpr (P == 2) TileDotBf16<1, 4, 7>();
      if constexpr (kTwoGroups) {
        TileLoad<5>(at + kTileRows * x_stride, x_stride);
        TileDotBf16<2, 5, 6>();
        if constexpr (P == 2) TileDotBf16<3, 5, 7>();
      }
    }
  }
  alignas(64) float sums[kTileRows * kPanel];
  const int64_t rows0 = kTwoGroups ? kTileRows : rows;
  TileStore<0>(sums, kTileBytes);
  WriteSums(t, sums, row, rows0, panel);
  if constexpr (P == 2) {
    TileStore<1>(sums, kTileBytes);
    WriteSums(t, sums, row, rows0, panel + 1);
  }
  if constexpr (kTwoGroups) {
    TileStore<2>(sums, kTileBytes);
    WriteSums(t, sums, row + kTileRows, rows - kTileRows, panel);
    if constexpr (P == 2) {
      TileStore<3>(sums, kTileBytes);
      WriteSums(t, sums, row + kTileRows, rows - kTileRows, panel + 1);
    }
  }
}

// totals[r] += (sums[r] + correction) * scale of the column * scale of the row, for one block.
void AddBlock(const MatMulTile& t, const int32_t* sums, const Int8Block& w, int64_t row,
              int64_t rows, int64_t block, float* totals) {
  const __m512i correction = _mm512_loadu_si512(w.minus_128_sum);
  const __m512 w_scale = _mm512_loadu_ps(w.scale);
  for (int64_t r = 0; r < rows; ++r) {
    const __m512i sum = _mm512_add_epi32(_mm512_loadu_si512(sums + r * kPanel), correction);
    const __m512 x_scale = _mm512_set1_ps(t.x_scale[(row + r) * t.ld_scale + block]);
    float* total = totals + r * kPanel;
    _mm512_storeu_ps(total,
                     _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(w_scale, x_scale),
                                     _mm512_loadu_ps(total)));
  }
}

template <bool kTwoGroups, int P>
void Int8Rows(const MatMulTile& t, int64_t row, int64_t rows, int64_t panel) {
  const int64_t blocks = RoundUp(t.k, kInt8KStep) / kInt8KStep;
  const auto* x = static_cast<const char*>(t.x) + row * t.ldx;
  const auto* w0 = static_cast<const Int8Block*>(t.w) + panel * blocks;
  const Int8Block* w1 = w0 + (P == 2 ? blocks : 0);
  alignas(64) float totals[4][kTileRows * kPanel] = {};
  alignas(64) int32_t sums[kTileRows * kPanel];
  const int64_t rows0 = kTwoGroups ? kTileRows : rows, rows1 = rows - rows0;
  for (int64_t b = 0; b < blocks; ++b) {
    ZeroSums();
    for (int64_t half = 0; half < kInt8KStep / kTileBytes; ++half) {
      const char* at = x + b * kInt8KStep + half * kTileBytes;
      TileLoad<4>(at, t.ldx);
      TileLoad<6>(w0[b].w[half * kTileRows], kTileBytes);
      TileDotU8S8<0, 4, 6>();
      if constexpr (P == 2) {
        TileLoad<7>(w1[b].w[half * kTileRows], kTileBytes);
        TileDotU8S8<1, 4, 7>();
      }
      if constexpr (kTwoGroups) {
        TileLoad<5>(at + kTileRows * t.ldx, t.ldx);
        TileDotU8S8<2, 5, 6>();
        if constexpr (P == 2) TileDotU8S8<3, 5, 7>();
      }
    }
    TileStore<0>(sums, kTileBytes);
    AddBlock(t, sums, w0[b], row, rows0, b, totals[0]);
    if constexpr (P == 2) {
      TileStore<1>(sums, kTileBytes);
      AddBlock(t, sums, w1[b], row, rows0, b, totals[1]);
    }
    if constexpr (kTwoGroups) {
      TileStore<2>(sums, kTileBytes);
      AddBlock(t, sums, w0[b], row + kTileRows, rows1, b, totals[2]);
      if constexpr (P == 2) {
        TileStore<3>(sums, kTileBytes);
        AddBlock(t, sums, w1[b], row + kTileRows, rows1, b, totals[3]);
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    WriteSums(t, totals[p], row, rows0, panel + p);
    if (kTwoGroups) WriteSums(t, totals[2 + p], row + kTileRows, rows1, panel + p);
  }
}

struct Bf16Kernel {
  template <bool kTwoGroups, int P>
  HADAL_AVX512_INLINE void Run(const MatMulTile& t, int64_t row, int64_t rows, int64_t panel) {
    Bf16Block<kTwoGroups, P>(t, row, rows, panel);
  }
};
struct Int8Kernel {
  template <bool kTwoGroups, int P>
  HADAL_AVX512_INLINE void Run(const MatMulTile& t, int64_t row, int64_t rows, int64_t panel) {
    Int8Rows<kTwoGroups, P>(t, row, rows, panel);
  }
};

// Rows [row, row + rows), at most 32 and configured, by all the panels.
template <class Kernel, bool kTwoGroups>
void AllPanels(const MatMulTile& t, int64_t row, int64_t rows) {
  int64_t p = t.panel0;
  for (; p + 2 <= t.panel1; p += 2) Kernel::template Run<kTwoGroups, 2>(t, row, rows, p);
  if (p < t.panel1) Kernel::template Run<kTwoGroups, 1>(t, row, rows, p);
}

template <class Kernel>
void Multiply(const MatMulTile& t) {
  constexpr int64_t kBoth = 2 * kTileRows;
  // Panels outside, so that their weights stay in the cache while the rows pass.
  const int64_t whole = t.m / kBoth * kBoth, left = t.m - whole;
  if (whole > 0) {
    Configure(kTileRows, kTileRows);
    for (int64_t p = t.panel0; p < t.panel1; p += 2) {
      MatMulTile pair = t;
      pair.panel0 = p;
      pair.panel1 = p + 2 < t.panel1 ? p + 2 : t.panel1;
      for (int64_t r = 0; r < whole; r += kBoth) AllPanels<Kernel, true>(pair, r, kBoth);
    }
  }
  if (left > kTileRows) {
    Configure(kTileRows, left - kTileRows);
    AllPanels<Kernel, true>(t, whole, left);
  } else if (left > 0) {
    Configure(left, kTileRows);
    AllPanels<Kernel, false>(t, whole, left);
  }
  TileRelease();
}

void MatMulBf16(const MatMulTile& t) { Multiply<Bf16Kernel>(t); }
void MatMulInt8(const MatMulTile& t) { Multiply<Int8Kernel>(t); }

void SplitBf16(const float* x, int64_t k, uint16_t* out) {
  for (int64_t i = 0; i < RoundUp(k, kBf16KStep); i += 16) {
    const __m512 v = Load(x + i, k - i);
    const __m256i high = F32ToBf16(v);
    // Nothing is left of an infinity, and inf - inf would make it a NaN.
    constexpr int kInfinities = 0x18;
    const __m512 rounded = Bf16ToF32(high);
    const __mmask16 finite = _knot_mask16(_mm512_fpclass_ps_mask(rounded, kInfinities));
    const __m256i low = F32ToBf16(_mm512_maskz_sub_ps(finite, v, rounded));
    uint16_t* to = out + i / kBf16KStep * 2 * kBf16KStep + i % kBf16KStep;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), high);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + kBf16KStep), low);
  }
}

}  // namespace

// Over the AVX-512 table: int8 activations keep its unsigned form, f16 panels its products.
#if defined(HADAL_EMULATED_TILES)
void FillAmxEmulated(KernelTable* table) {
#else
void FillAmx(KernelTable* table) {
#endif
  table->matmul_bf16 = MatMulBf16;
  table->matmul_int8 = MatMulInt8;
  table->split_bf16 = SplitBf16;
  amx::HADAL_FILL_BLOCKS(table);
  amx::HADAL_FILL_PROMPT(table);
  amx::HADAL_FILL_PROMPT_ATTENTION(table);
  amx::HADAL_FILL_CACHED_ATTENTION(table);
}

}  // namespace hadal::cpu
