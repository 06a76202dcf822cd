// Products of many rows with weights in blocks by the matrix instructions of warpgroups; see
// warpgroup_tiles.h. A warp decodes the 16 rows of w that it multiplies, two steps ahead, from
// registers that are filled two steps before that.
#include "kernels/cuda/block_values.h"
#include "kernels/cuda/warpgroup_tiles.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kGroups = 2;
constexpr int kTileSteps = planes::kTileK / kTileStep;
static_assert(kTileSteps == 2);

// What a lane decodes: a unit of each half of the warp's 16 rows.
template <int kType>
class BlockWeightRows {
 public:
  using Reader = BlockReader<kType>;

  __device__ BlockWeightRows(const TilesArgs& a, int64_t matrix, const BlockWeights& of_block)
      : tiles_(static_cast<int>(planes::ColumnTiles(a.k))), w_(a.w + matrix * a.stride) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    lane_ = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t row = of_block.Row(warp * 16 + half * planes::kHalfRows);
      eight_[half] = row < a.n ? static_cast<int>(row / planes::kHalfRows) : -1;
    }
    Fetch(0);
  }

  // Steps come in order. Two of them share a tile of the planes.
  __device__ void Load(int step, char* to) {
    if (step % kTileSteps == 0) {
#pragma unroll
      for (int half = 0; half < 2; ++half) unit_[half] = next_[half];
      Fetch(step / kTileSteps + 1);
    }
    const int row = static_cast<int>(threadIdx.x) / kWarp * 16 + lane_ / 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      Decode(unit_[half], to, row + half * planes::kHalfRows);
      Reader::DropHalf(unit_[half].codes, unit_[half].scales);
    }
  }

 private:
  struct Unit {
    typename Reader::Codes codes = {};
    typename Reader::RowScales scales = {};
  };

  __device__ void Fetch(int tile) {
    if (tile >= tiles_) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (eight_[half] < 0) continue;
      const Reader reader(w_, int64_t{eight_[half] / 2} * tiles_ + tile);
      next_[half].codes = reader.Load(eight_[half] % 2 * kWarp + lane_);
      next_[half].scales = reader.LoadScales(eight_[half] % 2 * planes::kHalfRows + lane_ / 4);
    }
  }
  // Two groups of a row: a lane has quads lane % 4 and + 4 of each.
  __device__ void Decode(const Unit& unit, char* to, int row) const {
#pragma unroll
    for (int group = 0; group < kTileStep / planes::kGroup; ++group) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float v[4];
        Reader::Values(unit.codes, unit.scales, group, half, v);
        const int chunk = group * 4 + half * 2 + lane_ % 4 / 2;
        *reinterpret_cast<uint2*>(ChunkAt(to, kTileRowBytes, row, chunk) + lane_ % 2 * 8) = {
            PackBf16(v[0], v[1]), PackBf16(v[2], v[3])};
      }
    }
  }

  int tiles_;
  const uint8_t* w_;
  int lane_;
  int eight_[2];  // rows of w, in eights; -1: none, zeros
  Unit unit_[2], next_[2];
};

template <int kType>
__global__ void __launch_bounds__(kGroups* kWarpgroup, 1) WarpgroupBlocksKernel(TilesArgs a) {
#ifdef HADAL_WGMMA
  LetNextBegin();
  WaitForInputs();
  const BlockRows block = RowsOfBlock(a);
  if (block.first < block.end) MultiplyWarpgroupTile<64, kGroups, BlockWeightRows<kType>>(a, block);
#else
  __trap();
#endif
}

}  // namespace

void MultiplyWarpgroupBlocks(Stream& s, Form form, const TilesArgs& a) {
  ForBlockType(form, [&]<int kType>() {
    LaunchWarpgroups<kGroups>(s, WarpgroupBlocksKernel<kType>, a, a.tiles.count);
  });
}

}  // namespace hadal::CUDA_NAMESPACE
