// Products of few rows with weights in blocks, on the integer matrix unit: 16 rows of weights by up
// to 16 rows of x, whose integers are multiplied exactly; scales and mins are applied in one chain
// of float operations along k. One row and sixteen take the same path, so a row has the same bits
// in every batch, and a weight is read once for all of them. A warp brings tiles of weights
// (block_planes.h) as whole lines into its ring of shared memory, the first ones before the kernels
// that make x have ended. One row is made integers by each warp itself, a tile at a time, which
// saves a launch; several come as integers. Gated, which only one row is, a block has the rows that
// gate and those that they gate. Limit: weight bytes over memory bandwidth; bench/gpu/NOTES.md
// counts the instructions.
#include <algorithm>

#include "kernels/cuda/block_products.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kPair = 2;  // groups whose x is in registers at once

// Where a lane reads a tile of x: codes of row lane / 4, scales and sums of rows lane % 4 * 2 and
// the next.
struct XRows {
  const int8_t *high, *low;
  const float* groups[2];
};

// Of 8 rows of x and two groups of a tile.
template <int kParts, bool kHalves, bool kSums, bool kOne>
struct XPair {
  static constexpr bool kOffsetSums = false;
  uint32_t codes[kParts][2 * kPair];  // [group * 2 + half]
  float scale[2][kPair];
  float sums[kSums ? 2 : 1][kHalves ? 2 : 1][kPair];

  __device__ XPair(const XRows& rows, int pair) {
    for (int part = 0; part < kParts; ++part) {
      const int8_t* from = part == 0 ? rows.high : rows.low;
      const uint4 v = *reinterpret_cast<const uint4*>(from + pair * 16);
      codes[part][0] = v.x;
      codes[part][1] = v.y;
      codes[part][2] = v.z;
      codes[part][3] = v.w;
    }
    for (int c = 0; c < (kOne ? 1 : 2); ++c) {
      const float* from = rows.groups[c] + pair * kPair;
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

// Rows that are integers in memory. Those that are not there are the first one; their sums are not
// stored.
template <int kType, int kColumns>
class ConvertedRows {
 public:
  __device__ ConvertedRows(const Activations& x, const RowSet& set, int first, int share,
                           int tiles) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int n = 0; n < kN; ++n) {
      const auto tile_of = [&](int column) {
        const bool there = first + n * 8 + column < set.count && n * 8 + column < kColumns;
        return int64_t{set[there ? first + n * 8 + column : first] / share} * tiles;
      };
      const int64_t codes = tile_of(lane / 4) * planes::kTileK + lane % 4 * 32;
      rows_[n].high = x.high + codes;
      rows_[n].low = kXParts<kType> == 2 ? x.low + codes : nullptr;
      for (int c = 0; c < 2; ++c) {
        rows_[n].groups[c] = x.groups + tile_of(lane % 4 * 2 + c) * kTileInfo;
      }
    }
  }
  __device__ XRows Tile(int n, int tile) const {
    const XRows& r = rows_[n];
    const int codes = tile * planes::kTileK, info = tile * kTileInfo;
    return {r.high + codes, r.low + codes, {r.groups[0] + info, r.groups[1] + info}};
  }

 private:
  static constexpr int kN = TilesOfColumns(kColumns), kTileInfo = 16;
  XRows rows_[kN];
};

// One row of floats, of which a warp makes the tiles of its turns integers, a turn ahead.
template <int kType>
class OwnRow {
 public:
  static constexpr int kCodes = kXParts<kType> * planes::kTileK;
  static constexpr int kSpace = 2 * (kCodes + 64);  // bytes of shared memory, of a warp

  __device__ OwnRow(const float* row, int cols, char* space)
      : row_(row), aligned_(IsAligned(row, 0)), cols_(cols), space_(space) {}
  __device__ void Begin(int tile, int after) {
    Load(tile);
    WriteTile<kXParts<kType>, kXSums<kType>>(next_, Place(0));
    Load(after);
  }
  // To the next tile; the one after it is `after`. In between the warp meets.
  __device__ void Advance(int after) {
    place_ ^= 1;
    WriteTile<kXParts<kType>, kXSums<kType>>(next_, Place(place_));
    Load(after);
  }
  __device__ XRows Tile() const {
    const ActivationTile from = Place(place_);
    const int codes = static_cast<int>(threadIdx.x) % 4 * 32;
    return {from.high + codes, from.low + codes, {from.groups, from.groups}};
  }

 private:
  __device__ void Load(int tile) { next_ = LoadTile(row_, aligned_, cols_, tile); }
  __device__ ActivationTile Place(int i) const {
    char* at = space_ + i * (kSpace / 2);
    auto* codes = reinterpret_cast<int8_t*>(at);
    return {codes, codes + kCodes - planes::kTileK, reinterpret_cast<float*>(at + kCodes)};
  }

