// Products of many rows: which kernel takes them, and that of cards without warpgroup_tiles.h, on
// the tensor cores with mma.sync: a block computes 128 rows by 256 or 128
// columns, 64 values of k at a time through a ring of shared memory that cp.async fills; a warp has
// 64 by 64 (or 32) of it. Both operands are bf16 and contiguous in k; the rows are either those of
// x in their order or, for experts, groups of rows that meet one matrix each (RowTiles). An
// element's sum runs along k in one chain, whatever the tile. Limit: what mma.sync gets of the
// card's bf16 rate; bench/gpu/NOTES.md has the arithmetic.
#include "kernels/cuda/swizzled_rows.h"
#include "kernels/cuda/tile_products.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = 128;
constexpr int kStep = 64;                      // values of k in a stage
constexpr int kRowBytes = kStep * 2;           // of a stage
constexpr int kChunks = kStep / 8;             // of 16 bytes, in a row of a stage
constexpr int kLoadRows = kThreads / kChunks;  // that the block loads at a time
constexpr int kWarpRows = 64;

constexpr int StageBytes(int columns) { return (kRows + columns) * kStep * 2; }
// As many as leave room for two blocks of a multiprocessor with 128 columns, for one with 256.
constexpr int StagesOf(int columns) { return columns == 256 ? 4 : 3; }

// Two columns of the output at a time, where all pairs of it are aligned.
struct OutputPairs {
  const Output& out;
  const int64_t n;
  const bool aligned;

  __device__ OutputPairs(const Output& to, int64_t columns)
      : out(to),
        n(columns),
        aligned(columns % 2 == 0 && to.ld % 2 == 0 &&
                reinterpret_cast<uintptr_t>(to.data) % sizeof(float2) == 0 &&
                reinterpret_cast<uintptr_t>(to.rounded) % sizeof(uint32_t) == 0) {}
  __device__ void Store(int64_t at, int64_t column, const float (&v)[2]) const {
    if (aligned) {
      if (column >= n) return;
      if (out.rounded != nullptr) {
        *reinterpret_cast<uint32_t*>(out.rounded + at) = PackBf16(v[0], v[1]);
      } else {
        *reinterpret_cast<float2*>(out.data + at) = {v[0], v[1]};
      }
      return;
    }
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      if (column + e >= n) return;
      if (out.rounded != nullptr) {
        out.rounded[at + e] = FloatToBf16(v[e]);
      } else {
        out.data[at + e] = v[e];
      }
    }
  }
};

// A warp's part of a stage; every operand is loaded one turn before it is multiplied.
template <int kM, int kN>
__device__ void MultiplyStage(const LaneRows& xs, const LaneRows& ws, float (&sums)[kM][kN][4]) {
  constexpr int kPairs = kN / 2, kParts = kStep / 16, kTurns = kParts * kPairs;
  constexpr int kXEach = kM / kPairs;  // rows of x loaded in a turn
  uint32_t x[2][kM][4], b[2][4];
  const auto load_x = [&](int part, int first, int count) {
#pragma unroll
    for (int i = first; i < first + count; ++i) {
      LoadMatrix4(x[part % 2][i], xs.At(i * 16 * kRowBytes, part));
    }
  };
  LoadMatrix4(b[0], ws.At(0, 0));
  load_x(0, 0, kM);
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int part = turn / kPairs, j = turn % kPairs, next = turn + 1;
    if (next < kTurns) {
      LoadMatrix4(b[next % 2], ws.At(next % kPairs * 16 * kRowBytes, next / kPairs));
    }
    if (part + 1 < kParts) load_x(part + 1, j * kXEach, kXEach);
#pragma unroll
    for (int i = 0; i < kM; ++i) {
      MmaBf16(sums[i][j * 2], x[part % 2][i], {b[turn % 2][0], b[turn % 2][1]});
      MmaBf16(sums[i][j * 2 + 1], x[part % 2][i], {b[turn % 2][2], b[turn % 2][3]});
    }
  }
}

