// Products of few rows with weights that are not in blocks.
//
// 16-bit and FP8 weights meet x on the bf16 matrix unit, one row or sixteen: 16 rows of weights are
// the instruction's tall operand and up to 16 rows of x its columns, each value of x in two bf16
// parts (off by at most 2^-17 of it). F16 weights are two such parts, exactly, and x three. One row
// wastes seven columns of eight, which costs nothing while memory is the limit, and has for that
// the same bits in every batch: a column of the instruction depends on no other. FMAs for one row
// and the unit for more would not agree; FMAs for sixteen rows would take longer than the weights
// take to come. k may be taken in any order as long as both operands agree, so a lane reads 16
// bytes of a row, which are its operands of two instructions; they wait in its ring of shared
// memory, as do up to eight rows of x. FP8 weights become bf16 ones, exactly; what 128 values of k
// add is multiplied by the scale of their tile before it is added to the rest.
//
// float32 weights, and those whose rows are no whole number of 16 bytes, go to multiply_fma.cu.
//
// Limit: weight bytes over memory bandwidth; bench/gpu/NOTES.md counts the instructions.
#include "kernels/cuda/half_products.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

// Adds what a turn gave, with the scales of both halves of the rows.
template <int kN>
__device__ void AddScaled(const float (&scales)[2], float (&turn)[kN][4], float (&sums)[kN][4]) {
  for (int n = 0; n < kN; ++n) {
    for (int i = 0; i < 4; ++i) {
      sums[n][i] = fmaf(scales[i / 2], turn[n][i], sums[n][i]);
      turn[n][i] = 0;
    }
  }
}

// Whether rows of x, as floats, come to the ring with the weights. A load where they are needed
// would keep a warp waiting: once memory is busy, the L2 takes as long as several turns.
template <Form kForm, int kColumns>
constexpr bool kStaged = kColumns == 1 || (kColumns == 8 && kForm != Form::kFp8);
template <Form kForm>
constexpr int kRowPieces = kStepK<kForm> / 4;  // of 16 bytes, of a row and turn

// The ring of a warp: bytes of a stage, stages. Two blocks have room on a multiprocessor.
template <Form kForm, int kColumns, int kTiles>
constexpr int kStepBytes =
    kTiles * kTileBytes + (kStaged<kForm, kColumns> ? kColumns * kRowPieces<kForm> * 16 : 0);
template <Form kForm, int kColumns, int kTiles>
constexpr int kStages = kColumns == 8 && kStaged<kForm, kColumns> && kTiles == 2 ? 2 : 3;
template <Form kForm, int kColumns, int kTiles>
constexpr int kRingBytes = kStages<kForm, kColumns, kTiles> * kStepBytes<kForm, kColumns, kTiles>;

// Rows of x on their way through the ring: pieces of 16 bytes, of odd rows neighbours exchanged, so
// that the lanes of two rows meet no bank twice. Those that are not there are some that are.
template <Form kForm, int kColumns>
class StagedFloats {
 public:
  __device__ StagedFloats(const float* x, const RowSet& set, int first, int share, int64_t ld,
                          int cols)
      : x_(x), cols_(cols) {
    for (int i = 0; i < kCopies; ++i) {
      const int column = first + Piece(i) / kPieces;
      const int64_t row = set[column < set.count ? column : first] / share;
      at_[i] = static_cast<int>(row * ld) + Piece(i) % kPieces * 4;
    }
  }
  // Those of k, by a warp, with its next group of copies.
  __device__ void Copy(int k, char* to) const {
    for (int i = 0; i < kCopies; ++i) {
      const int piece = Piece(i), in_row = piece % kPieces;
      if (piece < kColumns * kPieces && k + in_row * 4 < cols_) {
        CopyShared16(to + Place(piece / kPieces, in_row), x_ + at_[i] + k);
      }
    }
  }
  // A lane's eight values of half step `half` of k.
  template <int kParts>
  __device__ XHalfStep<kParts> Take(const char* from, int k, int half) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int in_row = half * (kHalfStep / 4) + lane % 4 * 2, row = kColumns == 1 ? 0 : lane / 4;
    XLoad<kParts, false> x;
    for (int i = 0; i < 2; ++i) {
      x.words[i] = {0, 0, 0, 0};
      if (k + in_row * 4 < cols_) {
        x.words[i] = *reinterpret_cast<const uint4*>(from + Place(row, in_row + i));
      }
    }
    return x.Take();
  }

 private:
  static constexpr int kPieces = kRowPieces<kForm>, kCopies = CeilDiv(kColumns * kPieces, kWarp);
  __device__ static int Piece(int i) { return i * kWarp + static_cast<int>(threadIdx.x) % kWarp; }
  __device__ static int Place(int row, int in_row) {
    return (row * kPieces + (in_row ^ row % 2)) * 16;
  }

  const float* x_;
  const int cols_;
  int at_[kCopies];
};

