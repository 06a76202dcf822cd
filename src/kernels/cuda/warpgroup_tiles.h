// Owns: products of many rows on sm_90a's matrix unit: a block computes 64 rows of w a warpgroup by
// up to 256 rows of x. Rows of w are the instruction's rows, rows of x its columns, so that a tile
// of few rows costs little: it computes the next multiple of kRound. Every thread brings its part
// of 64 values of k of both into a ring of shared memory, two steps ahead, while the matrix unit
// works; how w gets there is the caller's (`Weights`). multiply_warpgroups.cu has a tile of its own
// where the copy engine brings them. An element's sum runs along k in one chain,
// whatever the tile. Limit: bench/gpu/NOTES.md has the arithmetic. Only .cu files include this.
#pragma once

#include "kernels/cuda/swizzled_rows.h"
#include "kernels/cuda/tile_products.h"
#include "kernels/cuda/wgmma.h"

namespace hadal::CUDA_NAMESPACE {

constexpr int kTileStep = 64;                 // values of k in a stage
constexpr int kTileRowBytes = kTileStep * 2;  // of a stage
constexpr int kTileChunks = kTileStep / 8;    // of 16 bytes, in a row of a stage
constexpr int kTileStages = 4;
constexpr int kGroupWeights = 64;  // rows of w of a warpgroup

// Rows of w that a block has, in the order of its stages. Gated: eight rows of the first half of w
// alternate with the eight that they are multiplied with, from the second.
struct BlockWeights {
  int64_t first = 0;  // of w, or of its first half
  int64_t n = 0;      // rows of w, or of a half
  bool gated = false;

  __device__ BlockWeights(const TilesArgs& a, int weights)
      : first(blockIdx.y * int64_t{a.gated ? weights / 2 : weights}),
        n(a.gated ? a.n / 2 : a.n),
        gated(a.gated) {}
  // Row r: where it is in w; at least a.n where there is none.
  __device__ int64_t Row(int r) const {
    if (!gated) return first + r;
    const int64_t of_half = first + r / 16 * 8 + r % 8;
    return of_half >= n ? 2 * n : of_half + (r % 16 < 8 ? 0 : n);
  }
};

// A thread's part of the rows of x.
template <int kThreads, int kRows>
struct XRows {
  static constexpr int kEach = kThreads / kTileChunks, kLoads = CeilDiv(kRows, kEach);
  const uint16_t* x;
  int chunk, row;
  int chunks;        // of a row of x
  int from[kLoads];  // where rows begin, in chunks; -1: there is none

  __device__ XRows(const TilesArgs& a, const BlockRows& block)
      : x(a.x),
        chunk(static_cast<int>(threadIdx.x) % kTileChunks),
        row(static_cast<int>(threadIdx.x) / kTileChunks),
        chunks(static_cast<int>(a.k / 8)) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int64_t r = block.first + row + i * kEach;
      from[i] = r < block.end ? static_cast<int>(RowOfX(a, r)) * chunks : -1;
    }
  }
  __device__ void Load(int step, char* to) const {
    const int at = step * kTileChunks + chunk;
    char* place = ChunkAt(to, kTileRowBytes, row, chunk);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const bool valid = from[i] >= 0 && at < chunks;
      CopyAsync16If((i + 1) * kEach <= kRows || row + i * kEach < kRows,
                    place + i * kEach * kTileRowBytes, valid ? x + int64_t{from[i] + at} * 8 : x,
                    valid);
    }
  }
};

// ---- what becomes of the sums: of a lane, rows lane / 4 and + 8 of its warp's 16 rows of w, and
// rows j * 8 + lane % 4 * 2 and the next of x.

__device__ inline void LoadBias(const TilesArgs& a, int64_t column, float (&bias)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t at = column + half * 8;
    bias[half] = a.out.bias != nullptr && at < a.n ? a.out.bias[at] : 0.0f;
  }
}

template <int kFragments>
__device__ void StoreFloats(const TilesArgs& a, const BlockRows& block, const BlockWeights& ws,
                            const float (&sums)[kFragments][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t column = ws.first + static_cast<int>(threadIdx.x) / kWarp * 16 + lane / 4;
  float bias[2];
  LoadBias(a, column, bias);
#pragma unroll
  for (int j = 0; j < kFragments; ++j) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int64_t r = block.first + j * 8 + lane % 4 * 2 + e;
      if (r >= block.end) continue;
      float* to = a.out.data + RowOfOutput(a, r) * a.out.ld + column;
      if (column < a.n) to[0] = sums[j][e] + bias[0];
      if (column + 8 < a.n) to[8] = sums[j][2 + e] + bias[1];
    }
  }
}

// Rows of bf16 from shared memory, where they lie `pitch` bytes apart.
template <int kThreads, int kColumns>
__device__ void CopyOut(const TilesArgs& a, const BlockRows& block, const BlockWeights& ws,
                        const char* rows, int pitch) {
  constexpr int kChunks = kColumns / 8;
  const bool aligned =
      ws.n % 8 == 0 && a.out.ld % 8 == 0 && reinterpret_cast<uintptr_t>(a.out.rounded) % 16 == 0;
  const int count = static_cast<int>(block.end - block.first) * kChunks;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    const int r = i / kChunks, c = i % kChunks * 8;
    const auto* from = reinterpret_cast<const uint16_t*>(rows + r * pitch) + c;
    const int64_t left = ws.n - ws.first - c;
    if (left <= 0) continue;
    uint16_t* to = a.out.rounded + RowOfOutput(a, block.first + r) * a.out.ld + ws.first + c;
    if (aligned) {
      *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
    } else {
      for (int e = 0; e < 8 && e < left; ++e) to[e] = from[e];
    }
  }
}

