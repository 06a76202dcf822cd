// Products of many rows on the tensor cores with mma.sync, for every card from sm_80 on: tiles of
// 128 rows by 128 columns, 32 values of k at a time through four stages of shared memory. Both
// operands are bf16 and contiguous in k. Limit: the card's bf16 rate.
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 128;          // rows, and columns
constexpr int kStep = 32;           // values of k in a stage
constexpr int kChunks = kStep / 8;  // of 16 bytes, in a row of a stage
constexpr int kStages = 4;
constexpr int kWarpRows = 64, kWarpCols = 32;
constexpr int kStageBytes = kTile * kStep * 2;  // of one operand

// Chunk c of row r in a stage: rows two apart take other banks.
__device__ char* ChunkAt(char* stage, int r, int c) {
  return stage + r * kStep * 2 + (c ^ (r / 2 % kChunks)) * 16;
}

// Rows first .. first + kTile - 1 of a matrix [rows][cols], values k .. k + kStep - 1.
__device__ void LoadStage(const uint16_t* from, int64_t rows, int64_t cols, int64_t first,
                          int64_t k, char* stage) {
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kChunks; i += kThreads) {
    const int r = i / kChunks, c = i % kChunks;
    const bool valid = first + r < rows && k + c * 8 < cols;
    CopyAsync16(ChunkAt(stage, r, c), from + (valid ? (first + r) * cols + k + c * 8 : 0), valid);
  }
}

__global__ void __launch_bounds__(kThreads)
    TilesKernel(const uint16_t* w, const uint16_t* x, int64_t n, int64_t k, int64_t rows,
                Output out) {
  char* memory = SharedMemory();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warp_row = warp % 2 * kWarpRows, warp_col = warp / 2 * kWarpCols;
  const int64_t row0 = int64_t{blockIdx.x} * kTile, col0 = int64_t{blockIdx.y} * kTile;
  const int64_t steps = CeilDiv<int64_t>(k, kStep);
  const auto stage_of = [&](int64_t step) { return memory + step % kStages * 2 * kStageBytes; };
  const auto load = [&](int64_t step) {
    if (step < steps) {
      LoadStage(x, rows, k, row0, step * kStep, stage_of(step));
      LoadStage(w, n, k, col0, step * kStep, stage_of(step) + kStageBytes);
    }
    CopyAsyncCommit();
  };
  constexpr int kM = kWarpRows / 16, kN = kWarpCols / 8;
  float sums[kM][kN][4] = {};
  for (int i = 0; i < kStages - 1; ++i) load(i);
  for (int64_t step = 0; step < steps; ++step) {
    CopyAsyncWait<kStages - 2>();
    __syncthreads();
    load(step + kStages - 1);
    char *xs = stage_of(step), *ws = xs + kStageBytes;
    for (int half = 0; half < kStep / 16; ++half) {
      uint32_t a[kM][4], b[kN / 2][4];
      for (int i = 0; i < kM; ++i) {
        const int r = warp_row + i * 16 + lane % 16;
        LoadMatrix4(a[i], ChunkAt(xs, r, half * 2 + lane / 16));
      }
      for (int i = 0; i < kN / 2; ++i) {
        const int r = warp_col + i * 16 + lane / 16 * 8 + lane % 8;
        LoadMatrix4(b[i], ChunkAt(ws, r, half * 2 + lane / 8 % 2));
      }
      for (int i = 0; i < kM; ++i) {
        for (int j = 0; j < kN; ++j) {
          const uint32_t two[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
          MmaBf16(sums[i][j], a[i], two);
        }
      }
    }
  }
  for (int i = 0; i < kM; ++i) {
    for (int j = 0; j < kN; ++j) {
      for (int e = 0; e < 4; ++e) {
        const int64_t row = row0 + warp_row + i * 16 + lane / 4 + e / 2 * 8;
        const int64_t col = col0 + warp_col + j * 8 + lane % 4 * 2 + e % 2;
        if (row >= rows || col >= n) continue;
        const float bias = out.bias == nullptr ? 0.0f : out.bias[col];
        out.data[row * out.ld + col] = sums[i][j][e] + bias;
      }
    }
  }
}

}  // namespace

void MultiplyTiles(Stream& s, const Matrix& w, const uint16_t* x, int64_t rows, const Output& out) {
  const dim3 grid(static_cast<unsigned>(CeilDiv<int64_t>(rows, kTile)),
                  static_cast<unsigned>(CeilDiv<int64_t>(w.rows, kTile)));
  Launch(s, grid, kThreads, size_t{kStages} * 2 * kStageBytes, TilesKernel,
         reinterpret_cast<const uint16_t*>(w.data), x, w.rows, w.cols, rows, out);
}

}  // namespace hadal::CUDA_NAMESPACE
