// Owns: what the products of many rows are told, whichever instructions they use. Only .cu files
// include this.
#pragma once

#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {

struct TilesArgs {
  const uint8_t* w = nullptr;
  int64_t stride = 0;  // bytes from one matrix to the next
  const uint16_t* x = nullptr;
  int64_t n = 0, k = 0, rows = 0;
  int64_t tile_rows = 0;  // that a block has where there are no tiles
  RowTiles tiles = {};
  Output out = {};
  bool gated = false;  // see Output
};

// Rows of x and of the output that a block has.
struct BlockRows {
  int64_t first = 0, end = 0;  // in the order of the rows
  int64_t matrix = 0;
};
// Of block x.
__device__ inline BlockRows RowsOfBlock(const TilesArgs& a) {
  const int64_t x = blockIdx.x;
  if (a.tiles.matrix == nullptr) {
    const int64_t end = (x + 1) * a.tile_rows;
    return {x * a.tile_rows, end < a.rows ? end : a.rows, 0};
  }
  const int64_t matrix = a.tiles.matrix[x] - a.tiles.first_matrix;
  if (matrix < 0 || matrix >= a.tiles.matrices) return {};
  return {a.tiles.first[x], a.tiles.end[x], matrix};
}
// Row r of them in x, and in the output.
__device__ inline int64_t RowOfX(const TilesArgs& a, int64_t r) {
  if (a.tiles.x_rows == nullptr) return r;
  return a.tiles.x_rows[r] / static_cast<int>(a.tiles.share);
}
__device__ inline int64_t RowOfOutput(const TilesArgs& a, int64_t r) {
  return a.tiles.out_rows == nullptr ? r : a.tiles.out_rows[r];
}

// Where the matrix instructions of warpgroups are (wgmma.h): tiles have up to kWarpgroupRows rows.
constexpr int kWarpgroupRows = 256;
void MultiplyWarpgroups(Stream& s, TilesArgs a);
void MultiplyWarpgroupBlocks(Stream& s, Form form, const TilesArgs& a);

}  // namespace hadal::CUDA_NAMESPACE
