// Products of few rows with weights in blocks, on the integer matrix unit: 16 rows of weights by up
// to 16 rows of x, whose integers are multiplied exactly; scales and mins are applied in one chain
// of float operations along k. One row and sixteen take the same path, so a row has the same bits
// in every batch, and a weight is read once for all of them. A warp brings tiles of weights
// (block_planes.h) as whole lines into its ring of shared memory, the first ones before the kernels
// that make x have ended. Limit: weight bytes over memory bandwidth; bench/gpu/NOTES.md counts the
// instructions.
#include "kernels/cuda/block_values.h"
#include "kernels/cuda/row_products.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

static_assert(kProductRows == planes::kTileRows);

// What a lane has of a tile: rows lane / 4 and lane / 4 + 8.
template <int kType>
struct WeightTile {
  using Reader = BlockReader<kType>;
  typename Reader::Codes codes[2];
  typename Reader::RowScales scales[2];
  typename Reader::RowFactors factors[2];

  __device__ WeightTile(const Reader& tile, int lane) {
    for (int half = 0; half < 2; ++half) {
      codes[half] = tile.Load(half * kWarp + lane);
      scales[half] = tile.LoadScales(half * planes::kHalfRows + lane / 4);
      factors[half] = Reader::Factors(scales[half]);
    }
  }
};

constexpr int kPair = 2;  // groups whose x is in registers at once

// Where a lane reads x: codes of row lane / 4, scales and sums of rows lane % 4 * 2 and the next.
struct XRows {
  const int8_t *high, *low;
  const float* groups[2];
};

// Of 8 rows of x and two groups of a tile.
template <int kParts, bool kHalves, bool kSums, bool kOne>
struct XPair {
  uint32_t codes[kParts][2 * kPair];  // [group * 2 + half]
  float scale[2][kPair];
  float sums[kSums ? 2 : 1][kHalves ? 2 : 1][kPair];

  __device__ XPair(const XRows& rows, int tile, int pair) {
    for (int part = 0; part < kParts; ++part) {
      const int8_t* from = part == 0 ? rows.high : rows.low;
      const uint4 v = *reinterpret_cast<const uint4*>(from + tile * planes::kTileK + pair * 16);
      codes[part][0] = v.x;
      codes[part][1] = v.y;
      codes[part][2] = v.z;
      codes[part][3] = v.w;
    }
    for (int c = 0; c < (kOne ? 1 : 2); ++c) {
      const float* from = rows.groups[c] + tile * 16 + pair * kPair;
      Load(from, scale[c]);
      if constexpr (kSums && kHalves) {
        Load(from + 8, sums[c][0]);
        Load(from + 12, sums[c][1]);
      } else if constexpr (kSums) {
        Load(from + 4, sums[c][0]);
      }
    }
  }

 private:
  __device__ static void Load(const float* from, float (&to)[kPair]) {
    const float2 v = *reinterpret_cast<const float2*>(from);
    to[0] = v.x;
    to[1] = v.y;
  }
};

// Sums of scaled products and of mins, before the rows' factors. [half of the tile][row of x] as
// the fragments have them.
struct TileSums {
  float scaled[4] = {}, mins[4] = {};
};

// sums += w x over a group, which is group `in_pair` of x.
template <int kType, class X, bool kOne>
__device__ void MultiplyGroup(const WeightTile<kType>& w, int group, const X& x, int in_pair,
                              TileSums& sums) {
  using Reader = BlockReader<kType>;
  constexpr int kParts = Reader::kFormat.x_parts, kHalves = Reader::kHalves ? 2 : 1;
  uint32_t a[4];
  for (int i = 0; i < 4; ++i) {
    a[i] = static_cast<uint32_t>(Reader::Quad(w.codes[i % 2], group * 2 + i / 2));
  }
  const GroupScales scales[2] = {Reader::Scales(w.scales[0], group),
                                 Reader::Scales(w.scales[1], group)};
#pragma unroll
  for (int h = 0; h < kHalves; ++h) {
    int32_t dots[kParts][4] = {};
    for (int part = 0; part < kParts; ++part) {
      const uint32_t* codes = x.codes[part] + in_pair * 2;
      if constexpr (kHalves == 2) {
        MmaInt8Half(dots[part], a[2 * h], a[2 * h + 1], codes[h]);
      } else {
        MmaInt8(dots[part], a, {codes[0], codes[1]});
      }
    }
    for (int i = 0; i < 4; i += kOne ? 2 : 1) {
      const int row = i / 2, c = i % 2;
      const int32_t dot = kParts == 2 ? dots[0][i] * 256 + dots[kParts - 1][i] : dots[0][i];
      float v = static_cast<float>(dot);
      if constexpr (Reader::kHasZero) {
        const float zero = static_cast<float>(scales[row].zero);
        v = fmaf(v, x.scale[c][in_pair], -zero * x.sums[c][h][in_pair]);
      } else {
        v *= x.scale[c][in_pair];
      }
      sums.scaled[i] = fmaf(scales[row].scale[h], v, sums.scaled[i]);
      if constexpr (Reader::kHasMin) {
        sums.mins[i] = fmaf(scales[row].min[h], x.sums[c][h][in_pair], sums.mins[i]);
      }
    }
  }
}

