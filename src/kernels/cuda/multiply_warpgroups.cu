// Products of many rows with bf16 weights by the matrix instructions of warpgroups; see
// warpgroup_tiles.h. Three warpgroups: 192 rows of w by 256 of x bring 37 bytes a clock and
// multiprocessor through the L2 at the matrix unit's full rate. Where sizes are whole, the copy
// engine brings w, and x where its rows lie one after another: copies of 16 bytes by threads likely
// keep the matrix unit from shared memory.
#include "kernels/cuda/tile_copies.h"
#include "kernels/cuda/warpgroup_tiles.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kGroups = 3, kThreads = kGroups * kWarpgroup, kWeights = kGroups * kGroupWeights;

// A thread's part of the rows of w.
class Bf16Weights {
 public:
  __device__ Bf16Weights(const TilesArgs& a, int64_t matrix, const BlockWeights& of_block)
      : chunk_(static_cast<int>(threadIdx.x) % kTileChunks),
        row_(static_cast<int>(threadIdx.x) / kTileChunks),
        chunks_(static_cast<int>(a.k / 8)) {
    const auto* w = reinterpret_cast<const uint16_t*>(a.w + matrix * a.stride);
    const int64_t first = of_block.Row(row_);
    const int down = of_block.gated ? kEach / 2 : kEach;
    from_ = w + (first < a.n ? first : 0) * a.k + chunk_ * 8;
    next_ = down * static_cast<int>(a.k);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) loads_ += of_block.Row(row_ + i * kEach) < a.n ? 1 : 0;
  }
  __device__ void Load(int step, char* to) const {
    char* place = ChunkAt(to, kTileRowBytes, row_, chunk_);
    const bool in_k = step * kTileChunks + chunk_ < chunks_;
    const uint16_t* from = from_ + step * kTileStep;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const bool valid = in_k && i < loads_;
      CopyAsync16(place + i * kEach * kTileRowBytes, valid ? from + i * int64_t{next_} : from_,
                  valid);
    }
  }

 private:
  static constexpr int kEach = kThreads / kTileChunks, kLoads = kWeights / kEach;
  static_assert(kEach % 16 == 0 && kWeights % kEach == 0);
  int chunk_, row_, chunks_;
  const uint16_t* from_;
  int next_;       // values from one row to the next
  int loads_ = 0;  // rows that there are
};

__global__ void __launch_bounds__(kThreads, 1) WarpgroupsKernel(TilesArgs a) {
#ifdef HADAL_WGMMA
  LetNextBegin();
  WaitForInputs();
  const BlockRows block = RowsOfBlock(a);
  if (block.first < block.end) MultiplyWarpgroupTile<32, kGroups, Bf16Weights>(a, block);
#else
  __trap();
#endif
}

// ---- the same with w, or both, by the copy engine

constexpr int kWeightBytes = kWeights * kTileRowBytes, kXBoxRows = 64;
constexpr int kStageBytes = kWeightBytes + kWarpgroupRows * kTileRowBytes;
constexpr int kFillsAt = kTileStages * kStageBytes, kBoxesShared = kFillsAt + kTileStages * 8;

struct TileBoxes {
  BoxMap w, x;
};
template <int kRows, bool kXBoxes>
__device__ void MultiplyBoxes(const TilesArgs& a, const TileBoxes& from, const BlockRows& block) {
  char* memory = SharedMemory();
  auto* fills = reinterpret_cast<FillBarrier*>(memory + kFillsAt);
  const BlockWeights of_block(a, kWeights);
  const XRows<kThreads, kRows> x(a, block);
  const int steps = static_cast<int>(CeilDiv<int64_t>(a.k, kTileStep));
  const int group = ComputedHere(static_cast<int>(threadIdx.x) / kWarpgroup);
  const auto stage_of = [&](int step) { return memory + step % kTileStages * kStageBytes; };
  const auto bring = [&](int step) {
    if (step >= steps || threadIdx.x != 0) return;
    constexpr int kXBytes = kXBoxes ? CeilDiv(kRows, kXBoxRows) * kXBoxRows * kTileRowBytes : 0;
    FillBarrier* fill = fills + step % kTileStages;
    ExpectFill(fill, kWeightBytes + kXBytes);
    const int k = step * kTileStep, eight = static_cast<int>(of_block.first / 8);
    const auto matrix = static_cast<int>(block.matrix);
    CopyBox(from.w, fill, stage_of(step), k, 0, of_block.gated ? 0 : eight,
            of_block.gated ? eight : 0, matrix);
#pragma unroll
    for (int i = 0; i * kXBoxRows < kXBytes / kTileRowBytes; ++i) {
      CopyBox(from.x, fill, stage_of(step) + kWeightBytes + i * kXBoxRows * kTileRowBytes, k,
              static_cast<int>(block.first) + i * kXBoxRows, 0);
    }
  };
  const auto load = [&](int step) {
    if (kXBoxes) return;
    if (step < steps) x.Load(step, stage_of(step) + kWeightBytes);
    CopyAsyncCommit();
  };
  float sums[kRows / 8][4] = {};
  for (int step = 0; step < 2; ++step) {
    bring(step);
    load(step);
  }
  for (int step = 0; step < steps; ++step) {
    if (!kXBoxes) {
      CopyAsyncWait<1>();
      FenceShared();
    }
    AwaitFill(fills + step % kTileStages, step / kTileStages);
    __syncthreads();  // all are done with the step before the last
    const char* stage = stage_of(step);
    MultiplyStage(sums, stage + group * kGroupWeights * kTileRowBytes, stage + kWeightBytes);
    bring(step + 2);
    WgmmaWait<1>(sums);
    load(step + 2);
  }
  WgmmaWait<0>(sums);
  StoreTile<kThreads>(a, block, of_block, sums, memory);
}
template <bool kXBoxes, int kRows = 32>
__device__ void MultiplyBoxesOf(const TilesArgs& a, const TileBoxes& from, const BlockRows& block) {
  if constexpr (kRows < kWarpgroupRows) {
    if (block.end - block.first > kRows) {
      return MultiplyBoxesOf<kXBoxes, kRows + 32>(a, from, block);
    }
  }
  MultiplyBoxes<kRows, kXBoxes>(a, from, block);
}