  const float* row_;
  const bool aligned_;
  const int cols_;
  char* space_;
  float4 next_;
  int place_ = 0;  // of two
};

// What a block has in shared memory: the warps' sums, their rings, and what one row needs.
template <int kType, int kColumns, int kTiles>
struct BlocksShared {
  static constexpr int kStageBytes = kTiles * BlockReader<kType>::kCopyBytes;
  static constexpr int kStages = StagesFor(kStageBytes);
  static constexpr int kWarpBytes =
      kStages * kStageBytes + (kColumns == 1 ? OwnRow<kType>::kSpace : 0);

  __device__ static char* OfWarp(int warp, int warps) {
    return SharedMemory() + SumBytes(kColumns, kTiles, warps) + warp * kWarpBytes;
  }
  static size_t Bytes(int warps) {
    return SumBytes(kColumns, kTiles, warps) + static_cast<size_t>(warps) * kWarpBytes;
  }
};

// sums += a tile of weights times x, whose part n of eight rows is x(n).
template <int kType, int kColumns, class X>
__device__ void MultiplyTile(const char* copy, const X& x,
                             float (&sums)[TilesOfColumns(kColumns)][4]) {
  using Reader = BlockReader<kType>;
  constexpr bool kOne = kColumns == 1;
  using Pair = XPair<kXParts<kType>, Reader::kHalves, kXSums<kType> != GroupSums::kNone, kOne>;
  constexpr int kN = TilesOfColumns(kColumns);
  const WeightTile<kType> w(Reader(copy), static_cast<int>(threadIdx.x) % kWarp);
  TileSums of_tile[kN];
#pragma unroll
  for (int pair = 0; pair < planes::kTileGroups / kPair; ++pair) {
#pragma unroll
    for (int n = 0; n < kN; ++n) {
      const Pair of_x(x(n), pair);
#pragma unroll
      for (int g = 0; g < kPair; ++g) {
        MultiplyGroup<kType, Pair, kOne>(w.Group(pair * kPair + g), of_x, g, of_tile[n]);
      }
    }
  }
#pragma unroll
  for (int n = 0; n < kN; ++n) AddTile<kType, kOne>(w.factors, of_tile[n], sums[n]);
}

// Of a tile that gates and one that is gated to tiles whose first eight rows gate the others.
template <int kN>
__device__ void PairHalves(float (&sums)[2][kN][4]) {
  for (int n = 0; n < kN; ++n) {
    for (int i = 0; i < 2; ++i) {
      const float gated = sums[1][n][i];
      sums[1][n][i] = sums[0][n][2 + i];
      sums[0][n][2 + i] = gated;
    }
  }
}

// A block's part of the products. Warps beyond those that share k wait. kTiles: of 16 rows; of two
// the first gates the second.
template <int kType, int kColumns, int kTiles>
__device__ void MultiplyPart(const RowProducts& products, const ProductTile& at,
                             const Activations& x, int rows, const RowMap& map) {
  using Reader = BlockReader<kType>;
  using Shared = BlocksShared<kType, kColumns, kTiles>;
  constexpr int kN = TilesOfColumns(kColumns), kStages = Shared::kStages;
  const RowProduct& product = products.of[at.product];
  const Matrix& w = product.w;
  const bool own_row = kColumns == 1 && product.own_row != nullptr;
  const bool late = map.matrix != nullptr && !map.early && !own_row;  // the map is an input
  if (late) WaitForInputs();
  RowSet set = own_row ? RowSet{0, at.tile < ProductTiles(product, kTiles) ? 1 : 0}
                       : RowsOf(map, rows, kColumns, static_cast<int>(blockIdx.x));
  if (set.count <= 0) return;
  // There are no others, which the compiler cannot know.
  if constexpr (kColumns == 1) set = {set.matrix, 1, nullptr, set.first, 1};
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int tiles_of_k = static_cast<int>(planes::ColumnTiles(w.cols));
  const int warps = kColumns == 1 ? product.warps : static_cast<int>(blockDim.x) / kWarp;
  const int tiles = warp < warps ? tiles_of_k : 0;
  const uint8_t* of_rows[kTiles];
  for (int m = 0; m < kTiles; ++m) {
    const int64_t row_tile = at.tile + m * (w.rows / (2 * planes::kTileRows));
    of_rows[m] = Reader(w.data + set.matrix * w.stride, row_tile * tiles_of_k).base;
  }
  char* ring = Shared::OfWarp(warp, static_cast<int>(blockDim.x) / kWarp);
  for (int first = 0; first < set.count; first += kColumns) {
    const auto copy = [&](int tile, int stage) {
      if (tile < tiles) {
        for (int m = 0; m < kTiles; ++m) {
          Reader(of_rows[m], tile)
              .CopyTo(ring + stage * Shared::kStageBytes + m * Reader::kCopyBytes);
        }
      }
      CopyAsyncCommit();
    };
    for (int i = 0; i < kStages - 1; ++i) copy(warp + i * warps, i);
    if (first == 0) LetNextBegin();
    if (first == 0 && !late) WaitForInputs();
    auto of_x = [&] {
      const auto share = static_cast<int>(map.share);
      if constexpr (kColumns == 1) {
        const float* row = own_row ? product.own_row : x.x + set[0] / share * x.ld;
        return OwnRow<kType>(row, static_cast<int>(w.cols), ring + kStages * Shared::kStageBytes);
      } else {
        return ConvertedRows<kType, kColumns>(x, set, first, share, tiles);
      }
    }();
    if constexpr (kColumns == 1) of_x.Begin(warp, warp + warps);
    float sums[kTiles][kN][4] = {};
    int stage = 0;
#pragma unroll 1
    for (int tile = warp; tile < tiles; tile += warps) {
      CopyAsyncWait<kStages - 2>();
      __syncwarp();
      copy(tile + (kStages - 1) * warps, stage == 0 ? kStages - 1 : stage - 1);
      const char* copied = ring + stage * Shared::kStageBytes;
      stage = stage + 1 == kStages ? 0 : stage + 1;
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        if (m > 0) __syncwarp();  // nothing of a tile is in registers during the one before it
        const auto part = [&]([[maybe_unused]] int n) {
          if constexpr (kColumns == 1) {
            return of_x.Tile();
          } else {
            return of_x.Tile(n, tile);
          }
        };
        MultiplyTile<kType, kColumns>(copied + m * Reader::kCopyBytes, part, sums[m]);
      }
      if constexpr (kColumns == 1) {
        if (tile + warps < tiles) of_x.Advance(tile + 2 * warps);
      }
    }
    if (first > 0) __syncthreads();
    if constexpr (kTiles == 2) PairHalves(sums);
    StoreSums<kColumns, kTiles>(sums, products, at, set, first, warps);
  }
}

