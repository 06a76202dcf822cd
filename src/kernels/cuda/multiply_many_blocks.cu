// Products of more than 16 rows with weights in blocks: a weight is read and unpacked once for 32
// or 64 rows of x, which come once for all warps of a block. The float operations are those of
// multiply_blocks.cu (block_products.h): what its warps add up side by side, each every so many
// tiles of k, are here chains that a block takes one after another, and their sums are added in the
// same order.
//
// A block has groups of 32 rows of weights a warp. Groups that would leave multiprocessors idle in
// a last round are split by chains among all blocks; the last warp to finish its rows of such a
// group adds the chains. How the work is shared changes no bit. Limit: issued instructions, most of
// them the float operations of scales and mins; at 32 rows of four-bit weights the memory takes
// nearly as long. bench/gpu/NOTES.md counts both.
#include <algorithm>

#include "kernels/cuda/block_products.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kTiles = 2;  // of 16 rows of weights, of a warp
constexpr int kWarpRows = kTiles * kProductRows;

// What the launch tells all blocks. Groups are numbered by rows of weights of all products, then by
// `passes` over rows of x, so that those which read the same weights run together.
struct ManyPlan {
  int rows = 0, passes = 0;
  int chains = 0;   // of k; see WarpsOf
  int stages = 0;   // of the rings
  int whole = 0;    // groups that one block computes alone, the first ones
  int units = 0;    // chains of the other groups, in consecutive ranges of which
  int sharers = 0;  // so many blocks have one each
  float* parts = nullptr;
  int* counts = nullptr;
  // Codes of whole bytes go through a permutation that the compiler does not know to be none: it
  // would move them to the registers of the matrix instruction again for every eight rows of x.
  uint32_t same_bytes = 0x3210;

  // Of x, from the first one of a group on.
  __device__ int RowsFrom(int group, int columns) const { return rows - group % passes * columns; }
  __device__ int FirstUnit(int block) const { return block * units / sharers; }
  __device__ int BlockOf(int unit) const { return ((unit + 1) * sharers - 1) / units; }
};

// The steps of a block, of one tile of k each: its range of units, then its whole groups.
class Steps {
 public:
  __device__ Steps(const ManyPlan& plan, int tiles)
      : plan_(plan), tiles_(tiles), group_(static_cast<int>(blockIdx.x)) {
    if (group_ < plan.sharers) {
      const int unit = plan.FirstUnit(group_);
      units_ = plan.FirstUnit(group_ + 1) - unit;
      group_ = plan.whole + unit / plan.chains;
      tile_ = chain_ = unit % plan.chains;
    }
    done_ = units_ == 0 && group_ >= plan.whole;
  }
  __device__ bool done() const { return done_; }
  __device__ bool splits() const { return units_ > 0; }
  __device__ int group() const { return group_; }
  __device__ int chain() const { return chain_; }
  __device__ int tile() const { return tile_; }
  __device__ bool EndsChain() const { return tile_ + plan_.chains >= tiles_; }
  // Whether the group is another one now.
  __device__ bool Next() {
    tile_ += plan_.chains;
    return tile_ >= tiles_ && NextChain();
  }

 private:
  __device__ bool NextChain() {
    const int before = group_;
    if (++chain_ == plan_.chains) {
      chain_ = 0;
      group_ += splits() ? 1 : static_cast<int>(gridDim.x);
    }
    if (splits() && --units_ == 0) {
      chain_ = 0;
      group_ = static_cast<int>(blockIdx.x);
    }
    tile_ = chain_;
    done_ = !splits() && group_ >= plan_.whole;
    return group_ != before;
  }

  const ManyPlan& plan_;
  const int tiles_;
  int units_ = 0;  // left
  int group_, chain_ = 0, tile_ = 0;
  bool done_;
};

// A warp's part of a group.
struct WarpPlace {
  int product, row_tile, first;  // of x
  bool there;                    // else it is beyond the matrix

  __device__ WarpPlace(const RowProducts& products, const ManyPlan& plan, int columns, int group) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const int in_block = static_cast<int>(blockDim.x) / kWarp * kTiles;
    int at = group / plan.passes;
    first = group % plan.passes * columns;
    product = 0;
    for (; product + 1 < products.count; ++product) {
      const int groups = ProductTiles(products.of[product], in_block);
      if (at < groups) break;
      at -= groups;
    }
    row_tile = at * in_block + warp * kTiles;
    there = int64_t{row_tile} * kProductRows < products.of[product].w.rows;
  }
};

