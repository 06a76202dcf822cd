// Products of few rows with weights that are not in blocks.
//
// 16-bit weights meet x on the bf16 matrix unit, one row or sixteen: 16 rows of weights are the
// instruction's tall operand and up to 16 rows of x its columns, each value of x in two bf16 parts
// (off by at most 2^-17 of it). F16 weights are two such parts, exactly, and x three. One row
// wastes seven columns of eight, which costs nothing while memory is the limit, and has for that
// the same bits in every batch: a column of the instruction depends on no other. FMAs for one row
// and the unit for more would not agree; FMAs for sixteen rows would take longer than the weights
// take to come. k may be taken in any order as long as both operands agree, so a lane reads 16
// bytes of a row, which are its operands of two instructions; they wait in its ring of shared
// memory.
//
// float32 weights, and those whose rows are no whole number of 16 bytes, go to multiply_fma.cu.
//
// Limit: weight bytes over memory bandwidth; bench/gpu/NOTES.md counts the instructions.
#include "kernels/cuda/row_products.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

// ---- 16-bit weights on the matrix unit

constexpr int kStepK = 64, kHalfStep = 32;  // values of k of a warp's turn
constexpr int kStepBytes = kProductRows * kStepK * 2;
constexpr int kStages = StagesFor(kStepBytes);

// A lane's 16 bytes of a step are its own: of rows lane / 4 and lane / 4 + 8 the values
// 8 (lane % 4) .. of both halves. [half of the step][row][lane]
__device__ uint4* PlaceOf(char* step, int half, int row) {
  return reinterpret_cast<uint4*>(step) + (half * 2 + row) * kWarp + threadIdx.x % kWarp;
}

// Two floats as the sum of pairs of bf16. What is left of an infinity would be NaN.
template <int kParts>
__device__ void Split(float a, float b, uint32_t (&parts)[kParts]) {
  constexpr float kLeast = -0x1p120f;
  for (int i = 0; i < kParts; ++i) {
    parts[i] = PackBf16(a, b);
    a = fmaxf(a - Bf16Low(parts[i]), kLeast);
    b = fmaxf(b - Bf16High(parts[i]), kLeast);
  }
}

template <Form kForm>
constexpr int kXParts = kForm == Form::kF16 ? 3 : 2;

// Eight values of x of row lane / 4, as the instruction takes them.
template <int kParts>
struct XHalfStep {
  uint32_t pairs[4][kParts];

  __device__ void Load(const float* row, int k, int cols) {
    for (int i = 0; i < 4; ++i) {
      for (int part = 0; part < kParts; ++part) pairs[i][part] = 0;
    }
    if (k >= cols) return;
    for (int i = 0; i < 2; ++i) {
      const float4 v = *reinterpret_cast<const float4*>(row + k + 4 * i);
      Split(v.x, v.y, pairs[2 * i]);
      Split(v.z, v.w, pairs[2 * i + 1]);
    }
  }
};

// Of the products of parts: first by first in one chain, all others in the other.
struct Sums {
  float high[4] = {}, low[4] = {};
};

template <Form kForm>
__device__ void MultiplyHalfStep(const uint4 (&rows)[2], const XHalfStep<kXParts<kForm>>& x,
                                 Sums& sums) {
  const uint32_t words[2][4] = {{rows[0].x, rows[0].y, rows[0].z, rows[0].w},
                                {rows[1].x, rows[1].y, rows[1].z, rows[1].w}};
  for (int i = 0; i < 4; i += 2) {
    uint32_t a[4] = {words[0][i], words[1][i], words[0][i + 1], words[1][i + 1]};
    if constexpr (kForm == Form::kF16) {
      uint32_t rest[4];
      for (int j = 0; j < 4; ++j) {
        uint32_t parts[2];
        Split(HalfToFloat(static_cast<uint16_t>(a[j] & 0xffff)),
              HalfToFloat(static_cast<uint16_t>(a[j] >> 16)), parts);
        a[j] = parts[0];
        rest[j] = parts[1];
      }
      for (int part = 0; part < 2; ++part) {
        MmaBf16(sums.low, rest, {x.pairs[i][part], x.pairs[i + 1][part]});
      }
    }
    for (int part = 1; part < kXParts<kForm>; ++part) {
      MmaBf16(sums.low, a, {x.pairs[i][part], x.pairs[i + 1][part]});
    }
    MmaBf16(sums.high, a, {x.pairs[i][0], x.pairs[i + 1][0]});
  }
}

