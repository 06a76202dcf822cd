// Products of prompt rows with AVX512_BF16, whose dot products of pairs do twice as much as float
// multiply-adds, and as much as products of a byte by two bytes without the work on scales that
// these take. A stretch of k of some panels, which weights of other kinds become bf16 for, stays in
// the L1 cache while all the rows pass over it; the sums of 512 rows are kept in between, so an
// element's chain is in the order of k whatever the blocking. Thread rule: pure functions.
#include "kernels/cpu/avx512/avx512_kernels.h"
#include "kernels/cpu/avx512/prompt_weights.h"
#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

constexpr int kRows = 4, kPanels = 4;  // multiplied together: their sums are in registers
constexpr int kGroups = kPromptPanels / kPanels;
constexpr int64_t kStretch = 128 / kBf16KStep;
static_assert(kPromptPanels * (kPromptKeep * kPanel * 4 + kStretch * kOperand * 2) <= kPromptSpace);

// P panels, one after another or, gated, gate and up alternating.
template <int P>
struct Group {
  const char* w[P];
  int64_t first;  // panel of out
};

HADAL_AVX512_INLINE __m512bh Pair(const uint16_t* x) {
  float both;
  __builtin_memcpy(&both, x, sizeof both);
  return reinterpret_cast<__m512bh>(_mm512_set1_ps(both));
}