template <int kType>
constexpr int kXParts = planes::FormatOf(kType).x_parts;

template <int kType, int kColumns>
__global__ void __launch_bounds__(kMostWarps* kWarp, BlocksFor(kColumns, kXParts<kType>))
    BlocksKernel(RowProducts products, Activations x, int64_t rows, RowMap map) {
  using Reader = BlockReader<kType>;
  constexpr bool kOne = kColumns == 1;
  using X =
      XPair<Reader::kFormat.x_parts, Reader::kHalves, Reader::kHasZero || Reader::kHasMin, kOne>;
  constexpr int kN = TilesOfColumns(kColumns), kStages = StagesFor(Reader::kCopyBytes);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const bool late = map.matrix != nullptr && !map.early;  // the map is an input
  if (late) WaitForInputs();
  const RowSet set = RowsOf(map, static_cast<int>(rows), kColumns, static_cast<int>(blockIdx.x));
  if (set.count <= 0) return;
  const ProductTile at = ProductOf(products, 1, static_cast<int>(blockIdx.y));
  const RowProduct& product = products.of[at.product];
  const int tiles = static_cast<int>(planes::ColumnTiles(product.w.cols));
  const uint8_t* matrix =
      Reader(product.w.data + set.matrix * product.w.stride, int64_t{at.tile} * tiles).base;
  char* ring = RingOfWarp<kColumns, kStages, Reader::kCopyBytes>();
  for (int first = 0; first < set.count; first += kColumns) {
    const auto copy = [&](int tile, int stage) {
      if (tile < tiles) {
        Reader(matrix, tile).CopyTo(ring + stage * Reader::kCopyBytes);
      }
      CopyAsyncCommit();
    };
    for (int i = 0; i < kStages - 1; ++i) copy(warp + i * warps, i);
    if (first == 0) LetNextBegin();
    if (first == 0 && !late) WaitForInputs();
    // Rows that are not there are the first one; their sums are not stored.
    XRows x_rows[kN];
#pragma unroll
    for (int n = 0; n < kN; ++n) {
      const auto tile_of = [&](int column) {
        const bool there = first + n * 8 + column < set.count && n * 8 + column < kColumns;
        return int64_t{set[there ? first + n * 8 + column : first] / static_cast<int>(map.share)} *
               tiles;
      };
      const int64_t codes = tile_of(lane / 4) * planes::kTileK + lane % 4 * 32;
      x_rows[n].high = x.high + codes;
      x_rows[n].low = kXParts<kType> == 2 ? x.low + codes : nullptr;
      for (int c = 0; c < 2; ++c) x_rows[n].groups[c] = x.groups + tile_of(lane % 4 * 2 + c) * 16;
    }
    float sums[1][kN][4] = {};
    int stage = 0;
#pragma unroll 1
    for (int tile = warp; tile < tiles; tile += warps) {
      CopyAsyncWait<kStages - 2>();
      __syncwarp();
      copy(tile + (kStages - 1) * warps, stage == 0 ? kStages - 1 : stage - 1);
      const WeightTile<kType> w(Reader(ring + stage * Reader::kCopyBytes), lane);
      stage = stage + 1 == kStages ? 0 : stage + 1;
      TileSums of_tile[kN];
#pragma unroll
      for (int pair = 0; pair < planes::kTileGroups / kPair; ++pair) {
#pragma unroll
        for (int n = 0; n < kN; ++n) {
          const X of_x(x_rows[n], tile, pair);
#pragma unroll
          for (int g = 0; g < kPair; ++g) {
            MultiplyGroup<kType, X, kOne>(w, pair * kPair + g, of_x, g, of_tile[n]);
          }
        }
      }
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        for (int i = 0; i < 4; i += kOne ? 2 : 1) {
          sums[0][n][i] = fmaf(w.factors[i / 2].scale, of_tile[n].scaled[i], sums[0][n][i]);
          if constexpr (Reader::kHasMin) {
            sums[0][n][i] = fmaf(-w.factors[i / 2].min, of_tile[n].mins[i], sums[0][n][i]);
          }
        }
      }
    }
    if (first > 0) __syncthreads();
    StoreSums<kColumns, 1>(sums, products, at, set, first);
  }
}

}  // namespace

void MultiplyBlocks(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                    const RowMap& map) {
  const Matrix& w = products.of[0].w;
  const int columns = ColumnsFor(map, rows), warps = WarpsOf(planes::ColumnTiles(w.cols));
  const dim3 grid = ProductGrid(products, map, rows, columns, 1);
  ForBlockType(w.form, [&]<int kType>() {
    constexpr int kBytes = BlockReader<kType>::kCopyBytes;
    ForColumns(columns, [&]<int kColumns>() {
      Launch(s, grid, warps * kWarp, ProductBytes(kColumns, warps, StagesFor(kBytes), kBytes),
             BlocksKernel<kType, kColumns>, products, x, rows, map);
    });
  });
}

}  // namespace hadal::CUDA_NAMESPACE