template <Form kForm, int kColumns>
__global__ void __launch_bounds__(kMostWarps* kWarp, BlocksFor(kColumns, 1))
    HalvesKernel(RowProducts products, Activations x, int64_t rows, RowMap map) {
  constexpr int kN = TilesOfColumns(kColumns);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const bool sorted = map.matrix != nullptr;  // what is sorted is an input
  if (sorted) WaitForInputs();
  const RowSet set = RowsOf(map, static_cast<int>(rows), kColumns, static_cast<int>(blockIdx.x));
  if (set.count <= 0) return;
  const ProductTile at = ProductOf(products, static_cast<int>(blockIdx.y));
  const Matrix& w = products.of[at.product].w;
  const int column0 = at.tile * kProductRows;
  const int cols = static_cast<int>(w.cols), stride = warps * kStepK;
  const auto* matrix = reinterpret_cast<const uint16_t*>(w.data + set.matrix * w.stride);
  const uint16_t* w_row = matrix + (column0 + lane / 4) * w.cols;
  const bool there[2] = {column0 + lane / 4 < w.rows, column0 + lane / 4 + 8 < w.rows};
  char* ring = RingOfWarp<kColumns, kStages, kStepBytes>();
  const auto copy = [&](int k, int stage) {
    if (k < cols) {
      for (int half = 0; half < 2; ++half) {
        const int from = k + half * kHalfStep + lane % 4 * 8;
        for (int i = 0; i < 2; ++i) {
          const bool valid = there[i] && from < cols;
          CopyAsync16(PlaceOf(ring + stage * kStepBytes, half, i),
                      valid ? w_row + i * 8 * w.cols + from : matrix, valid);
        }
      }
    }
    CopyAsyncCommit();
  };
  for (int first = 0; first < set.count; first += kColumns) {
    for (int i = 0; i < kStages - 1; ++i) copy(warp * kStepK + i * stride, i);
    if (first == 0) LetNextBegin();
    if (first == 0 && !sorted) WaitForInputs();
    const float* x_rows[kN];  // the first one where there is none; its sums are not stored
    for (int n = 0; n < kN; ++n) {
      const int column = n * 8 + lane / 4;
      const bool is_row = first + column < set.count && column < kColumns;
      x_rows[n] = x.x + set[is_row ? first + column : first] / static_cast<int>(map.share) * x.ld;
    }
    Sums sums[kN];
    int stage = 0;
#pragma unroll 1
    for (int k = warp * kStepK; k < cols; k += stride) {
      CopyAsyncWait<kStages - 2>();
      copy(k + (kStages - 1) * stride, stage == 0 ? kStages - 1 : stage - 1);
      char* step = ring + stage * kStepBytes;
      stage = stage + 1 == kStages ? 0 : stage + 1;
      for (int half = 0; half < 2; ++half) {
        const uint4 words[2] = {*PlaceOf(step, half, 0), *PlaceOf(step, half, 1)};
        for (int n = 0; n < kN; ++n) {
          XHalfStep<kXParts<kForm>> of_x;
          of_x.Load(x_rows[n], k + half * kHalfStep + lane % 4 * 8, cols);
          MultiplyHalfStep<kForm>(words, of_x, sums[n]);
        }
      }
    }
    float total[kN][4];
    for (int n = 0; n < kN; ++n) {
      for (int i = 0; i < 4; ++i) total[n][i] = sums[n].high[i] + sums[n].low[i];
    }
    if (first > 0) __syncthreads();
    StoreSums<kColumns>(total, products.of[at.product].out, set, first, column0,
                        static_cast<int>(w.rows));
  }
}

}  // namespace

void MultiplyRows(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                  const RowMap& map) {
  const Matrix& w = products.of[0].w;
  if (w.form == Form::kF32 || w.cols % 8 != 0 || x.ld % 4 != 0) {
    for (int i = 0; i < products.count; ++i) MultiplyFma(s, products.of[i], x, rows, map);
    return;
  }
  const int columns = ColumnsFor(map, rows), warps = WarpsOf(CeilDiv<int64_t>(w.cols, kStepK));
  const dim3 grid = ProductGrid(products, map, rows, columns);
  ForColumns(columns, [&]<int kColumns>() {
    const auto kernel = w.form == Form::kBf16 ? HalvesKernel<Form::kBf16, kColumns>
                                              : HalvesKernel<Form::kF16, kColumns>;
    Launch(s, grid, warps * kWarp, ProductBytes(kColumns, warps, kStages, kStepBytes), kernel,
           products, x, rows, map);
  });
}

}  // namespace hadal::CUDA_NAMESPACE