// Shared memory: the totals of chains that are done, [warp][tile][columns / 8][lane] float4, then a
// ring of stages: x, then the warps' tiles of weights. x: [part][row] codes of a tile, then [row]
// scales and sums, as in Activations but with pieces of 16 bytes moved, so that lanes read all
// banks.
template <int kType, int kColumns>
struct ManyShared {
  static constexpr int kN = TilesOfColumns(kColumns);
  static constexpr int kInfoBytes = 4 * planes::kTileGroups * static_cast<int>(sizeof(float));
  static constexpr int kCodeBytes = kXParts<kType> * kColumns * planes::kTileK;
  static constexpr int kXBytes = kCodeBytes + kColumns * kInfoBytes;
  static constexpr int kTotalBytes = kTiles * kN * kWarp * 16;
  static constexpr int kTileBytes = BlockReader<kType>::kCopyBytes;

  __device__ __host__ static int StageBytes(int warps) {
    return kXBytes + warps * kTiles * kTileBytes;
  }
  static size_t Bytes(int warps, int stages) {
    return static_cast<size_t>(warps * kTotalBytes + stages * StageBytes(warps));
  }
  __device__ static char* Stage(int i) {
    const int warps = static_cast<int>(blockDim.x) / kWarp;
    return SharedMemory() + warps * kTotalBytes + i * StageBytes(warps);
  }
  __device__ static char* WeightsOf(char* stage) {
    return stage + kXBytes + static_cast<int>(threadIdx.x) / kWarp * kTiles * kTileBytes;
  }
  __device__ static float4* Total(int i) {
    const int thread = static_cast<int>(threadIdx.x);
    return reinterpret_cast<float4*>(SharedMemory() + thread / kWarp * kTotalBytes) + i * kWarp +
           thread % kWarp;
  }
  __device__ static int CodePiece(int row, int piece) {
    return row * planes::kTileK + (piece ^ (row & 1)) * 16;
  }
  // Of 16 bytes of the four groups: 0 scales, 1 sums, 2 and 3 sums of halves.
  __device__ static int InfoPiece(int row, int piece) {
    return kCodeBytes + row * kInfoBytes + (piece + row / 2) % 4 * 16;
  }
};

// Eight rows of x of a tile: of a lane the codes of row lane / 4, scales and sums of rows
// lane % 4 * 2 and the next.
template <int kType, int kColumns>
struct SharedX {
  using Shared = ManyShared<kType, kColumns>;
  static constexpr int kParts = kXParts<kType>, kGroups = planes::kTileGroups;
  static constexpr GroupSums kSums = kXSums<kType>;
  static constexpr bool kOffsetSums = kParts == 1;
  uint32_t codes[kParts][2 * kGroups];  // [group * 2 + half]
  float scale[2][kGroups], minus_offset[2][kGroups];
  float sums[2][kSums == GroupSums::kHalves ? 2 : 1][kGroups];

  __device__ SharedX(const char* x, int n) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int part = 0; part < kParts; ++part) {
      for (int pair = 0; pair < 2; ++pair) {
        const int at = part * kColumns * planes::kTileK +
                       Shared::CodePiece(n * 8 + lane / 4, lane % 4 * 2 + pair);
        const uint4 v = *reinterpret_cast<const uint4*>(x + at);
        uint32_t* to = codes[part] + pair * 4;
        to[0] = v.x;
        to[1] = v.y;
        to[2] = v.z;
        to[3] = v.w;
      }
    }
    for (int c = 0; c < 2; ++c) {
      const int row = n * 8 + lane % 4 * 2 + c;
      Load(x + Shared::InfoPiece(row, 0), scale[c]);
      if constexpr (kSums == GroupSums::kWhole) {
        Load(x + Shared::InfoPiece(row, 1), sums[c][0]);
      } else if constexpr (kSums == GroupSums::kHalves) {
        Load(x + Shared::InfoPiece(row, 2), sums[c][0]);
        Load(x + Shared::InfoPiece(row, 3), sums[c][1]);
      }
      for (int g = 0; g < kGroups; ++g) minus_offset[c][g] = -cpu::kSumOffset * scale[c][g];
    }
  }

 private:
  __device__ static void Load(const char* from, float (&to)[kGroups]) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
  }
};

// Brings the block's steps into the ring, some ahead of those that are multiplied.
template <int kType, int kColumns>
class StepLoader {
 public:
  using Shared = ManyShared<kType, kColumns>;

