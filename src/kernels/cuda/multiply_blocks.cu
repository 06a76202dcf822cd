// Products of few rows with weights in blocks, on the integer matrix unit: 16 rows of weights by up
// to 16 rows of x, whose integers are multiplied exactly; scales and mins are applied in one chain
// of float operations along k. One row and sixteen take the same path, so a row has the same bits
// in every batch, and a weight is read once for all of them. A warp brings tiles of weights
// (block_planes.h) as whole lines into its ring of shared memory. Limit: weight bytes
// over memory bandwidth; bench/gpu/NOTES.md counts the instructions.
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

  __device__ WeightTile(const Reader& tile, int lane) {
    for (int half = 0; half < 2; ++half) {
      codes[half] = tile.Load(half * kWarp + lane);
      scales[half] = tile.LoadScales(half * planes::kHalfRows + lane / 4);
    }
  }
};

// Of 8 rows of x and a tile: the lane's codes of row lane / 4, and of rows lane % 4 * 2 and the
// next the groups' scales and sums. Rows that are not there are zero.
template <int kParts, bool kHalves, bool kSums, bool kOne>
struct XTile {
  uint32_t codes[kParts][8];  // [group * 2 + half]
  float scale[2][4];
  float sums[kSums ? 2 : 1][kHalves ? 2 : 1][4];

  // `rows` are the first tiles of the rows.
  __device__ void Load(const Activations& x, int tile, const int (&rows)[3], int lane) {
    for (int part = 0; part < kParts; ++part) {
      for (int i = 0; i < 8; ++i) codes[part][i] = 0;
      if (rows[0] < 0) continue;
      const int8_t* from = part == 0 ? x.high : x.low;
      LoadFour(from + int64_t{rows[0] + tile} * 128 + lane % 4 * 32, codes[part]);
      LoadFour(from + int64_t{rows[0] + tile} * 128 + lane % 4 * 32 + 16, codes[part] + 4);
    }
    for (int c = 0; c < (kOne ? 1 : 2); ++c) {
      for (int g = 0; g < 4; ++g) scale[c][g] = 0;
      if constexpr (kSums) {
        for (int h = 0; h < (kHalves ? 2 : 1); ++h) {
          for (int g = 0; g < 4; ++g) sums[c][h][g] = 0;
        }
      }
      if (rows[1 + c] < 0) continue;
      const float* from = x.groups + int64_t{rows[1 + c] + tile} * 16;
      LoadFour(from, scale[c]);
      if constexpr (kSums && kHalves) {
        LoadFour(from + 8, sums[c][0]);
        LoadFour(from + 12, sums[c][1]);
      } else if constexpr (kSums) {
        LoadFour(from + 4, sums[c][0]);
      }
    }
  }

 private:
  __device__ static void LoadFour(const void* from, uint32_t* to) {
    const uint4 v = *static_cast<const uint4*>(from);
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
  }
  __device__ static void LoadFour(const float* from, float* to) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
  }
};

// sums += w x over the tile; sums [row of w half][row of x] as the fragments have them.
template <int kType, class X, bool kOne>
__device__ void MultiplyTile(const WeightTile<kType>& w, const X& x, float (&sums)[4]) {
  using Reader = BlockReader<kType>;
  constexpr int kParts = Reader::kFormat.x_parts, kHalves = Reader::kHalves ? 2 : 1;
#pragma unroll
  for (int g = 0; g < planes::kTileGroups; ++g) {
    uint32_t a[4];
    for (int i = 0; i < 4; ++i) {
      a[i] = static_cast<uint32_t>(Reader::Quad(w.codes[i % 2], g * 2 + i / 2));
    }
    const GroupScales scales[2] = {Reader::Scales(w.scales[0], g), Reader::Scales(w.scales[1], g)};
    for (int h = 0; h < kHalves; ++h) {
      int32_t dots[kParts][4] = {};
      for (int part = 0; part < kParts; ++part) {
        if constexpr (kHalves == 2) {
          MmaInt8Half(dots[part], a[2 * h], a[2 * h + 1], x.codes[part][g * 2 + h]);
        } else {
          MmaInt8(dots[part], a, {x.codes[part][g * 2], x.codes[part][g * 2 + 1]});
        }
      }
      for (int i = 0; i < 4; i += kOne ? 2 : 1) {
        const int row = i / 2, c = i % 2;
        const int32_t dot = kParts == 2 ? dots[0][i] * 256 + dots[kParts - 1][i] : dots[0][i];
        float v = static_cast<float>(dot);
        if constexpr (Reader::kHasZero) {
          v = fmaf(v, x.scale[c][g], -static_cast<float>(scales[row].zero) * x.sums[c][h][g]);
        } else {
          v *= x.scale[c][g];
        }
        sums[i] = fmaf(scales[row].scale[h], v, sums[i]);
        if constexpr (Reader::kHasMin)
          sums[i] = fmaf(-scales[row].min[h], x.sums[c][h][g], sums[i]);
      }
    }
  }
}