template <bool kXBoxes>
__global__ void __launch_bounds__(kThreads, 1)
    BoxesKernel(TilesArgs a, const __grid_constant__ TileBoxes from) {
#ifdef HADAL_WGMMA
  LetNextBegin();
  if (threadIdx.x == 0) {
    InitFills(reinterpret_cast<FillBarrier*>(SharedMemory() + kFillsAt), kTileStages);
  }
  __syncthreads();
  WaitForInputs();
  const BlockRows block = RowsOfBlock(a);
  if (block.first < block.end) MultiplyBoxesOf<kXBoxes>(a, from, block);
#else
  __trap();
#endif
}

// Eight rows at a time; gated: eight of the first half, then eight of the second.
Boxes BoxesOfWeights(const TilesArgs& a) {
  const int64_t halves = a.gated ? 2 : 1, rows = a.n / halves, row = a.k * 2;
  Boxes w = {
      .data = a.w, .dimensions = 5, .size = {a.k, 8}, .next = {2, row}, .box = {kTileStep, 8}};
  const int eights_at = a.gated ? 3 : 2, half_at = a.gated ? 2 : 3;  // which dimension
  w.size[eights_at] = rows / 8, w.next[eights_at] = 8 * row;
  w.size[half_at] = halves, w.next[half_at] = rows * row;
  w.size[4] = a.tiles.matrix == nullptr ? 1 : a.tiles.matrices;
  w.next[4] = a.tiles.matrix == nullptr ? a.n * row : a.stride;
  w.box[eights_at] = static_cast<int>(kWeights / 8 / halves);
  w.box[half_at] = static_cast<int>(halves);
  w.box[4] = 1;
  return w;
}
Boxes BoxesOfX(const TilesArgs& a) {
  const int64_t rows = a.tiles.matrix == nullptr ? a.rows : a.tiles.rows;
  return {.data = a.x,
          .dimensions = 3,
          .size = {a.k, rows, 1},
          .next = {2, a.k * 2, rows * a.k * 2},
          .box = {kTileStep, kXBoxRows, 1}};
}
bool BoxesFit(const TilesArgs& a) {
  const auto whole = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  return a.k % 8 == 0 && a.n % (a.gated ? 16 : 8) == 0 && a.stride % 16 == 0 && whole(a.w) &&
         whole(a.x) && (a.tiles.matrix == nullptr || a.tiles.x_rows != nullptr || a.tiles.rows > 0);
}

// Rows of a tile where all are as large: the rounds of the multiprocessors times what one takes, in
// rows, count.
int64_t TileRowsOf(int64_t rows, int64_t columns) {
  constexpr int64_t kProcessors = 132, kBeginAndEnd = 48;
  int64_t best = 0, least = 0;
  for (int64_t tile = 64; tile <= kWarpgroupRows; tile += 64) {
    const int64_t rounds = CeilDiv(CeilDiv(rows, tile) * columns, kProcessors);
    const int64_t cost = rounds * (tile + kBeginAndEnd);
    if (best == 0 || cost <= least) {
      best = tile;
      least = cost;
    }
  }
  return best;
}

}  // namespace

bool HasWarpgroups(const Stream& s) { return s.warpgroups; }

void MultiplyWarpgroups(Stream& s, TilesArgs a) {
  const int64_t columns = CeilDiv<int64_t>(a.n, kWeights);
  int64_t x = a.tiles.count;
  if (a.tiles.matrix == nullptr) {
    a.tile_rows = TileRowsOf(a.rows, columns);
    x = CeilDiv(a.rows, a.tile_rows);
  }
  if (!BoxesFit(a)) return LaunchWarpgroups<kGroups>(s, WarpgroupsKernel, a, x);
  const bool x_boxes = a.tiles.x_rows == nullptr;
  TileBoxes from = {};
  if (!MapBoxes(s, BoxesOfWeights(a), from.w)) return;
  if (x_boxes && !MapBoxes(s, BoxesOfX(a), from.x)) return;
  const dim3 grid(static_cast<unsigned>(x), static_cast<unsigned>(columns));
  Launch(s, grid, kThreads, size_t{kBoxesShared}, x_boxes ? BoxesKernel<true> : BoxesKernel<false>,
         a, from);
}

}  // namespace hadal::CUDA_NAMESPACE
