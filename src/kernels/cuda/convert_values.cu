// Values in another form: activations as integers for the products with block weights, matrices
// rounded to bf16 and gated products for prompts, looked-up rows.
#include "kernels/cuda/activation_groups.h"
#include "kernels/cuda/block_values.h"
#include "kernels/cuda/fp8_codes.h"
#include "kernels/cuda/fp8_tiles.h"
#include "kernels/cuda/plain_values.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * kWarp;

// A warp per tile of 128 values.
__global__ void QuantiseKernel(ActivationSource from, int64_t cols, Activations one,
                               Activations two) {
  LetNextBegin();
  WaitForInputs();
  const int in_row = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  const int64_t row = blockIdx.x, tiles = ActivationTiles(cols);
  if (in_row >= tiles) return;
  const float* x = from.x + row * from.ld;
  const bool aligned = IsAligned(from.x, from.ld);
  float4 v = LoadTile(x, aligned, static_cast<int>(cols), in_row);
  if (from.gated) {
    const float4 up = LoadTile(x + cols, aligned, static_cast<int>(cols), in_row);
    v = {Gate(v.x, up.x), Gate(v.y, up.y), Gate(v.z, up.z), Gate(v.w, up.w)};
  }
  const auto write = [&]<int kParts>(const Activations& a) {
    if (a.high == nullptr) return;
    const int64_t tile = row * tiles + in_row, at = tile * planes::kTileK;
    WriteTile<kParts, GroupSums::kHalves>(
        v, {a.high + at, kParts == 1 ? nullptr : a.low + at, a.groups + tile * 16});
  };
  write.template operator()<1>(one);
  write.template operator()<2>(two);
}

// The values of a unit: fn(row, k, four values), for those that are in the matrix.
template <int kType, class F>
__device__ void ForUnit(const Matrix& w, int64_t matrix, int64_t tile, int unit, const F& fn) {
  using Reader = BlockReader<kType>;
  const Reader reader(w.data + matrix * w.stride, tile);
  const int64_t tiles = planes::ColumnTiles(w.cols);
  const int in_tile = unit / kWarp * planes::kHalfRows + unit % kWarp / 4;
  const int64_t row = tile / tiles * planes::kTileRows + in_tile;
  if (row >= w.rows) return;
  const typename Reader::Codes codes = reader.Load(unit);
  const typename Reader::RowScales scales = reader.LoadScales(in_tile);
  for (int g = 0; g < planes::kTileGroups; ++g) {
    const int64_t k = tile % tiles * planes::kTileK + g * planes::kGroup;
    if (k >= w.cols) return;
    for (int half = 0; half < 2; ++half) {
      float v[4];
      Reader::Values(codes, scales, g, half, v);
      fn(row, k + half * 16 + unit % 4 * 4, v);
    }
  }
}

// Block y is matrix first + y of the stack.
template <int kType>
__global__ void RoundBlocksKernel(Matrix w, int64_t first, uint16_t* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= planes::RowTiles(w.rows) * planes::ColumnTiles(w.cols) * planes::kUnits) return;
  out += blockIdx.y * w.rows * w.cols;
  ForUnit<kType>(w, first + blockIdx.y, i / planes::kUnits, static_cast<int>(i % planes::kUnits),
                 [&](int64_t row, int64_t k, const float(&v)[4]) {
                   *reinterpret_cast<uint2*>(out + row * w.cols + k) = {PackBf16(v[0], v[1]),
                                                                        PackBf16(v[2], v[3])};
                 });
}
template <Form kForm>
__global__ void RoundPlainKernel(Matrix w, int64_t first, uint16_t* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x, size = w.rows * w.cols;
  if (i >= size) return;
  out[blockIdx.y * size + i] =
      FloatToBf16(LoadOne<kForm>(w.data + (first + blockIdx.y) * w.stride, i));
}

// A thread for eight columns of a row.
__global__ void RoundFp8Kernel(Matrix w, int64_t first, uint16_t* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x, eights = w.cols / 8;
  if (i >= w.rows * eights) return;
  const int64_t row = i / eights, k = i % eights * 8;
  const uint8_t* tile = w.data + (first + blockIdx.y) * w.stride +
                        row / fp8_tiles::kRows * fp8_tiles::TileBytes(w.cols);
  const auto codes = *reinterpret_cast<const uint2*>(tile + row % fp8_tiles::kRows * w.cols + k);
  const float scale =
      reinterpret_cast<const float*>(tile + fp8_tiles::ScalesAt(w.cols))[k / fp8_tiles::kColumns];
  const uint4 values = CodesToBf16(codes, kNoScale);
  const auto scaled = [&](uint32_t two) {
    return PackBf16(Bf16Low(two) * scale, Bf16High(two) * scale);
  };
  *reinterpret_cast<uint4*>(out + (blockIdx.y * w.rows + row) * w.cols + k) = {
      scaled(values.x), scaled(values.y), scaled(values.z), scaled(values.w)};
}