template <int kType, int kColumns>
__global__ void __launch_bounds__(kMostWarps* kWarp, BlocksFor(kColumns))
    BlocksKernel(RowProducts products, Activations x, int64_t rows, RowMap map) {
  using Reader = BlockReader<kType>;
  constexpr bool kOne = kColumns == 1;
  using X =
      XTile<Reader::kFormat.x_parts, Reader::kHalves, Reader::kHasZero || Reader::kHasMin, kOne>;
  constexpr int kN = TilesOfColumns(kColumns), kStages = StagesFor(Reader::kTileBytes);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const RowSet set = RowsOf(map, static_cast<int>(rows), kColumns, static_cast<int>(blockIdx.x));
  if (set.count <= 0) return;
  const ProductTile at = ProductOf(products, static_cast<int>(blockIdx.y));
  const RowProduct& product = products.of[at.product];
  const int tiles = static_cast<int>(planes::ColumnTiles(product.w.cols));
  const Reader reader = Reader(product.w, set.matrix).Tile(int64_t{at.tile} * tiles);
  char* ring = RingOfWarp<kColumns, kStages, Reader::kTileBytes>();
  for (int first = 0; first < set.count; first += kColumns) {
    int x_rows[kN][3];
    for (int n = 0; n < kN; ++n) {
      const int in[3] = {lane / 4, lane % 4 * 2, lane % 4 * 2 + 1};
      for (int i = 0; i < 3; ++i) {
        const int r = first + n * 8 + in[i];
        x_rows[n][i] = r < set.count && n * 8 + in[i] < kColumns
                           ? set[r] / static_cast<int>(map.share) * tiles
                           : -1;
      }
    }
    const auto copy = [&](int tile, int stage) {
      if (tile < tiles) reader.CopyTile(tile, ring + stage * Reader::kTileBytes);
      CopyAsyncCommit();
    };
    for (int i = 0; i < kStages - 1; ++i) copy(warp + i * warps, i);
    float sums[kN][4] = {};
    int stage = 0;
    for (int tile = warp; tile < tiles; tile += warps) {
      CopyAsyncWait<kStages - 2>();
      __syncwarp();
      copy(tile + (kStages - 1) * warps, stage == 0 ? kStages - 1 : stage - 1);
      const WeightTile<kType> w(Reader(ring + stage * Reader::kTileBytes), lane);
      stage = stage + 1 == kStages ? 0 : stage + 1;
      for (int n = 0; n < kN; ++n) {
        X of_x;
        of_x.Load(x, tile, x_rows[n], lane);
        MultiplyTile<kType, X, kOne>(w, of_x, sums[n]);
      }
    }
    if (first > 0) __syncthreads();
    StoreSums<kColumns>(sums, product.out, set, first, at.tile * kProductRows,
                        static_cast<int>(product.w.rows));
  }
}

}  // namespace

void MultiplyBlocks(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                    const RowMap& map) {
  const Matrix& w = products.of[0].w;
  const int columns = ColumnsFor(map, rows), warps = WarpsOf(planes::ColumnTiles(w.cols));
  const dim3 grid = ProductGrid(products, map, rows, columns);
  ForBlockType(w.form, [&]<int kType>() {
    constexpr int kTileBytes = BlockReader<kType>::kTileBytes;
    ForColumns(columns, [&]<int kColumns>() {
      Launch(s, grid, warps * kWarp,
             ProductBytes(kColumns, warps, StagesFor(kTileBytes), kTileBytes),
             BlocksKernel<kType, kColumns>, products, x, rows, map);
    });
  });
}

}  // namespace hadal::CUDA_NAMESPACE
