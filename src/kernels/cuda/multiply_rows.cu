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
// float32 weights, and those whose rows are no whole number of 16 bytes, take float32 FMAs: a warp
// computes one column of the output for up to four rows.
//
// Limit: weight bytes over memory bandwidth; bench/gpu/NOTES.md counts the instructions.
#include "kernels/cuda/plain_values.h"
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

// ---- FMAs

constexpr int kWarps = 8;
constexpr int kMostRows = 4;

template <Form kForm>
__device__ void LoadEight(const uint8_t* row, int64_t i, float (&w)[8]) {
  if constexpr (kForm == Form::kF32) {
    const auto* from = reinterpret_cast<const float*>(row) + i;
    for (int j = 0; j < 8; ++j) w[j] = from[j];
  } else {
    const uint4 v = LoadOnce16(row + 2 * i);
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
    for (int j = 0; j < 4; ++j) {
      if constexpr (kForm == Form::kBf16) {
        w[2 * j] = Bf16Low(words[j]);
        w[2 * j + 1] = Bf16High(words[j]);
      } else {
        w[2 * j] = HalfToFloat(static_cast<uint16_t>(words[j] & 0xffff));
        w[2 * j + 1] = HalfToFloat(static_cast<uint16_t>(words[j] >> 16));
      }
    }
  }
}
// Rows row0 .. row0 + kRows - 1 of the product, all of one matrix.
template <Form kForm, int kRows>
__device__ void PlainColumn(const Matrix& w, int64_t matrix, const Activations& x, int64_t share,
                            int64_t row0, int64_t n, const Output& out) {
  constexpr int kSize = kForm == Form::kF32 ? 4 : 2;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const uint8_t* row = w.data + matrix * w.stride + n * w.cols * kSize;
  const float* from[kRows];
  for (int r = 0; r < kRows; ++r) from[r] = x.x + (row0 + r) / share * x.ld;
  float sums[kRows] = {};
  const int64_t eights = kForm == Form::kF32 || w.cols % 8 == 0 ? w.cols / 8 * 8 : 0;
  for (int64_t i = lane * 8; i < eights; i += kWarp * 8) {
    float v[8];
    LoadEight<kForm>(row, i, v);
    for (int r = 0; r < kRows; ++r) {
      for (int j = 0; j < 8; ++j) sums[r] = fmaf(v[j], from[r][i + j], sums[r]);
    }
  }
  for (int64_t i = eights + lane; i < w.cols; i += kWarp) {
    const float v = LoadOne<kForm>(row, i);
    for (int r = 0; r < kRows; ++r) sums[r] = fmaf(v, from[r][i], sums[r]);
  }
  for (int r = 0; r < kRows; ++r) {
    const float sum = WarpSum(sums[r]);
    if (lane != 0) continue;
    out.data[(row0 + r) * out.ld + n] = out.bias == nullptr ? sum : sum + out.bias[n];
  }
}

template <Form kForm>
__global__ void FmaKernel(Matrix w, Activations x, int64_t rows, int per_block, RowMap map,
                          Output out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t n = int64_t{blockIdx.y} * kWarps + threadIdx.x / kWarp;
  const int64_t row0 = int64_t{blockIdx.x} * per_block;
  if (n >= w.rows) return;
  const int64_t matrix = map.matrix != nullptr ? map.matrix[row0]
                         : map.modulo > 0      ? row0 % map.modulo
                                               : 0;
  const int64_t left = rows - row0;
  if (per_block == 1 || left == 1) {
    PlainColumn<kForm, 1>(w, matrix, x, map.share, row0, n, out);
  } else if (left == 2) {
    PlainColumn<kForm, 2>(w, matrix, x, map.share, row0, n, out);
  } else if (left == 3) {
    PlainColumn<kForm, 3>(w, matrix, x, map.share, row0, n, out);
  } else {
    PlainColumn<kForm, kMostRows>(w, matrix, x, map.share, row0, n, out);
  }
}

void MultiplyFma(Stream& s, const RowProduct& product, const Activations& x, int64_t rows,
                 const RowMap& map) {
  const bool mapped = map.matrix != nullptr || map.modulo > 0;
  const int per_block = mapped ? 1 : kMostRows;
  const dim3 grid(static_cast<unsigned>(CeilDiv<int64_t>(rows, per_block)),
                  static_cast<unsigned>(CeilDiv<int64_t>(product.w.rows, kWarps)));
  ForPlainForm(product.w.form, [&]<Form kForm>() {
    Launch(s, grid, kWarps * kWarp, 0, FmaKernel<kForm>, product.w, x, rows, per_block, map,
           product.out);
  });
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