template <Form kForm, int kColumns, int kTiles>
constexpr int kHalvesBlocks = kTiles > 2                                           ? 1
                              : kForm != Form::kFp8&& kColumns == 1 && kTiles == 1 ? 3
                                                                                   : 2;

// kSplit: x comes in parts, from SplitRows.
template <Form kForm, int kColumns, int kTiles, bool kSplit>
__global__ void __launch_bounds__(kMostWarps* kWarp, (kHalvesBlocks<kForm, kColumns, kTiles>))
    HalvesKernel(const __grid_constant__ RowProducts products, Activations x, int64_t rows,
                 RowMap map) {
  constexpr int kN = TilesOfColumns(kColumns), kParts = kXParts<kForm>;
  constexpr int kXAt = kTiles * kTileBytes, kStep = kStepBytes<kForm, kColumns, kTiles>;
  constexpr int kRing = kStages<kForm, kColumns, kTiles>;
  constexpr bool kStagedRows = kStaged<kForm, kColumns>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  constexpr bool kOne = kColumns == 1;
  const ProductTile at = ProductOf<kOne>(products, kTiles);
  const RowProduct& product = products.of[at.product];
  const bool own_row = kOne && product.HasOwnRow();
  const bool late = map.matrix != nullptr && !map.early && !own_row;  // the map is an input
  if (late) WaitForInputs();
  RowSet set = own_row
                   ? RowSet{0, at.tile < ProductTiles(product, kTiles) ? 1 : 0}
                   : RowsOf(map, static_cast<int>(rows), kColumns, static_cast<int>(blockIdx.x));
  if (set.count <= 0) return;
  // There are no others, which the compiler cannot know.
  if constexpr (kOne) set = {set.matrix, 1, nullptr, set.first, 1};
  const Matrix& w = product.w;
  // Warps beyond those that share k wait.
  const int warps = kOne ? product.warps : static_cast<int>(blockDim.x) / kWarp;
  const int cols = warp < warps ? static_cast<int>(w.cols) : 0, stride = warps * kStepK<kForm>;
  const WeightRows<kForm> weights(w, set.matrix, at.tile * kTiles, products.gated);
  char* ring = SharedMemory() + warp * kRing * kStep;
  const auto copy_weights = [&](int k, int stage) {
    for (int m = 0; m < kTiles && k < cols; ++m) {
      weights.Copy(m, k, ring + stage * kStep + m * kTileBytes);
    }
  };
  for (int first = 0; first < set.count; first += kColumns) {
    [[maybe_unused]] const StagedFloats<kForm, kStagedRows ? kColumns : 1> staged(
        own_row ? product.own_row.x : x.x, set, first, own_row ? 1 : static_cast<int>(map.share),
        own_row ? 0 : x.ld, cols);
    const auto copy_x = [&](int k, int stage) {
      if constexpr (kStagedRows) {
        if (k < cols) staged.Copy(k, ring + stage * kStep + kXAt);
      }
    };
    const bool waits = first == 0 && !late;  // for x, while weights come
    for (int i = 0; i < kRing - 1; ++i) {
      copy_weights(warp * kStepK<kForm> + i * stride, i);
      if (!waits) copy_x(warp * kStepK<kForm> + i * stride, i);
      CopyAsyncCommit();
    }
    if (first == 0) LetNextBegin();
    if (waits) WaitForInputs();
    // Rows that are not there are some that are; their sums are not stored.
    const int left = set.count - first, split_tile = CeilDiv(cols, kHalfStep) * kParts * kWarp;
    const auto* x_split = static_cast<const uint4*>(x.split);
    const float* x_rows[kSplit || kStagedRows ? 1 : kN];
    if constexpr (kSplit) {
      x_split += int64_t{set[first] / 8} * split_tile;
    } else if constexpr (!kStagedRows) {
      for (int n = 0; n < kN; ++n) {
        const int column = n * 8 + lane / 4;
        const int64_t row = set[first + (column < left && column < kColumns ? column : 0)];
        x_rows[n] = x.x + row / static_cast<int>(map.share) * x.ld + lane % 4 * 8;
      }
    }
    // Of a turn kTurn loads of x are made, kAhead before they are needed.
    constexpr int kTurn = kStepK<kForm> / kHalfStep * kN, kAhead = kN == 1 ? 2 : 4;
    XLoad<kParts, kSplit> ahead[kAhead];
    const auto load = [&](int k, int i) {
      const int from = k + i / kN * kHalfStep, n = i % kN;
      if constexpr (kSplit) {
        const int tile = n * 8 < left ? n * split_tile : 0;
        ahead[i % kAhead].Load(x_split + tile + from / kHalfStep * (kParts * kWarp), from < cols);
      } else if constexpr (!kStagedRows) {
        ahead[i % kAhead].Load(x_rows[n] + from, from + lane % 4 * 8 < cols);
      }
    };
    for (int i = 0; i < kAhead; ++i) load(warp * kStepK<kForm>, i);
    if (kStagedRows && waits) {
      for (int i = 0; i < kRing - 1; ++i) copy_x(warp * kStepK<kForm> + i * stride, i);
      CopyAsyncCommit();
      CopyAsyncWait<0>();
    }
    float sums[kTiles][kN][4] = {};
    [[maybe_unused]] float turn[kTiles][kN][4] = {}, scales[kTiles][2];
    int stage = 0;
#pragma unroll 1
    for (int k = warp * kStepK<kForm>; k < cols; k += stride) {
      if constexpr (kForm == Form::kFp8) {
        for (int m = 0; m < kTiles; ++m) {
          for (int i = 0; i < 2; ++i) scales[m][i] = weights.Scale(m, i, k);
        }
      }
      CopyAsyncWait<kRing - 2>();
      __syncwarp();
      const int after = k + (kRing - 1) * stride, free = stage == 0 ? kRing - 1 : stage - 1;
      copy_weights(after, free);
      copy_x(after, free);
      CopyAsyncCommit();
      char* step = ring + stage * kStep;
      stage = stage + 1 == kRing ? 0 : stage + 1;
      WeightHalfStep<kForm> of_w[kTiles];
#pragma unroll
      for (int i = 0; i < kTurn; ++i) {
        if (i % kN == 0) {
          for (int m = 0; m < kTiles; ++m) of_w[m].Load(step + m * kTileBytes, i / kN);
        }
        const XHalfStep<kParts> of_x = [&] {
          if constexpr (kStagedRows) {
            return staged.template Take<kParts>(step + kXAt, k, i);
          } else {
            return ahead[i % kAhead].Take();
          }
        }();
        const int next = i + kAhead;
        load(next < kTurn ? k : k + stride, next % kTurn);
        MultiplyHalfStep<kForm, kTiles>(of_w, of_x, [&](int m) -> float(&)[4] {
          return (kForm == Form::kFp8 ? turn : sums)[m][i % kN];
        });
      }
      if constexpr (kForm == Form::kFp8) {
        for (int m = 0; m < kTiles; ++m) AddScaled(scales[m], turn[m], sums[m]);
      }
    }
    CopyAsyncWait<0>();
    __syncthreads();  // the sums lie where the rings were
    StoreSums<kColumns, kTiles>(sums, products, at, set, first, warps);
    if (first + kColumns < set.count) __syncthreads();
  }
}