template <int kThreads, int kFragments>
__device__ void StoreRounded(const TilesArgs& a, const BlockRows& block, const BlockWeights& ws,
                             const float (&sums)[kFragments][4], char* memory) {
  constexpr int kWeights = kThreads / kWarpgroup * kGroupWeights;
  constexpr int kPitch = kWeights * 2 + 16, kHalfPitch = kWeights + 16;  // the banks take turns
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  __syncthreads();  // the stages have been read
  if (ws.gated) {
#pragma unroll
    for (int j = 0; j < kFragments; j += 4) {
      uint32_t v[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float(&s)[4] = sums[j + i];
        v[i] = PackBf16(GateFast(s[0], s[2]), GateFast(s[1], s[3]));
      }
      StoreMatrix4Transposed(memory + ((j + lane / 8) * 8 + lane % 8) * kHalfPitch + warp * 16, v);
    }
    __syncthreads();
    return CopyOut<kThreads, kWeights / 2>(a, block, ws, memory, kHalfPitch);
  }
  const int64_t column = ws.first + warp * 16 + lane / 4;
  float bias[2];
  LoadBias(a, column, bias);
#pragma unroll
  for (int j = 0; j < kFragments; j += 2) {
    uint32_t v[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float(&s)[4] = sums[j + i / 2];
      v[i] = PackBf16(s[i % 2 * 2] + bias[i % 2], s[i % 2 * 2 + 1] + bias[i % 2]);
    }
    StoreMatrix4Transposed(
        memory + ((j + lane / 16) * 8 + lane % 8) * kPitch + warp * 32 + lane / 8 % 2 * 16, v);
  }
  __syncthreads();
  CopyOut<kThreads, kWeights>(a, block, ws, memory, kPitch);
}

template <int kThreads, int kFragments>
__device__ void StoreTile(const TilesArgs& a, const BlockRows& block, const BlockWeights& ws,
                          const float (&sums)[kFragments][4], char* memory) {
  if (a.out.rounded != nullptr) {
    StoreRounded<kThreads>(a, block, ws, sums, memory);
  } else {
    StoreFloats(a, block, ws, sums);
  }
}

// ---- a tile of at most kRows rows

// Adds 64 values of k, of a warpgroup's rows of w and of all rows of x; to be waited for.
template <int kFragments>
__device__ void MultiplyStage(float (&sums)[kFragments][4], const char* w, const char* x) {
  WgmmaFence(sums);
#pragma unroll
  for (int part = 0; part < kTileStep / 16; ++part) {
    WgmmaBf16<Major::kK>(sums, AlongK(w, part), AlongK(x, part));
  }
  WgmmaCommit();
}

template <int kRows, int kGroups, class Weights>
__device__ void MultiplyTile(const TilesArgs& a, const BlockRows& block) {
  constexpr int kThreads = kGroups * kWarpgroup;
  constexpr int kWeightBytes = kGroups * kGroupWeights * kTileRowBytes;
  constexpr int kStageBytes = kWeightBytes + kWarpgroupRows * kTileRowBytes;
  char* memory = SharedMemory();
  const BlockWeights of_block(a, kGroups * kGroupWeights);
  const XRows<kThreads, kRows> x(a, block);
  Weights weights(a, block.matrix, of_block);
  const int steps = static_cast<int>(CeilDiv<int64_t>(a.k, kTileStep));
  const auto load = [&](int step) {
    if (step < steps) {
      char* stage = memory + step % kTileStages * kStageBytes;
      weights.Load(step, stage);
      x.Load(step, stage + kWeightBytes);
    }
    CopyAsyncCommit();
  };
  float sums[kRows / 8][4] = {};
  const int group = ComputedHere(static_cast<int>(threadIdx.x) / kWarpgroup);
  load(0);
  load(1);
  for (int step = 0; step < steps; ++step) {
    CopyAsyncWait<1>();
    FenceShared();
    __syncthreads();
    const char* stage = memory + step % kTileStages * kStageBytes;
    MultiplyStage(sums, stage + group * kGroupWeights * kTileRowBytes, stage + kWeightBytes);
    WgmmaWait<1>(sums);  // so all warpgroups are done with the step before the last
    load(step + 2);
  }
  WgmmaWait<0>(sums);
  StoreTile<kThreads>(a, block, of_block, sums, memory);
}

// The kernel's body.
template <int kRound, int kGroups, class Weights, int kRows = kRound>
__device__ void MultiplyWarpgroupTile(const TilesArgs& a, const BlockRows& block) {
  if constexpr (kRows < kWarpgroupRows) {
    if (block.end - block.first > kRows) {
      return MultiplyWarpgroupTile<kRound, kGroups, Weights, kRows + kRound>(a, block);
    }
  }
  MultiplyTile<kRows, kGroups, Weights>(a, block);
}

template <int kGroups>
void LaunchWarpgroups(Stream& s, void (*kernel)(TilesArgs), const TilesArgs& a, int64_t row_tiles) {
  constexpr int kWeights = kGroups * kGroupWeights;
  constexpr size_t kBytes = size_t{kTileStages} * (kWeights + kWarpgroupRows) * kTileRowBytes;
  const int64_t columns = CeilDiv<int64_t>(a.n, kWeights);
  Launch(s, dim3(static_cast<unsigned>(row_tiles), static_cast<unsigned>(columns)),
         kGroups * kWarpgroup, kBytes, kernel, a);
}

}  // namespace hadal::CUDA_NAMESPACE
