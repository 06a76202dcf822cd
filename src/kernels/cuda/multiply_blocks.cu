// Products of few rows with weights in blocks, on the integer matrix unit: 16 rows of weights by up
// to 16 rows of x, whose integers are multiplied exactly; scales and mins are applied in one chain
// of float operations along k. One row and sixteen take the same path, so a row has the same bits
// in every batch, and a weight is read once for all of them. A warp brings tiles of weights
// (block_planes.h) as whole lines into its ring of shared memory, the first ones before the kernels
// that make x have ended. Rows come as integers, one of them through the ring too; one row of
// floats is made integers by each warp itself, a tile at a time, which saves a launch. Gated, which
// only one row is, a block has the rows that gate and those that they gate. Limit: weight bytes
// over memory bandwidth; bench/gpu/NOTES.md counts the instructions.
#include <type_traits>

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

// Rows that are integers in memory, read where they are needed. Those that are not there are the
// first one; their sums are not stored.
template <int kType, int kColumns>
class ConvertedRows {
 public:
  static constexpr int kBytes = 0;  // of the ring

  __device__ ConvertedRows(const Activations& x, const RowSet& set, int first, int share, int tiles)
      : x_(x), set_(set), first_(first), share_(share), tiles_(tiles) {}
  // Finds them, which waits for the set, when weights are on their way.
  __device__ void Begin() {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int n = 0; n < kN; ++n) {
      const auto tile_of = [&](int column) {
        const int at = first_ + n * 8 + column;
        return int64_t{set_[at < set_.count ? at : first_] / share_} * tiles_;
      };
      const int64_t codes = tile_of(lane / 4) * planes::kTileK + lane % 4 * 32;
      rows_[n].high = x_.high + codes;
      rows_[n].low = kXParts<kType> == 2 ? x_.low + codes : nullptr;
      for (int c = 0; c < 2; ++c) {
        rows_[n].groups[c] = x_.groups + tile_of(lane % 4 * 2 + c) * kTileInfo;
      }
    }
  }
  __device__ void Copy(int, char*) const {}
  __device__ XRows Tile(const char*, int n, int tile) const {
    XRows r = rows_[n];
    r.high += tile * planes::kTileK;
    if (kXParts<kType> == 2) r.low += tile * planes::kTileK;
    for (int c = 0; c < 2; ++c) r.groups[c] += tile * kTileInfo;
    return r;
  }

 private:
  static constexpr int kN = TilesOfColumns(kColumns), kTileInfo = 16;
  const Activations& x_;
  const RowSet& set_;
  const int first_, share_, tiles_;
  XRows rows_[kN];
};

// The same of one row, whose tiles come to the ring with those of the weights: a load where it is
// needed would keep a warp waiting longer than its arithmetic takes. Eight rows are as many bytes
// as the weights, and were slower so.
template <int kType>
class StagedRow {
 public:
  static constexpr int kCodeBytes = kXParts<kType> * planes::kTileK;
  static constexpr int kBytes = kCodeBytes + 64;  // of a tile

  __device__ StagedRow(const Activations& x, const RowSet& set, int first, int share, int tiles)
      : x_(x), first_tile_(set[first] / share * tiles) {}
  // By a warp, with its next group of copies: codes, of two parts the low ones, scales and sums.
  __device__ void Copy(int tile, char* to) const {
    const int piece = static_cast<int>(threadIdx.x) % kWarp, at = first_tile_ + tile;
    const auto* codes = x_.high + at * planes::kTileK + piece % 8 * 16;
    if (kXParts<kType> == 2 && piece >= 8) codes += x_.low - x_.high;
    if (piece < kCodeBytes / 16) CopyShared16(to + piece * 16, codes);
    const int of_info = piece - (kWarp - 4);
    if (of_info >= 0) {
      CopyShared16(to + kCodeBytes + of_info * 16, x_.groups + at * 16 + of_info * 4);
    }
  }
  // Of a copied tile.
  __device__ static XRows Tile(const char* from, int, int) {
    const auto* codes = reinterpret_cast<const int8_t*>(from);
    const auto* groups = reinterpret_cast<const float*>(from + kCodeBytes);
    const int quarter = static_cast<int>(threadIdx.x) % 4 * 32;
    return {codes + quarter, codes + planes::kTileK + quarter, {groups, groups}};
  }