// x as HalvesKernel takes it: of 8 rows and 32 values, [part][lane] 16 bytes. Rows beyond the last
// are zeros. A warp for each.
constexpr int kSplitWarps = 4;
template <int kParts>
__global__ void SplitRowsKernel(const float* from, int64_t ld, int64_t rows, int64_t cols,
                                uint4* out) {
  LetNextBegin();
  WaitForInputs();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t steps = CeilDiv<int64_t>(cols, kHalfStep);
  const int64_t step = int64_t{blockIdx.y} * kSplitWarps + threadIdx.x / kWarp;
  if (step >= steps) return;
  const int64_t row = int64_t{blockIdx.x} * 8 + lane / 4, k = step * kHalfStep + lane % 4 * 8;
  XHalfStep<kParts> x = {};
  if (row < rows && k < cols) {
    const auto* values = reinterpret_cast<const float2*>(from + row * ld + k);
    for (int i = 0; i < 4; ++i) x.Put(i, values[i].x, values[i].y);
  }
  for (int part = 0; part < kParts; ++part) {
    const auto& p = x.pairs[part];
    out[((blockIdx.x * steps + step) * kParts + part) * kWarp + lane] = {p[0], p[1], p[2], p[3]};
  }
}

template <Form kForm, int kColumns, int kTiles, bool kSplit>
void LaunchHalves(Stream& s, const RowProducts& given, const Activations& x, int64_t rows,
                  const RowMap& map) {
  RowProducts products = given;
  int warps = 0;
  for (int i = 0; i < products.count; ++i) {
    RowProduct& p = products.of[i];
    p.warps = WarpsOf(CeilDiv<int64_t>(p.w.cols, kStepK<kForm>));
    warps = p.warps > warps ? p.warps : warps;
  }
  const size_t ring = static_cast<size_t>(warps * kRingBytes<kForm, kColumns, kTiles>);
  const size_t sums = SumBytes(kColumns, kTiles, warps);
  Launch(s, ProductGrid(products, map, rows, kColumns, kTiles), warps * kWarp,
         ring > sums ? ring : sums, HalvesKernel<kForm, kColumns, kTiles, kSplit>, products, x,
         rows, map);
}

