// Products of prompt rows by bf16 panels with AVX512_BF16, whose dot products of pairs do twice as
// much as float multiply-adds. A stretch of k of some panels stays in the L1 cache while all the
// rows pass over it; the sums of 512 rows are kept in between, so an element's chain is in the
// order of k whatever the blocking. Thread rule: pure functions.
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

constexpr int kRows = 4, kPanels = 4;       // multiplied together: their sums are in registers
constexpr int64_t kTile = 16 * kBf16KStep;  // elements of 16 rows of activations, 32 values of k
constexpr int64_t kStretch = 128 / kBf16KStep;

// P panels of a group, one after another or, gated, gate and up alternating.
template <int P>
struct Group {
  const uint16_t* w[P];
  int64_t first;  // panel of out
};

HADAL_AVX512_INLINE __m512bh Pair(const uint16_t* x) {
  float both;
  __builtin_memcpy(&both, x, sizeof both);
  return reinterpret_cast<__m512bh>(_mm512_set1_ps(both));
}

// kRows rows by P panels, `steps` times 32 values of k.
template <int P>
HADAL_AVX512_INLINE void AddProducts(const uint16_t* x, const Group<P>& group, int64_t s0,
                                     int64_t steps, float* sums) {
  __m512 sum[kRows][P];
  HADAL_UNROLL
  for (int r = 0; r < kRows; ++r) {
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) {
      sum[r][p] = s0 == 0 ? _mm512_setzero_ps() : _mm512_load_ps(sums + (r * P + p) * kPanel);
    }
  }
  x += s0 * 2 * kTile;
  for (int64_t at = s0 * kTile; at < (s0 + steps) * kTile; at += kTile, x += 2 * kTile) {
    HADAL_UNROLL
    for (int i = 0; i < kBf16KStep; i += 2) {
      __m512bh w[P];
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) {
        w[p] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(group.w[p] + at + i * kPanel));
      }
      HADAL_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const __m512bh pair = Pair(x + r * kBf16KStep + i);
        HADAL_UNROLL
        for (int p = 0; p < P; ++p) sum[r][p] = _mm512_dpbf16_ps(sum[r][p], w[p], pair);
      }
    }
  }
  HADAL_UNROLL
  for (int r = 0; r < kRows; ++r) {
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) _mm512_store_ps(sums + (r * P + p) * kPanel, sum[r][p]);
  }
}

void WriteRow(const PromptTile& t, const float* sums, int64_t row, int64_t panel) {
  const int64_t column = panel * kPanel, left = t.n - column;
  const __m512 bias = t.bias ? Load(t.bias + column, left) : _mm512_setzero_ps();
  Store(t.out + row * t.ldo + column, left, _mm512_add_ps(_mm512_load_ps(sums), bias));
}

// silu(gate) * up of a row and panel, into the row blocks of the next product.
void WriteGated(const PromptTile& t, const float* sums, int64_t row, int64_t panel) {
  const __m512 gate = _mm512_load_ps(sums), up = _mm512_load_ps(sums + kPanel);
  const __m512 e = Exp(_mm512_sub_ps(_mm512_setzero_ps(), gate));
  const __m512 silu = _mm512_div_ps(gate, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
  const int64_t k = panel * kPanel, r = row % kPromptRows;
  uint16_t* to = t.gated + row / kPromptRows * PromptBlockElements(t.n / 2) +
                 (k / kBf16KStep * 2 + r / 16) * kTile + r % 16 * kBf16KStep + k % kBf16KStep;
  const __m256bh product = _mm512_cvtneps_pbh(_mm512_mul_ps(silu, up));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(product));
}

// Rows [row0, row1), at most kPromptKeep; row0 begins a row block.
template <int P>
void Multiply(const PromptTile& t, const Group<P>& group, int64_t row0, int64_t row1) {
  auto* sums = static_cast<float*>(t.space);
  const int64_t all = RoundUp(t.k, kBf16KStep) / kBf16KStep;
  for (int64_t s = 0; s < all; s += kStretch) {
    const int64_t steps = all - s < kStretch ? all - s : kStretch;
    for (int64_t row = row0; row < row1; row += kRows) {
      const int64_t r = row % kPromptRows;
      const uint16_t* x =
          t.x + row / kPromptRows * PromptBlockElements(t.k) + r / 16 * kTile + r % 16 * kBf16KStep;
      AddProducts<P>(x, group, s, steps, sums + (row - row0) * P * kPanel);
    }
  }
  for (int64_t row = row0; row < row1; ++row, sums += P * kPanel) {
    for (int p = 0; p < P; p += t.gated ? 2 : 1) {
      if (t.gated) {
        WriteGated(t, sums + p * kPanel, row, group.first + p / 2);
      } else {
        WriteRow(t, sums + p * kPanel, row, group.first + p);
      }
    }
  }
}

void MultiplyBf16(const PromptTile& t) {
  const int64_t size = PanelBytesBf16(t.k) / 2, up = t.n / 2 / kPanel;
  const auto at = [&](int64_t panel) { return static_cast<const uint16_t*>(t.w) + panel * size; };
  for (int64_t row = 0; row < t.m; row += kPromptKeep) {
    const int64_t end = row + kPromptKeep < t.m ? row + kPromptKeep : t.m;
    int64_t p = t.panel0;
    for (; t.gated && p < t.panel1; p += 2) {
      Multiply<4>(t, {{at(p), at(p + up), at(p + 1), at(p + up + 1)}, p}, row, end);
    }
    for (; p + kPanels <= t.panel1; p += kPanels) {
      Multiply<kPanels>(t, {{at(p), at(p + 1), at(p + 2), at(p + 3)}, p}, row, end);
    }
    for (; p < t.panel1; ++p) Multiply<1>(t, {{at(p)}, p}, row, end);
  }
}

void ToPromptRows(const float* const* x, int64_t rows, int64_t k, uint16_t* out) {
  for (int64_t r = 0; r < kPromptRows; ++r) {
    uint16_t* to = out + r / 16 * kTile + r % 16 * kBf16KStep;
    for (int64_t i = 0; i < RoundUp(k, kBf16KStep); i += 16) {
      const __m512 v = r < rows ? Load(x[r] + i, k - i) : _mm512_setzero_ps();
      const auto rounded = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i % kBf16KStep), rounded);
      if (i % kBf16KStep != 0) to += 2 * kTile;
    }
  }
}

}  // namespace

void FillAvx512Bf16(KernelTable* table) {
  table->prompt_bf16 = MultiplyBf16;
  table->to_prompt_rows = ToPromptRows;
}

}  // namespace hadal::cpu