  __device__ StepLoader(const RowProducts& products, const Activations& x, const ManyPlan& plan,
                        int tiles)
      : products_(products), x_(x), plan_(plan), tiles_(tiles), steps_(plan, tiles) {
    Find();
  }
  __device__ void Next() {
    if (steps_.Next()) Find();
  }
  // A warp's own tiles.
  __device__ void CopyWeights(char* stage) const {
    if (steps_.done() || rows_[0] == nullptr) return;
    for (int m = 0; m < kTiles; ++m) {
      BlockReader<kType>(rows_[m], steps_.tile())
          .CopyTo(Shared::WeightsOf(stage) + m * Shared::kTileBytes);
    }
  }
  // By the whole block. Rows that are not there become zeros.
  __device__ void CopyX(char* stage) const {
    if (steps_.done()) return;
    constexpr int kPieces = planes::kTileK / 16, kPerRow = kXParts<kType> * kPieces;
    const auto thread = static_cast<int>(threadIdx.x);
    const int part = thread % kPerRow / kPieces, piece = thread % kPieces;
    CopyRows<kPerRow, planes::kTileK>(
        part == 0 ? x_.high : x_.low, piece,
        stage + part * kColumns * planes::kTileK + Shared::CodePiece(thread / kPerRow, piece));
    if (!IsRead(thread % 4)) return;
    CopyRows<4, Shared::kInfoBytes>(x_.groups, thread % 4,
                                    stage + Shared::InfoPiece(thread / 4, thread % 4));
  }

 private:
  __device__ void Find() {
    if (steps_.done()) return;
    const WarpPlace place(products_, plan_, kColumns, steps_.group());
    first_ = place.first;
    const Matrix& w = products_.of[place.product].w;
    const int last = static_cast<int>(planes::RowTiles(w.rows)) - 1;
    for (int m = 0; m < kTiles; ++m) {
      const int64_t row_tile = min(place.row_tile + m, last);
      rows_[m] = place.there ? BlockReader<kType>(w.data, row_tile * tiles_).base : nullptr;
    }
  }
  __device__ static constexpr bool IsRead(int piece) {
    if (piece == 0) return true;
    return piece == 1 ? kXSums<kType> == GroupSums::kWhole : kXSums<kType> == GroupSums::kHalves;
  }
  // A thread's piece of every so many rows, of which each has kBytes of a tile.
  template <int kPerRow, int kBytes>
  __device__ void CopyRows(const void* x, int piece, char* to) const {
    const int step = static_cast<int>(blockDim.x) / kPerRow;
    static_assert(kMostWarps / 2 * kWarp / kPerRow % 8 == 0);  // `to` is moved alike in each row
    const auto* all = static_cast<const char*>(x);
    int row = static_cast<int>(threadIdx.x) / kPerRow;
    int64_t from = (int64_t{first_ + row} * tiles_ + steps_.tile()) * kBytes + piece * 16;
    for (; row < kColumns; row += step) {
      const bool there = first_ + row < plan_.rows;
      CopyAsync16(to, there ? all + from : all, there);
      from += int64_t{step} * tiles_ * kBytes;
      to += step * kBytes;
    }
  }

  const RowProducts& products_;
  const Activations& x_;
  const ManyPlan& plan_;
  const int tiles_;
  Steps steps_;
  const uint8_t* rows_[kTiles];
  int first_ = 0;
};

// [tile][columns / 8] fragments of the matrix instruction.
template <int kColumns>
using ManySums = float[kTiles][TilesOfColumns(kColumns)][4];

// sums += a step with `left` rows of x. same_bytes: see ManyPlan.
template <int kType, int kColumns>
__device__ void MultiplyStep(char* stage, int left, uint32_t same_bytes, ManySums<kColumns>& sums) {
  using Reader = BlockReader<kType>;
  using Shared = ManyShared<kType, kColumns>;
  using X = SharedX<kType, kColumns>;
  GroupWeights weights[kTiles][planes::kTileGroups];
  typename Reader::RowFactors factors[kTiles][2];
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
    const WeightTile<kType> w(Reader(Shared::WeightsOf(stage) + m * Shared::kTileBytes),
                              static_cast<int>(threadIdx.x) % kWarp);
#pragma unroll
    for (int g = 0; g < planes::kTileGroups; ++g) {
      weights[m][g] = w.Group(g);
      if constexpr (Reader::kFormat.low_bits == 8) {
        for (uint32_t& a : weights[m][g].a) a = BytePermute(a, 0, same_bytes);
      }
    }
    for (int half = 0; half < 2; ++half) factors[m][half] = w.factors[half];
  }