// Blocks of two tiles read x half as often, and there are fewer: for many, and for those that find
// no place at once as they are.
template <Form kForm, int kColumns>
void LaunchTiles(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                 const RowMap& map) {
  constexpr int64_t kEnough = 8 * 132;
  constexpr size_t kRing = size_t{kMostWarps} * kRingBytes<kForm, kColumns, 2>;
  const auto blocks = [&](int tiles) {
    const dim3 grid = ProductGrid(products, map, rows, kColumns, tiles);
    return int64_t{grid.x} * grid.y;
  };
  const int64_t places = int64_t{kHalvesBlocks<kForm, kColumns, 1>} * s.processors;
  const bool two = blocks(2) >= kEnough || (blocks(1) > places && blocks(1) < 2 * places);
  if (two && kRing <= s.most_shared) {
    LaunchHalves<kForm, kColumns, 2, false>(s, products, x, rows, map);
  } else {
    LaunchHalves<kForm, kColumns, 1, false>(s, products, x, rows, map);
  }
}

template <Form kForm>
void MultiplyHalves(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                    const RowMap& map) {
  if (x.split != nullptr) {
    if (rows <= 16) return LaunchHalves<kForm, 16, 2, true>(s, products, x, rows, map);
    // Before compute capability 9.0, and on desktop cards, a block may not have that much.
    constexpr size_t kFourTiles = size_t{kMostWarps} * kRingBytes<kForm, 32, 4>;
    if (kFourTiles > s.most_shared)
      return LaunchHalves<kForm, 32, 2, true>(s, products, x, rows, map);
    if (rows <= 32) return LaunchHalves<kForm, 32, 4, true>(s, products, x, rows, map);
    constexpr int kMost = kForm == Form::kFp8 ? 32 : 64;  // FP8 has twice the sums
    return LaunchHalves<kForm, kMost, 4, true>(s, products, x, rows, map);
  }
  switch (ColumnsFor(map, rows)) {
    case 1:
      return LaunchTiles<kForm, 1>(s, products, x, rows, map);
    case 8:
      return LaunchTiles<kForm, 8>(s, products, x, rows, map);
    default:
      return LaunchHalves<kForm, 16, 1, false>(s, products, x, rows, map);
  }
}

bool OnMatrixUnit(const Matrix& w) {
  return w.form == Form::kFp8 ||
         ((w.form == Form::kBf16 || w.form == Form::kF16) && w.cols % 8 == 0);
}

}  // namespace

bool TakesSplitRows(const Matrix& w, int64_t rows) { return OnMatrixUnit(w) && rows > 8; }
int64_t SplitRowBytes(const Matrix& w, int64_t rows) {
  const int parts = w.form == Form::kF16 ? kXParts<Form::kF16> : kXParts<Form::kBf16>;
  return CeilDiv<int64_t>(rows, 8) * CeilDiv<int64_t>(w.cols, kHalfStep) * parts * kWarp * 16;
}
void SplitRows(Stream& s, const float* x, int64_t ld, const Matrix& w, int64_t rows, void* out) {
  const dim3 grid(static_cast<unsigned>(CeilDiv<int64_t>(rows, 8)),
                  static_cast<unsigned>(CeilDiv<int64_t>(w.cols, kHalfStep * kSplitWarps)));
  const auto kernel = w.form == Form::kF16 ? SplitRowsKernel<kXParts<Form::kF16>>
                                           : SplitRowsKernel<kXParts<Form::kBf16>>;
  Launch(s, grid, kSplitWarps * kWarp, 0, kernel, x, ld, rows, w.cols, static_cast<uint4*>(out));
}

bool CanGate(const Matrix& w, int64_t x_ld, const RowMap& map, int64_t rows) {
  if (IsBlocks(w.form)) return TakesFloats(w, map, rows) && w.rows % (2 * kProductRows) == 0;
  const bool whole = w.form != Form::kFp8 || w.rows % kProductRows == 0;  // eights have one scale
  return OnMatrixUnit(w) && whole && x_ld % 4 == 0;
}

bool TakesOwnRows(const Matrix& w) {
  return IsBlocks(w.form) || (OnMatrixUnit(w) && w.cols % 4 == 0);
}

void MultiplyRows(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                  const RowMap& map) {
  const Matrix& w = products.of[0].w;
  if (OnMatrixUnit(w) && x.ld % 4 == 0) {
    if (w.form == Form::kFp8) return MultiplyHalves<Form::kFp8>(s, products, x, rows, map);
    if (w.form == Form::kF16) return MultiplyHalves<Form::kF16>(s, products, x, rows, map);
    return MultiplyHalves<Form::kBf16>(s, products, x, rows, map);
  }
  for (int i = 0; i < products.count; ++i) MultiplyFma(s, products.of[i], x, rows, map);
}

}  // namespace hadal::CUDA_NAMESPACE