template <int kColumns>
__global__ void __launch_bounds__(kThreads, kColumns == 256 ? 1 : 2) TilesKernel(TilesArgs a) {
  LetNextBegin();
  WaitForInputs();
  constexpr int kStages = StagesOf(kColumns), kWarpColumns = kColumns / 4;
  constexpr int kM = kWarpRows / 16, kN = kWarpColumns / 8;
  constexpr int kXLoads = kRows / kLoadRows, kWLoads = kColumns / kLoadRows;
  const BlockRows block = RowsOfBlock(a);
  if (block.first >= block.end) return;
  char* memory = SharedMemory();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  // Where a block has at most 64 rows half of the warps rest, one of every scheduler's two.
  const int warp_row = warp / 4 * kWarpRows, warp_col = warp % 4 * kWarpColumns;
  const bool has_rows = block.first + warp_row < block.end;
  const int64_t col0 = int64_t{blockIdx.y} * kColumns, steps = CeilDiv<int64_t>(a.k, kStep);
  const auto stage_of = [&](int64_t step) {
    return memory + step % kStages * StageBytes(kColumns);
  };

  // What this thread loads: chunk `chunk` of rows load_row + i * kLoadRows.
  const int chunk = thread % kChunks, load_row = thread / kChunks;
  int x_rows[kXLoads];  // of x, or -1
#pragma unroll
  for (int i = 0; i < kXLoads; ++i) {
    const auto r = static_cast<int>(block.first) + load_row + i * kLoadRows;
    x_rows[i] = r < block.end ? static_cast<int>(RowOfX(a, r)) : -1;
  }
  const auto* w = reinterpret_cast<const uint16_t*>(a.w + block.matrix * a.stride);
  const uint16_t* w_row = w + (col0 + load_row) * a.k + chunk * 8;
  const auto load = [&](int64_t step) {
    if (step < steps) {
      char *xs = stage_of(step), *ws = xs + kRows * kStep * 2;
      const bool in_k = step * kStep + chunk * 8 < a.k;
#pragma unroll
      for (int i = 0; i < kXLoads; ++i) {
        const bool valid = in_k && x_rows[i] >= 0;
        CopyAsync16(ChunkAt(xs, kRowBytes, load_row + i * kLoadRows, chunk),
                    valid ? a.x + x_rows[i] * a.k + step * kStep + chunk * 8 : a.x, valid);
      }
#pragma unroll
      for (int i = 0; i < kWLoads; ++i) {
        const bool valid = in_k && col0 + load_row + i * kLoadRows < a.n;
        CopyAsync16(ChunkAt(ws, kRowBytes, load_row + i * kLoadRows, chunk),
                    valid ? w_row + i * kLoadRows * a.k + step * kStep : w, valid);
      }
    }
    CopyAsyncCommit();
  };

  float sums[kM][kN][4] = {};
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) load(i);
  for (int64_t step = 0; step < steps; ++step) {
    CopyAsyncWait<kStages - 2>();
    __syncthreads();
    load(step + kStages - 1);
    char *xs = stage_of(step), *ws = xs + kRows * kStep * 2;
    if (!has_rows) continue;
    MultiplyStage(LaneRows(xs, kRowBytes, warp_row + lane % 16, lane / 16),
                  LaneRows(ws, kRowBytes, warp_col + lane / 16 * 8 + lane % 8, lane / 8 % 2), sums);
  }

  const OutputPairs out(a.out, a.n);
#pragma unroll
  for (int i = 0; i < kM; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t r = block.first + warp_row + i * 16 + lane / 4 + half * 8;
      if (r >= block.end) continue;
      const int64_t row = RowOfOutput(a, r);
#pragma unroll
      for (int j = 0; j < kN; ++j) {
        const int64_t col = col0 + warp_col + j * 8 + lane % 4 * 2;
        float v[2] = {sums[i][j][half * 2], sums[i][j][half * 2 + 1]};
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          if (a.out.bias != nullptr && col + e < a.n) v[e] += a.out.bias[col + e];
        }
        out.Store(row * a.out.ld + col, col, v);
      }
    }
  }
}

// Fewer blocks than this leave multiprocessors idle; smaller ones fill them better.
constexpr int64_t kEnoughBlocks = 132;

void Multiply(Stream& s, const TilesArgs& a, int64_t row_tiles) {
  const auto grid = [&](int64_t columns) {
    return dim3(static_cast<unsigned>(row_tiles), static_cast<unsigned>(CeilDiv(a.n, columns)));
  };
  constexpr size_t kWide = size_t{StagesOf(256)} * StageBytes(256);  // some cards have less
  if (row_tiles * CeilDiv<int64_t>(a.n, 256) >= kEnoughBlocks && kWide <= s.most_shared) {
    Launch(s, grid(256), kThreads, kWide, TilesKernel<256>, a);
  } else {
    Launch(s, grid(128), kThreads, size_t{StagesOf(128)} * StageBytes(128), TilesKernel<128>, a);
  }
}

}  // namespace

int64_t RowsOfTiles(Stream& s) { return HasWarpgroups(s) ? kWarpgroupRows : kRows; }

void MultiplyTiles(Stream& s, const Matrix& w, const uint16_t* x, int64_t rows, const Output& out) {
  if (MultiplyByLibrary(s, w, x, rows, out)) return;
  TilesArgs a = {.w = w.data, .x = x, .n = w.rows, .k = w.cols, .rows = rows, .out = out};
  if (HasWarpgroups(s)) return MultiplyWarpgroups(s, a);
  a.tile_rows = kRows;
  Multiply(s, a, CeilDiv<int64_t>(rows, kRows));
}

void MultiplyRowTiles(Stream& s, const Matrix& w, const uint16_t* x, const RowTiles& tiles,
                      const Output& out) {
  const TilesArgs a = {.w = w.data,
                       .stride = w.stride,
                       .x = x,
                       .n = w.rows,
                       .k = w.cols,
                       .tiles = tiles,
                       .out = out,
                       .gated = out.gated};
  if (IsBlocks(w.form)) {
    MultiplyWarpgroupBlocks(s, w.form, a);
  } else if (HasWarpgroups(s)) {
    MultiplyWarpgroups(s, a);
  } else {
    Multiply(s, a, tiles.count);
  }
}

}  // namespace hadal::CUDA_NAMESPACE