 private:
  const Activations& x_;
  const int first_tile_;
};
template <int kType, int kColumns>
using IntegerRows =
    std::conditional_t<kColumns == 1, StagedRow<kType>, ConvertedRows<kType, kColumns>>;

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

// What a block has in shared memory: the warps' sums, their rings, and what one row of floats
// needs.
template <int kType, int kColumns, int kTiles, bool kFloats>
struct BlocksShared {
  static constexpr int kXAt = kTiles * BlockReader<kType>::kCopyBytes;  // of a stage
  static constexpr int kStageBytes = kXAt + (kFloats ? 0 : IntegerRows<kType, kColumns>::kBytes);
  static constexpr int kStages = StagesFor(kStageBytes);
  static constexpr int kWarpBytes = kStages * kStageBytes + (kFloats ? OwnRow<kType>::kSpace : 0);

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
// the first gates the second. kFloats: of one row, which the warps make integers.
template <int kType, int kColumns, int kTiles, bool kFloats>
__device__ void MultiplyPart(const RowProducts& products, const ProductTile& at,
                             const Activations& given, int rows, const RowMap& map) {
  using Reader = BlockReader<kType>;
  using Shared = BlocksShared<kType, kColumns, kTiles, kFloats>;
  constexpr int kN = TilesOfColumns(kColumns), kStages = Shared::kStages;
  const RowProduct& product = products.of[at.product];
  const Matrix& w = product.w;
  const bool own_row = kColumns == 1 && product.HasOwnRow();
  const bool late = map.matrix != nullptr && !map.early && !own_row;  // the map is an input
  if (late) WaitForInputs();
  RowSet set = own_row ? RowSet{0, at.tile < ProductTiles(product, kTiles) ? 1 : 0}
                       : RowsOf(map, rows, kColumns, static_cast<int>(blockIdx.x));
  if (set.count <= 0) return;
  // There are no others, which the compiler cannot know.
  if constexpr (kColumns == 1) set = {set.matrix, 1, nullptr, set.first, 1};
  const Activations& x = own_row ? product.own_row : given;
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
    const auto copy_weights = [&](int tile, int stage) {
      for (int m = 0; m < kTiles && tile < tiles; ++m) {
        Reader(of_rows[m], tile)
            .CopyTo(ring + stage * Shared::kStageBytes + m * Reader::kCopyBytes);
      }
    };
    const auto share = own_row ? 1 : static_cast<int>(map.share);
    auto of_x = [&] {
      if constexpr (kFloats) {
        return OwnRow<kType>(x.x + set[0] / share * x.ld, static_cast<int>(w.cols),
                             ring + kStages * Shared::kStageBytes);
      } else {
        return IntegerRows<kType, kColumns>(x, set, first, share, tiles_of_k);
      }
    }();
    const auto copy_x = [&](int tile, int stage) {
      if constexpr (!kFloats) {
        if (tile < tiles) of_x.Copy(tile, ring + stage * Shared::kStageBytes + Shared::kXAt);
      }
    };
    const bool waits = first == 0 && !late;  // for x, while weights come
    for (int i = 0; i < kStages - 1; ++i) {
      copy_weights(warp + i * warps, i);
      if (!waits) copy_x(warp + i * warps, i);
      CopyAsyncCommit();
    }
    if (first == 0) LetNextBegin();
    if (waits) WaitForInputs();
    if constexpr (kFloats) {
      of_x.Begin(warp, warp + warps);
    } else if constexpr (kColumns > 1) {
      of_x.Begin();
    } else if (waits) {
      for (int i = 0; i < kStages - 1; ++i) copy_x(warp + i * warps, i);
      CopyAsyncCommit();
      CopyAsyncWait<0>();
    }
    float sums[kTiles][kN][4] = {};
    int stage = 0;
#pragma unroll 1
    for (int tile = warp; tile < tiles; tile += warps) {
      CopyAsyncWait<kStages - 2>();
      __syncwarp();
      const int ahead = tile + (kStages - 1) * warps, free = stage == 0 ? kStages - 1 : stage - 1;
      copy_weights(ahead, free);
      copy_x(ahead, free);
      CopyAsyncCommit();
      const char* copied = ring + stage * Shared::kStageBytes;
      stage = stage + 1 == kStages ? 0 : stage + 1;
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        if (m > 0) __syncwarp();  // nothing of a tile is in registers during the one before it
        const auto part = [&]([[maybe_unused]] int n) {
          if constexpr (kFloats) {
            return of_x.Tile();
          } else {
            return of_x.Tile(copied + Shared::kXAt, n, tile);
          }
        };
        MultiplyTile<kType, kColumns>(copied + m * Reader::kCopyBytes, part, sums[m]);
      }
      if constexpr (kFloats) {
        if (tile + warps < tiles) of_x.Advance(tile + 2 * warps);
      }
    }
    if (first > 0) __syncthreads();
    if constexpr (kTiles == 2) PairHalves(sums);
    StoreSums<kColumns, kTiles>(sums, products, at, set, first, warps);
  }
}