// kRows rows by P panels, `steps` operands.
template <int P>
HADAL_AVX512_INLINE void AddProducts(const uint16_t* x, const uint16_t* const (&operands)[P],
                                     int64_t steps, bool first, float* sums) {
  __m512 sum[kRows][P];
  HADAL_UNROLL
  for (int r = 0; r < kRows; ++r) {
    HADAL_UNROLL
    for (int p = 0; p < P; ++p) {
      sum[r][p] = first ? _mm512_setzero_ps() : _mm512_load_ps(sums + (r * P + p) * kPanel);
    }
  }
  for (int64_t at = 0; at < steps * kOperand; at += kOperand, x += 2 * kOperand) {
    HADAL_UNROLL
    for (int i = 0; i < kBf16KStep; i += 2) {
      __m512bh w[P];
      HADAL_UNROLL
      for (int p = 0; p < P; ++p) {
        w[p] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(operands[p] + at + i * kPanel));
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
                 (k / kBf16KStep * 2 + r / 16) * kOperand + r % 16 * kBf16KStep + k % kBf16KStep;
  const __m256bh product = _mm512_cvtneps_pbh(_mm512_mul_ps(silu, up));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(product));
}

// The operands of a group from step `from` on: where they lie, or in `space`. Asks for those that
// follow them.
template <class W, int P>
void Operands(const Group<P>& group, int64_t k, int64_t from, int64_t steps, uint16_t* space,
              const uint16_t* (&operands)[P]) {
  constexpr int kLine = 64, kToL2 = 2;
  for (int p = 0; p < P; ++p) {
    const char* panel = group.w[p];
    for (int64_t at = W::PanelBytes((from + steps) * kBf16KStep),
                 end = W::PanelBytes((from + 2 * steps) * kBf16KStep);
         at < end; at += kLine) {
      __builtin_prefetch(panel + at, 0, kToL2);
    }
    if constexpr (requires { W::Unpack(panel, k, from, steps, space); }) {
      operands[p] = space;
      W::Unpack(panel, k, from * kBf16KStep, steps, space);
      space += steps * kOperand;
    } else {
      operands[p] = reinterpret_cast<const uint16_t*>(panel) + from * kOperand;
    }
  }
}

// Rows [row0, row1), at most kPromptKeep; row0 begins a row block. A row block's stretch of
// activations stays in the L1 cache for all groups, those of all rows and the sums in L2.
template <class W, int P>
void Multiply(const PromptTile& t, const Group<P>* groups, int n_groups, int64_t row0,
              int64_t row1) {
  auto* all_sums = static_cast<float*>(t.space);
  auto* space = reinterpret_cast<uint16_t*>(all_sums + n_groups * kPromptKeep * P * kPanel);
  const auto sums = [&](int g, int64_t row) {
    return all_sums + (g * kPromptKeep + row - row0) * P * kPanel;
  };
  const int64_t all = RoundUp(t.k, kBf16KStep) / kBf16KStep;
  for (int64_t s = 0; s < all; s += kStretch) {
    const int64_t steps = all - s < kStretch ? all - s : kStretch;
    const uint16_t* operands[kGroups][P];
    for (int g = 0; g < n_groups; ++g) {
      Operands<W, P>(groups[g], t.k, s, steps, space + g * P * kStretch * kOperand, operands[g]);
    }
    for (int64_t block = row0; block < row1; block += kPromptRows) {
      const uint16_t* x = t.x + block / kPromptRows * PromptBlockElements(t.k) + 2 * s * kOperand;
      const int64_t rows = row1 - block < kPromptRows ? row1 - block : kPromptRows;
      for (int g = 0; g < n_groups; ++g) {
        for (int64_t r = 0; r < rows; r += kRows) {
          AddProducts<P>(x + r / 16 * kOperand + r % 16 * kBf16KStep, operands[g], steps, s == 0,
                         sums(g, block + r));
        }
      }
    }
  }
  for (int g = 0; g < n_groups; ++g) {
    for (int64_t row = row0; row < row1; ++row) {
      for (int p = 0; p < P; p += t.gated ? 2 : 1) {
        if (t.gated) {
          WriteGated(t, sums(g, row) + p * kPanel, row, groups[g].first + p / 2);
        } else {
          WriteRow(t, sums(g, row) + p * kPanel, row, groups[g].first + p);
        }
      }
    }
  }
}

template <class W>
void MultiplyPrompt(const PromptTile& t) {
  const int64_t size = W::PanelBytes(t.k), up = t.n / 2 / kPanel;
  const auto at = [&](int64_t panel) { return static_cast<const char*>(t.w) + panel * size; };
  const int64_t step = t.gated ? kPanels / 2 : kPanels;
  for (int64_t row = 0; row < t.m; row += kPromptKeep) {
    const int64_t end = row + kPromptKeep < t.m ? row + kPromptKeep : t.m;
    int64_t p = t.panel0;
    while (p + step <= t.panel1) {
      Group<kPanels> groups[kGroups];
      int n = 0;
      for (; n < kGroups && p + step <= t.panel1; ++n, p += step) {
        groups[n] = t.gated ? Group<kPanels>{{at(p), at(p + up), at(p + 1), at(p + up + 1)}, p}
                            : Group<kPanels>{{at(p), at(p + 1), at(p + 2), at(p + 3)}, p};
      }
      Multiply<W, kPanels>(t, groups, n, row, end);
    }
    for (; p < t.panel1; ++p) {
      const Group<1> group = {{at(p)}, p};
      Multiply<W, 1>(t, &group, 1, row, end);
    }
  }
}

// Formats that activations of one byte are enough for are faster in integers.
template <int kFormat>
void FillFrom(KernelTable* table) {
  if constexpr (kFormat < kBlockFormatCount) {
    if constexpr (kBlockFormats[kFormat].x_parts == 2) {
      table->prompt_blocks[kFormat] = MultiplyPrompt<PromptBlocks<kFormat>>;
    }
    FillFrom<kFormat + 1>(table);
  }
}

}  // namespace

void FillAvx512Bf16(KernelTable* table) {
  table->prompt_bf16 = MultiplyPrompt<PromptBf16>;
  table->prompt_f16 = MultiplyPrompt<PromptF16>;
  table->to_prompt_rows = ToPromptRows;
  FillFrom<0>(table);
  avx512::FillCachedAttention(table);
}

}  // namespace hadal::cpu