template <Form kForm>
__global__ void EmbedPlainKernel(Matrix table, const int32_t* ids, float* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x, row = blockIdx.x;
  if (i >= table.cols) return;
  out[row * table.cols + i] = LoadOne<kForm>(table.data, ids[row] * table.cols + i);
}
// A thread per unit of the row.
template <int kType>
__global__ void EmbedBlocksKernel(Matrix table, const int32_t* ids, float* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x, row = blockIdx.x;
  const int64_t tiles = planes::ColumnTiles(table.cols), id = ids[row];
  if (i >= tiles * 4) return;
  const int unit =
      planes::UnitOf(static_cast<int>(id % planes::kTileRows), static_cast<int>(i % 4));
  ForUnit<kType>(table, 0, id / planes::kTileRows * tiles + i / 4, unit,
                 [&](int64_t, int64_t k, const float(&v)[4]) {
                   float* to = out + row * table.cols + k;
                   for (int j = 0; j < 4; ++j) to[j] = v[j];
                 });
}

// Eight values a thread.
__global__ void RoundValuesKernel(const float4* x, int64_t eights, uint4* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= eights) return;
  const float4 a = x[2 * i], b = x[2 * i + 1];
  out[i] = {PackBf16(a.x, a.y), PackBf16(a.z, a.w), PackBf16(b.x, b.y), PackBf16(b.z, b.w)};
}

__device__ uint32_t GatedPair(uint32_t gate, uint32_t up) {
  return PackBf16(GateFast(Bf16Low(gate), Bf16Low(up)), GateFast(Bf16High(gate), Bf16High(up)));
}
// The same of rows of `eights` times eight values.
__global__ void SwiGluRoundedKernel(const uint4* both, uint32_t eights, uint32_t all, uint4* out) {
  LetNextBegin();
  WaitForInputs();
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= all) return;
  const uint4* gates = both + i + i / eights * eights;
  const uint4 gate = gates[0], up = gates[eights];
  out[i] = {GatedPair(gate.x, up.x), GatedPair(gate.y, up.y), GatedPair(gate.z, up.z),
            GatedPair(gate.w, up.w)};
}

// Rows in x, which may be many; blocks over n in y, of which there are at most 65,535.
dim3 Grid(int64_t n, int64_t per_block, int64_t rows) {
  return dim3(static_cast<unsigned>(rows), static_cast<unsigned>(CeilDiv(n, per_block)));
}
dim3 MatrixGrid(int64_t n, int64_t matrices) {
  return dim3(static_cast<unsigned>(CeilDiv<int64_t>(n, kThreads)),
              static_cast<unsigned>(matrices));
}

}  // namespace

void QuantiseActivations(Stream& s, const ActivationSource& from, int64_t rows, int64_t cols,
                         const Activations& one, const Activations& two) {
  Launch(s, Grid(ActivationTiles(cols), kWarps, rows), kThreads, 0, QuantiseKernel, from, cols, one,
         two);
}

void RoundMatrices(Stream& s, const Matrix& w, int64_t first, int64_t count, uint16_t* out) {
  if (IsBlocks(w.form)) {
    const int64_t units = planes::RowTiles(w.rows) * planes::ColumnTiles(w.cols) * planes::kUnits;
    ForBlockType(w.form, [&]<int kType>() {
      Launch(s, MatrixGrid(units, count), kThreads, 0, RoundBlocksKernel<kType>, w, first, out);
    });
  } else if (w.form == Form::kFp8) {
    Launch(s, MatrixGrid(w.rows * w.cols / 8, count), kThreads, 0, RoundFp8Kernel, w, first, out);
  } else {
    ForPlainForm(w.form, [&]<Form kForm>() {
      Launch(s, MatrixGrid(w.rows * w.cols, count), kThreads, 0, RoundPlainKernel<kForm>, w, first,
             out);
    });
  }
}

void RoundValues(Stream& s, const float* x, int64_t n, uint16_t* out) {
  const int64_t eights = n / 8;
  Launch(s, Grid(1, 1, CeilDiv<int64_t>(eights, kThreads)), kThreads, 0, RoundValuesKernel,
         reinterpret_cast<const float4*>(x), eights, reinterpret_cast<uint4*>(out));
}

void SwiGluRounded(Stream& s, const uint16_t* both, int64_t rows, int64_t n, uint16_t* out) {
  const auto eights = static_cast<uint32_t>(n / 8), all = static_cast<uint32_t>(rows) * eights;
  Launch(s, Grid(1, 1, CeilDiv<int64_t>(all, kThreads)), kThreads, 0, SwiGluRoundedKernel,
         reinterpret_cast<const uint4*>(both), eights, all, reinterpret_cast<uint4*>(out));
}

void Embed(Stream& s, const Matrix& table, const int32_t* ids, int64_t rows, float* out) {
  if (IsBlocks(table.form)) {
    ForBlockType(table.form, [&]<int kType>() {
      Launch(s, Grid(planes::ColumnTiles(table.cols) * 4, kThreads, rows), kThreads, 0,
             EmbedBlocksKernel<kType>, table, ids, out);
    });
  } else {
    ForPlainForm(table.form, [&]<Form kForm>() {
      Launch(s, Grid(table.cols, kThreads, rows), kThreads, 0, EmbedPlainKernel<kForm>, table, ids,
             out);
    });
  }
}

}  // namespace hadal::CUDA_NAMESPACE