template <int kType, int kColumns, int kTiles, bool kFloats>
__global__ void __launch_bounds__(kMostWarps* kWarp, BlocksFor(kColumns, kXParts<kType>))
    BlocksKernel(const __grid_constant__ RowProducts products,
                 const __grid_constant__ Activations x, int64_t rows, RowMap map) {
  const ProductTile at = ProductOf<true>(products, kTiles);
  MultiplyPart<kType, kColumns, kTiles, kFloats>(products, at, x, static_cast<int>(rows), map);
}

// One row and matrices of any forms.
template <bool kFloats>
__global__ void __launch_bounds__(kMostWarps* kWarp, 2)
    MixedBlocksKernel(const __grid_constant__ RowProducts products,
                      const __grid_constant__ Activations x, int64_t rows, RowMap map) {
  const ProductTile at = ProductOf<true>(products, 1);
  ForBlockType(products.of[at.product].w.form, [&]<int kType>() {
    MultiplyPart<kType, 1, 1, kFloats>(products, at, x, static_cast<int>(rows), map);
  });
}

int PartsOfX(Form form) {
  return planes::FormatOf(static_cast<int>(form) - static_cast<int>(Form::kBlocks)).x_parts;
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
  const Form form = products.of[0].w.form;
  int warps = 0;
  bool mixed = false;
  for (int i = 0; i < products.count; ++i) {
    RowProduct& p = products.of[i];
    p.warps = WarpsOf(planes::ColumnTiles(p.w.cols));
    warps = warps > p.warps ? warps : p.warps;
    mixed = mixed || p.w.form != form;
  }
  // One long row of integers of one byte is read where it is needed, as eight are, which was
  // sooner; of two bytes it was not.
  constexpr int64_t kLong = 8192;
  int columns = ColumnsFor(map, rows);
  if (columns == 1 && !floats && !mixed && !products.gated && !products.of[0].HasOwnRow() &&
      map.matrix == nullptr && products.of[0].w.cols > kLong && PartsOfX(form) == 1) {
    columns = 8;
  }
  const auto launch = [&](int tiles, size_t shared, auto kernel) {
    Launch(s, ProductGrid(products, map, rows, columns, tiles), warps * kWarp, shared, kernel,
           products, x, rows, map);
  };
  if (mixed) {
    size_t shared = 0;
    for (int i = 0; i < products.count; ++i) {
      ForBlockType(products.of[i].w.form, [&]<int kType>() {
        const size_t bytes = floats ? BlocksShared<kType, 1, 1, true>::Bytes(warps)
                                    : BlocksShared<kType, 1, 1, false>::Bytes(warps);
        shared = shared > bytes ? shared : bytes;
      });
    }
    return launch(1, shared, floats ? MixedBlocksKernel<true> : MixedBlocksKernel<false>);
  }
  ForBlockType(form, [&]<int kType>() {
    const auto of_columns = [&]<int kColumns, int kTiles, bool kFloats>() {
      launch(kTiles, BlocksShared<kType, kColumns, kTiles, kFloats>::Bytes(warps),
             BlocksKernel<kType, kColumns, kTiles, kFloats>);
    };
    const auto of_one = [&]<bool kFloats>() {
      products.gated ? of_columns.template operator()<1, 2, kFloats>()
                     : of_columns.template operator()<1, 1, kFloats>();
    };
    if (columns == 8) return of_columns.template operator()<8, 1, false>();
    if (columns == 16) return of_columns.template operator()<16, 1, false>();
    floats ? of_one.template operator()<true>() : of_one.template operator()<false>();
  });
}

}  // namespace hadal::CUDA_NAMESPACE
