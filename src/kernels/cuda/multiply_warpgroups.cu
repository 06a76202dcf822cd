// Products of many rows with bf16 weights by the matrix instructions of warpgroups; see
// warpgroup_tiles.h. Three warpgroups: 192 rows of w by 256 of x bring 37 bytes a clock and
// multiprocessor through the L2 at the matrix unit's full rate.
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
  LaunchWarpgroups<kGroups>(s, WarpgroupsKernel, a, x);
}

}  // namespace hadal::CUDA_NAMESPACE