#pragma unroll
  for (int n = 0; n < Shared::kN; ++n) {
    if (n > 0 && n % 2 == 0 && n * 8 >= left) break;
    const X x(stage, n);
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      TileSums of_tile;
#pragma unroll
      for (int g = 0; g < planes::kTileGroups; ++g) {
        MultiplyGroup<kType, X, false>(weights[m][g], x, g, of_tile);
      }
      AddTile<kType, false>(factors[m], of_tile, sums[m][n]);
    }
  }
}

// Calls fn(i, four sums) for every fragment, fragment i of a warp.
template <int kColumns, class F>
__device__ void ForFragments(ManySums<kColumns>& sums, const F& fn) {
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < TilesOfColumns(kColumns); ++n) {
      fn(m * TilesOfColumns(kColumns) + n, sums[m][n]);
    }
  }
}
__device__ inline float4 AsOne(const float (&v)[4]) { return {v[0], v[1], v[2], v[3]}; }
__device__ inline void AddTo(float (&sum)[4], const float4& before) {
  sum[0] = before.x + sum[0];
  sum[1] = before.y + sum[1];
  sum[2] = before.z + sum[2];
  sum[3] = before.w + sum[3];
}

template <int kColumns>
__device__ void StoreRows(ManySums<kColumns>& sums, const RowProducts& products,
                          const WarpPlace& place, int rows) {
  const RowProduct& product = products.of[place.product];
  const Output& out = product.out;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  ForFragments<kColumns>(sums, [&](int i, const float(&sum)[4]) {
    constexpr int kN = TilesOfColumns(kColumns);
    for (int j = 0; j < 4; ++j) {
      const int n = (place.row_tile + i / kN) * kProductRows + lane / 4 + j / 2 * 8;
      const int row = place.first + i % kN * 8 + lane % 4 * 2 + j % 2;
      if (n >= product.w.rows || row >= rows) continue;
      out.data[row * out.ld + n] = out.bias == nullptr ? sum[j] : sum[j] + out.bias[n];
    }
  });
}

// A warp's rows of a group that blocks share: the first block's chains added up, in the place of
// the first chain, the others each alone.
template <int kColumns>
class SharedGroup {
 public:
  __device__ SharedGroup(const ManyPlan& plan, int group)
      : plan_(plan),
        first_unit_((group - plan.whole) * plan.chains),
        first_block_(plan.BlockOf(first_unit_)),
        last_block_(plan.BlockOf(first_unit_ + plan.chains - 1)) {
    const int warps = static_cast<int>(blockDim.x) / kWarp;
    warp_ = (group - plan.whole) * warps + static_cast<int>(threadIdx.x) / kWarp;
  }
  // Chains of a block end before this one.
  __device__ int EndOf(int block) const {
    return min(plan_.FirstUnit(block + 1) - first_unit_, plan_.chains);
  }
  __device__ bool IsFirst(int block) const { return block == first_block_; }
  __device__ bool IsAlone() const { return first_block_ == last_block_; }

  __device__ void Put(int chain, ManySums<kColumns>& sums) const {
    ForFragments<kColumns>(sums, [&](int i, const float(&sum)[4]) { *At(chain, i) = AsOne(sum); });
  }
  // Whether this is the last block to have put its chains.
  __device__ bool Count() const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    int last = 0;
    __syncwarp();
    if (lane == 0) {
      int* count = plan_.counts + warp_;
      last = CountBlock(count) == last_block_ - first_block_ ? 1 : 0;
      if (last != 0) *count = 0;
    }
    last = __shfl_sync(~0u, last, 0);
    __syncwarp();
    return last != 0;
  }
  // From the L2: other blocks have written it.
  __device__ void Sum(ManySums<kColumns>& sums) const {
    ForFragments<kColumns>(sums, [&](int i, float(&sum)[4]) {
      const float4 v = __ldcg(At(0, i));
      sum[0] = v.x;
      sum[1] = v.y;
      sum[2] = v.z;
      sum[3] = v.w;
    });
#pragma unroll 2
    for (int chain = EndOf(first_block_); chain < plan_.chains; ++chain) {
      ForFragments<kColumns>(sums, [&](int i, float(&sum)[4]) {
        const float4 v = __ldcg(At(chain, i));
        sum[0] += v.x;
        sum[1] += v.y;
        sum[2] += v.z;
        sum[3] += v.w;
      });
    }
  }

 private:
  __device__ float4* At(int chain, int i) const {
    constexpr int kFragments = kTiles * TilesOfColumns(kColumns);
    const int64_t at = (int64_t{warp_} * plan_.chains + chain) * kFragments + i;
    return reinterpret_cast<float4*>(plan_.parts) + at * kWarp +
           static_cast<int>(threadIdx.x) % kWarp;
  }

  const ManyPlan& plan_;
  const int first_unit_, first_block_, last_block_;
  int warp_;
};