template <int kType, int kColumns, int kTiles>
__global__ void __launch_bounds__(kMostWarps* kWarp, BlocksFor(kColumns, kXParts<kType>))
    BlocksKernel(const __grid_constant__ RowProducts products, Activations x, int64_t rows,
                 RowMap map) {
  const ProductTile at = ProductOf<true>(products, kTiles);
  MultiplyPart<kType, kColumns, kTiles>(products, at, x, static_cast<int>(rows), map);
}

// One row and matrices of any forms.
__global__ void __launch_bounds__(kMostWarps* kWarp, 2)
    MixedBlocksKernel(const __grid_constant__ RowProducts products, Activations x, int64_t rows,
                      RowMap map) {
  const ProductTile at = ProductOf<true>(products, 1);
  ForBlockType(products.of[at.product].w.form, [&]<int kType>() {
    MultiplyPart<kType, 1, 1>(products, at, x, static_cast<int>(rows), map);
  });
}

}  // namespace

// Every block of threads makes x integers: with more columns or many blocks that costs more than a
// launch (3 us for 18,944 columns, 13 for 152,064 rows, on an H100).
bool TakesFloats(const Matrix& w, const RowMap& map, int64_t rows) {
  constexpr int64_t kMostColumns = 8192, kMostRows = 65536;
  return ColumnsFor(map, rows) == 1 && w.cols <= kMostColumns && w.rows <= kMostRows;
}

void MultiplyBlocks(Stream& s, const RowProducts& given, const Activations& x, int64_t rows,
                    const RowMap& map, const ProductScratch& scratch) {
  if (MultiplyManyBlocks(s, given, x, rows, map, scratch)) return;
  RowProducts products = given;
  const bool floats = x.x != nullptr;
  const int columns = floats ? 1 : std::max(ColumnsFor(map, rows), 8);
  const Form form = products.of[0].w.form;
  int warps = 0;
  bool mixed = false;
  for (int i = 0; i < products.count; ++i) {
    RowProduct& p = products.of[i];
    p.warps = WarpsOf(planes::ColumnTiles(p.w.cols));
    warps = warps > p.warps ? warps : p.warps;
    mixed = mixed || p.w.form != form;
  }
  const auto launch = [&](int tiles, size_t shared, auto kernel) {
    Launch(s, ProductGrid(products, map, rows, columns, tiles), warps * kWarp, shared, kernel,
           products, x, rows, map);
  };
  if (mixed) {
    size_t shared = 0;
    for (int i = 0; i < products.count; ++i) {
      ForBlockType(products.of[i].w.form, [&]<int kType>() {
        const size_t bytes = BlocksShared<kType, 1, 1>::Bytes(warps);
        shared = shared > bytes ? shared : bytes;
      });
    }
    return launch(1, shared, MixedBlocksKernel);
  }
  ForBlockType(form, [&]<int kType>() {
    const auto of_columns = [&]<int kColumns, int kTiles>() {
      launch(kTiles, BlocksShared<kType, kColumns, kTiles>::Bytes(warps),
             BlocksKernel<kType, kColumns, kTiles>);
    };
    if (products.gated) return of_columns.template operator()<1, 2>();
    ForColumns(columns, [&]<int kColumns>() { of_columns.template operator()<kColumns, 1>(); });
  });
}

}  // namespace hadal::CUDA_NAMESPACE