// After the last step of a chain: adds its sums to those of the chains before it, or puts them
// where the others find them; after the last chain stores the rows.
template <int kType, int kColumns>
__device__ void EndChain(const RowProducts& products, const ManyPlan& plan, const Steps& now,
                         ManySums<kColumns>& sums) {
  using Shared = ManyShared<kType, kColumns>;
  const WarpPlace place(products, plan, kColumns, now.group());
  if (!place.there) return;
  const int block = static_cast<int>(blockIdx.x), chain = now.chain();
  int end = plan.chains;
  bool adds = true, alone = true;
  if (now.splits()) {
    const SharedGroup<kColumns> shared(plan, now.group());
    end = shared.EndOf(block);
    adds = shared.IsFirst(block);
    alone = shared.IsAlone();
  }
  if (adds && chain > 0) {
    ForFragments<kColumns>(sums, [](int i, float(&sum)[4]) { AddTo(sum, *Shared::Total(i)); });
  }
  if (adds && chain + 1 < end) {
    ForFragments<kColumns>(sums,
                           [](int i, const float(&sum)[4]) { *Shared::Total(i) = AsOne(sum); });
    return;
  }
  if (!alone) {
    const SharedGroup<kColumns> shared(plan, now.group());
    shared.Put(adds ? 0 : chain, sums);
    if (chain + 1 < end || !shared.Count()) return;
    shared.Sum(sums);
  }
  StoreRows<kColumns>(sums, products, place, plan.rows);
}

__device__ inline void WaitForStage(int stages) {
  stages == 4 ? CopyAsyncWait<2>() : CopyAsyncWait<1>();
}

template <int kType, int kColumns>
__global__ void __launch_bounds__(kMostWarps* kWarp, 1)
    ManyBlocksKernel(const __grid_constant__ RowProducts products,
                     const __grid_constant__ Activations x, const __grid_constant__ ManyPlan plan) {
  using Shared = ManyShared<kType, kColumns>;
  const auto tiles = static_cast<int>(planes::ColumnTiles(products.of[0].w.cols));
  StepLoader<kType, kColumns> loader(products, x, plan, tiles);
  {
    StepLoader<kType, kColumns> loader_of_x = loader;
    for (int i = 0; i < plan.stages - 1; ++i, loader.Next()) loader.CopyWeights(Shared::Stage(i));
    LetNextBegin();
    WaitForInputs();
    for (int i = 0; i < plan.stages - 1; ++i, loader_of_x.Next()) {
      loader_of_x.CopyX(Shared::Stage(i));
      CopyAsyncCommit();
    }
  }
  int stage = 0;
  ManySums<kColumns> sums = {};
  Steps now(plan, tiles);
  int left = plan.RowsFrom(now.group(), kColumns);
#pragma unroll 1
  while (!now.done()) {
    WaitForStage(plan.stages);
    __syncthreads();  // all of it is here, and nobody reads the stage before it any more
    char* next = Shared::Stage(stage == 0 ? plan.stages - 1 : stage - 1);
    loader.CopyWeights(next);
    loader.CopyX(next);
    CopyAsyncCommit();
    loader.Next();
    MultiplyStep<kType, kColumns>(Shared::Stage(stage), left, plan.same_bytes, sums);
    stage = stage + 1 == plan.stages ? 0 : stage + 1;
    if (now.EndsChain()) {
      EndChain<kType, kColumns>(products, plan, now, sums);
      ForFragments<kColumns>(sums,
                             [](int, float(&sum)[4]) { sum[0] = sum[1] = sum[2] = sum[3] = 0; });
    }
    if (now.Next()) left = plan.RowsFrom(now.group(), kColumns);
  }
}

// How the card computes it.
struct ManyLaunch {
  int columns = 0;  // 0: it cannot
  int warps = 0, blocks = 0;
  size_t shared = 0;
  ManyPlan plan = {};
  ProductMemory memory;
  int64_t chains_at_once = 0;  // of 32 rows: that a multiprocessor has one after another
};

// As many blocks to a multiprocessor as have kMostWarps. Every block has as many whole groups; what
// is left is split, unless that is no sooner or takes too much memory.
void ShareWork(const Stream& s, const RowProducts& products, ManyLaunch& launch) {
  constexpr int64_t kMostFloats = int64_t{8} << 20;
  constexpr size_t kOfBlock = 1024;  // bytes that the card keeps of each
  ManyPlan& plan = launch.plan;
  plan.chains = WarpsOf(planes::ColumnTiles(products.of[0].w.cols));
  int groups = 0;
  for (int i = 0; i < products.count; ++i) {
    groups += ProductTiles(products.of[i], launch.warps * kTiles) * plan.passes;
  }
  const size_t room = (s.most_shared + kOfBlock) / (launch.shared + kOfBlock);
  const int blocks = s.processors * std::min(kMostWarps / launch.warps, static_cast<int>(room));
  const int left = groups % blocks;
  const int64_t warps = int64_t{left} * launch.warps;
  const int64_t floats = warps * plan.chains * kWarpRows * launch.columns;
  plan.whole = groups;
  if (CeilDiv(left * plan.chains, blocks) < plan.chains && floats <= kMostFloats) {
    plan.whole -= left;
    plan.units = left * plan.chains;
    plan.sharers = std::min(blocks, plan.units);
    launch.memory = {floats, warps};
  }
  launch.blocks = std::min(blocks, std::max(plan.whole, plan.sharers));
  launch.chains_at_once = CeilDiv(groups * plan.chains, s.processors) * launch.warps;
}

// Fewer warps where they leave a multiprocessor less to do. At least three stages.
template <int kType, int kColumns>
ManyLaunch LaunchOfColumns(const Stream& s, const RowProducts& products, int64_t rows) {
  ManyLaunch best;
  for (const int warps : {kMostWarps, kMostWarps / 2}) {
    ManyLaunch launch;
    launch.columns = kColumns;
    launch.warps = warps;
    launch.plan.rows = static_cast<int>(rows);
    launch.plan.passes = static_cast<int>(CeilDiv<int64_t>(rows, kColumns));
    launch.plan.stages = ManyShared<kType, kColumns>::Bytes(warps, 4) <= s.most_shared ? 4 : 3;
    launch.shared = ManyShared<kType, kColumns>::Bytes(warps, launch.plan.stages);
    if (launch.shared > s.most_shared) continue;
    ShareWork(s, products, launch);
    if (best.columns == 0 || launch.chains_at_once < best.chains_at_once) best = launch;
  }
  return best;
}

ManyLaunch LaunchOf(const Stream& s, const RowProducts& products, int64_t rows) {
  ManyLaunch launch;
  ForBlockType(products.of[0].w.form, [&]<int kType>() {
    if (rows > 32) launch = LaunchOfColumns<kType, 64>(s, products, rows);
    if (launch.columns == 0) launch = LaunchOfColumns<kType, 32>(s, products, rows);
  });
  return launch;
}

bool Takes(const Stream& s, const RowProducts& products, int64_t rows, const RowMap& map) {
  int64_t weights = 0;
  for (int i = 0; i < products.count; ++i) weights += products.of[i].w.rows * products.of[i].w.cols;
  const bool plain =
      map.matrix == nullptr && map.order.rows == nullptr && map.modulo == 0 && map.share == 1;
  return plain && rows > kFewRows && weights >= s.many_blocks_from;
}

}  // namespace

ProductMemory BlockSpace(const Stream& s, const RowProducts& products, int64_t rows,
                         const RowMap& map) {
  if (!Takes(s, products, rows, map)) return {};
  return LaunchOf(s, products, rows).memory;
}

bool MultiplyManyBlocks(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                        const RowMap& map, const ProductScratch& scratch) {
  if (!Takes(s, products, rows, map)) return false;
  ManyLaunch launch = LaunchOf(s, products, rows);
  if (launch.columns == 0) return false;
  launch.plan.parts = scratch.sums;
  launch.plan.counts = scratch.counts;
  ForBlockType(products.of[0].w.form, [&]<int kType>() {
    const auto kernel =
        launch.columns == 64 ? ManyBlocksKernel<kType, 64> : ManyBlocksKernel<kType, 32>;
    Launch(s, dim3(static_cast<unsigned>(launch.blocks)), launch.warps * kWarp, launch.shared,
           kernel, products, x, launch.plan);
  });
  return true;
}

}  // namespace hadal::CUDA_NAMESPACE
