// Attention of answers over a bf16 cache of MLA's latents by the matrix instructions of warpgroups
// (sm_90a). A block takes one row, some of its heads and some parts of its keys, one part after
// another. The 64 rows of the matrix unit are 64 heads, or, where answers are exact, the high and
// the low bf16 parts of 32 heads. Limit: the matrix unit, and how soon a tile comes.
//
// The first warpgroup multiplies the queries, some of which stay in its registers, with 64 keys and
// makes the probabilities. The two others multiply those with half of the values' columns each:
// keys and values are the same latents in shared memory. There the copy engine brings them, as soon
// as one of two tiles is free.
#include "kernels/cuda/latent_tiles.h"
#include "kernels/cuda/tile_copies.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kRows = 64;  // of the matrix unit
constexpr int kHalf = kLatentValues / 2;
constexpr int kThreads = 3 * kWarpgroup;
constexpr int kKeys = kLatentKeys;                                          // of a tile
constexpr int kBlocks = kLatentColumns / 64, kEightBytes = kBlocks * 1024;  // of eight keys
constexpr int kTileBytes = kKeys / 8 * kEightBytes;
// Of 16 columns each: those whose queries stay in registers come first.
constexpr int kSteps = kLatentColumns / 16, kSharedBlocks = 6, kSharedSteps = 4 * kSharedBlocks;
constexpr int kOwnSteps = kSteps - kSharedSteps;
// Sums shrink when a score is larger than their base by more than so much, in log2 units: until
// then weights are at most 2 to this power.
constexpr float kSlack = 8;

// Shared memory: tiles, the other queries, the probabilities of two tiles, then for two tiles what
// every row's sums shrink by and, at the end of a part, the sum of its weights.
constexpr int kTiles = 2, kQueriesAt = kTiles * kTileBytes;
constexpr int kWeightsAt = kQueriesAt + kSharedBlocks * kRows * 128;
constexpr int kStateAt = kWeightsAt + 2 * kRows * 128, kFillsAt = kStateAt + 2 * 2 * kRows * 4;
constexpr int kShared = kFillsAt + kTiles * 8;

// Barriers; of even tiles, the next of odd ones.
enum : int { kWeightsReady = 1, kWeightsFree = 3, kTileFree = 5, kZeroed = 7, kQueriesReady = 9 };

__device__ char* Tile(int tile) { return SharedMemory() + tile % kTiles * kTileBytes; }
__device__ char* Weights(int tile) { return SharedMemory() + kWeightsAt + tile % 2 * kRows * 128; }
__device__ float* State(int tile) {
  return reinterpret_cast<float*>(SharedMemory() + kStateAt) + tile % 2 * 2 * kRows;
}
__device__ FillBarrier* Fill(int tile) {
  return reinterpret_cast<FillBarrier*>(SharedMemory() + kFillsAt) + tile % kTiles;
}
__device__ void AwaitTile(int tile) { AwaitFill(Fill(tile), tile / kTiles); }

// kRowsOfHead: two where answers are exact.
template <int kRowsOfHead>
struct BlockOf {
  static constexpr int kEach = 2 / kRowsOfHead;  // heads of a thread
  static constexpr int kHeads = kRows / kRowsOfHead;

  const LatentProblem& p;
  const LatentWork& work;
  const int lane, warp;    // warp of the warpgroup
  const int head0, heads;  // of the block

  __device__ BlockOf(const LatentProblem& problem, const LatentWork& of)
      : p(problem),
        work(of),
        lane(static_cast<int>(threadIdx.x) % kWarp),
        warp(static_cast<int>(threadIdx.x) % kWarpgroup / kWarp),
        head0(static_cast<int>(blockIdx.x) * kHeads),
        heads(min(kHeads, static_cast<int>(problem.a.group) - head0)) {}

  // The head, of the block's, of a thread's row of sums.
  __device__ int HeadOf(int each) const { return (warp * kEach + each) * 8 + lane / 4; }
  // Whether the warp has heads at all.
  __device__ bool Works() const { return warp * kEach * 8 < heads; }

  // Columns d and d + 1 of a head.
  __device__ float2 Two(int each, int d) const {
    const int head = HeadOf(each);
    if (head >= heads) return {0, 0};
    const int64_t query = work.row * p.a.group + head0 + head;
    if (d < kLatentValues) {
      return *reinterpret_cast<const float2*>(p.q.data + query * p.q.ld + d);
    }
    const float* rest = p.q.rest + query * p.q.rest_ld + d - kLatentValues;  // of any alignment
    return {rest[0], rest[1]};
  }
  // The fragment of 16 columns.
  __device__ void TakeStep(int step, uint32_t (&to)[4]) const {
    const float scale = p.a.scale * kLog2E;
#pragma unroll
    for (int eight = 0; eight < 2; ++eight) {
      const int d = step * 16 + eight * 8 + lane % 4 * 2;
#pragma unroll
      for (int each = 0; each < kEach; ++each) {
        const float2 v = Two(each, d);
        const TwoParts two = SplitBf16(v.x * scale, v.y * scale);
        to[eight * 2 + each] = two.high;
        if (kRowsOfHead == 2) to[eight * 2 + 1] = two.low;
      }
    }
  }
  // Of the queries in shared memory, those that a warpgroup fetches.
  __device__ void TakeShared(int group) const {
    constexpr int kGroups = kThreads / kWarpgroup;
    static_assert(kSharedSteps % kGroups == 0);
    const int row = warp * 16 + lane / 4;
#pragma unroll 4
    for (int i = 0; i < kSharedSteps / kGroups; ++i) {
      const int step = group * (kSharedSteps / kGroups) + i;
      uint32_t of[4];
      TakeStep(kOwnSteps + step, of);
      char* block = SharedMemory() + kQueriesAt + step / 4 * kRows * 128;
      for (int j = 0; j < 4; ++j) {
        char* chunk = ChunkAt(block, 128, row + j % 2 * 8, step % 4 * 2 + j / 2);
        *reinterpret_cast<uint32_t*>(chunk + lane % 4 * 4) = of[j];
      }
    }
    FenceShared();
  }
};

// ---- the first warpgroup

template <int kRowsOfHead>
struct Scores : BlockOf<kRowsOfHead> {
  using Block = BlockOf<kRowsOfHead>;
  using Block::kEach, Block::p, Block::work, Block::lane, Block::warp, Block::head0, Block::heads;

  uint32_t q[kOwnSteps][4];  // fragments, in log2 units
  float m[kEach], l[kEach];  // l: of the thread's columns

  __device__ Scores(const LatentProblem& problem, const LatentWork& of) : Block(problem, of) {}

  __device__ void TakeQueries() {
    this->TakeShared(0);
#pragma unroll
    for (int step = 0; step < kOwnSteps; ++step) this->TakeStep(step, q[step]);
    SyncThreads(kQueriesReady, kThreads);
  }
  __device__ void Multiply(int tile, float (&s)[kKeys / 8][4]) const {
    WgmmaFence(s);
    const SharedOperand keys = AlongK(Tile(tile), 0, kEightBytes);
    const SharedOperand queries = AlongK(SharedMemory() + kQueriesAt, 0);
    const auto at = [](int step, int block) { return step / 4 * block + step % 4 * 32; };
#pragma unroll
    for (int step = 0; step < kOwnSteps; ++step) {
      WgmmaBf16<Major::kK>(s, q[step], keys + at(step, 1024), step == 0 ? 0 : 1);
    }
#pragma unroll
    for (int step = 0; step < kSharedSteps; ++step) {
      WgmmaBf16<Major::kK>(s, queries + at(step, kRows * 128), keys + at(kOwnSteps + step, 1024));
    }
    WgmmaCommit();
    WgmmaWait<0>(s);
  }
  // Scores become weights of n keys, in their place; `first`: of a part. Gives what sums shrink by.
  __device__ void Weigh(float (&s)[kKeys / 8][4], bool first, int n, float (&by)[kEach]) {
#pragma unroll
    for (int each = 0; each < kEach; ++each) {
      const auto score = [&](int i) -> float& { return s[i / 2][2 * each + i % 2]; };
      if (kRowsOfHead == 2) {
#pragma unroll
        for (int i = 0; i < kKeys / 4; ++i) {
          score(i) = JoinScore(score(i), s[i / 2][i % 2 + 2]);
        }
      }
      if (n < kKeys) {
#pragma unroll
        for (int i = 0; i < kKeys / 4; ++i) {
          if (i / 2 * 8 + lane % 4 * 2 + i % 2 >= n) score(i) = -INFINITY;
        }
      }
      float largest = score(0);
#pragma unroll
      for (int i = 1; i < kKeys / 4; ++i) largest = fmaxf(largest, score(i));
      largest = QuadMax(largest);
      const float before = first ? -INFINITY : m[each];
      if (first || largest > before + kSlack) m[each] = fmaxf(before, largest);
      const float base = BaseOf(m[each]);
      const float shrink = Exp2(before - base);
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kKeys / 4; ++i) {
        score(i) = Exp2(score(i) - base);
        sum += score(i);
      }
      l[each] = first ? sum : fmaf(l[each], shrink, sum);
      by[each] = first ? 1.0f : shrink;  // sums of a part begin with its first product
    }
  }
  // For the other warpgroups.
  __device__ void Share(int tile, const float (&s)[kKeys / 8][4], const float (&by)[kEach],
                        bool ends, const float (&sums)[kEach]) const {
    const int me = ComputedHere(lane), row = warp * 16 + me / 4;
    const auto store = [&](int down, int j, uint32_t two) {
      char* chunk = ChunkAt(Weights(tile), 128, row + down, j);
      *reinterpret_cast<uint32_t*>(chunk + me % 4 * 4) = two;
    };
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
      const TwoParts two = SplitBf16(s[j][0], s[j][1]);
      store(0, j, two.high);
      store(8, j, kRowsOfHead == 2 ? two.low : PackBf16(s[j][2], s[j][3]));
    }
    if (me % 4 == 0) {
#pragma unroll
      for (int high = 0; high < 2; ++high) {
        const int each = kRowsOfHead == 2 ? 0 : high;
        State(tile)[row + high * 8] = by[each];
        if (ends) State(tile)[kRows + row + high * 8] = sums[each];
      }
    }
    FenceShared();
  }
  __device__ void StoreState(int tile, const float (&sums)[kEach]) const {
    if (work.OnlyPart() || lane % 4 != 0) return;
    const Parts parts = LatentParts(p, work.row, head0);
#pragma unroll
    for (int each = 0; each < kEach; ++each) {
      const int head = this->HeadOf(each);
      if (head >= heads) continue;
      *reinterpret_cast<float2*>(parts.State(work.PartOf(tile), head)) = {m[each], sums[each]};
    }
  }
  __device__ void Run() {
    const int tiles = work.tiles(), of_part = work.PartTiles();
    for (int tile = 0, in_part = 0; tile < tiles; ++tile) {
      const bool first = in_part == 0, ends = in_part + 1 == of_part || tile + 1 == tiles;
      in_part = ends ? 0 : in_part + 1;
      float s[kKeys / 8][4], by[kEach], sums[kEach];
      AwaitTile(tile);
      Multiply(tile, s);
      if (this->Works()) {
        Weigh(s, first, work.KeysOf(tile), by);
#pragma unroll
        for (int each = 0; each < kEach; ++each) sums[each] = ends ? QuadSum(l[each]) : 0;
      }
      if (tile > 1) SyncThreads(kWeightsFree + tile % 2, kThreads);
      if (this->Works()) Share(tile, s, by, ends, sums);
      ArriveThreads(kWeightsReady + tile % 2, kThreads);
      if (ends && this->Works()) StoreState(tile, sums);
    }
  }
};

// ---- the two others, each with a half of the values' columns; the first warp of both brings tiles

template <int kRowsOfHead>
struct Values : BlockOf<kRowsOfHead> {
  using Block = BlockOf<kRowsOfHead>;
  using Block::kEach, Block::p, Block::work, Block::lane, Block::warp, Block::head0, Block::heads;
  using Sums = float[kHalf / 8][4];

  const BoxMap& latents;
  const int half;
  static constexpr int kAhead = kWarp / (kKeys / 8);  // tiles
  int slots = 0, later = 0;                           // of whoever brings the tiles

  __device__ Values(const LatentProblem& problem, const LatentWork& of, const BoxMap& tiles)
      : Block(problem, of), latents(tiles), half(static_cast<int>(threadIdx.x) / kWarpgroup - 1) {}

  __device__ bool Brings() const { return half == 0 && warp == 0; }
  // Of eight keys each, one for each lane, from a tile on; where there is no key another one comes.
  __device__ int Slots(int tile) const {
    const int key = work.begin + tile * kKeys + lane * 8;
    return SlotOf(p.index, work.table, key < work.end ? key : work.begin);
  }
  __device__ void Bring(int tile) {
    if (tile % kAhead == 0) {
      slots = later;
      later = Slots(tile + kAhead);
    }
    if (lane == 0) ExpectFill(Fill(tile), kTileBytes);
#pragma unroll
    for (int i = 0; i < kKeys / 8; ++i) {
      const int slot = __shfl_sync(~0u, slots, tile % kAhead * (kKeys / 8) + i);
      if (lane == 0) CopyBox(latents, Fill(tile), Tile(tile) + i * kEightBytes, 0, slot, 0);
    }
  }
  __device__ void Begin() {
    if (Brings()) {
      later = Slots(0);
      for (int tile = 0; tile < min(kTiles, work.tiles()); ++tile) {
        // Keys that the step itself writes are there only after the wait.
        if (work.begin + (tile + 1) * kKeys > work.stored) WaitForInputs();
        Bring(tile);
      }
    }
    WaitForInputs();
  }

  // Rows beyond the last key have a weight of zero, which must not meet what is not finite.
  __device__ void Clear(int tile) const {
    const int n = work.KeysOf(tile), at = static_cast<int>(threadIdx.x) % kWarpgroup;
    if (n >= kKeys) return;
    char* column = Tile(tile) + (half * (kHalf / 64) + lane / 8) * 1024;
    for (int key = n + at / kWarp; key < kKeys; key += kWarpgroup / kWarp) {
      *reinterpret_cast<uint4*>(ChunkAt(column + key / 8 * kEightBytes, 128, key % 8, lane % 8)) = {
          0, 0, 0, 0};
    }
    FenceShared();
    SyncThreads(kZeroed + half, kWarpgroup);
  }
  // Sums of rows lane / 4 and lane / 4 + 8.
  __device__ void Shrink(int tile, Sums& sums) const {
    const int row = warp * 16 + lane / 4;
    const float by[2] = {State(tile)[row], State(tile)[row + 8]};
    if (__ballot_sync(~0u, by[0] != 1 || by[1] != 1) == 0) return;
#pragma unroll
    for (auto& sum : sums) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sum[e] *= by[e / 2];
    }
  }
  __device__ void Add(Sums& sums, int tile, bool first) const {
    WgmmaFence(sums);
    const SharedOperand weights = AlongK(Weights(tile), 0);
    const SharedOperand values = AlongN(Tile(tile) + half * (kHalf / 64) * 1024, 1024, kEightBytes);
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
      WgmmaBf16<Major::kN>(sums, weights + step * 32, values + step * 2 * kEightBytes,
                           first && step == 0 ? 0 : 1);
    }
    WgmmaCommit();
    WgmmaWait<0>(sums);
  }
  // The sums of a part, or the row's result when it is the only one.
  __device__ void Finish(int tile, const Sums& sums, const float (&l)[kEach]) const {
    const bool only = work.OnlyPart();
    const Parts parts = LatentParts(p, work.row, head0);
#pragma unroll
    for (int each = 0; each < kEach; ++each) {
      const int head = this->HeadOf(each);
      if (head >= heads) continue;
      const float one = only ? 1.0f / l[each] : 1.0f;
      float* to = (only ? p.out + (work.row * p.a.group + head0 + head) * kLatentValues
                        : parts.Sums(work.PartOf(tile), head)) +
                  half * kHalf + lane % 4 * 2;
#pragma unroll
      for (int j = 0; j < kHalf / 8; ++j) {
        const float(&s)[4] = sums[j];
        const float2 v = kRowsOfHead == 2 ? float2{s[0] + s[2], s[1] + s[3]}
                                          : float2{s[2 * each], s[2 * each + 1]};
        *reinterpret_cast<float2*>(to + j * 8) = {v.x * one, v.y * one};
      }
    }
  }
  // Both halves are done with the tile: another one takes its place.
  __device__ void Replace(int tile) {
    if (tile + kTiles >= work.tiles()) return;
    if (!Brings()) return ArriveThreads(kTileFree + tile % 2, 2 * kWarpgroup);
    SyncThreads(kTileFree + tile % 2, 2 * kWarpgroup);
    Bring(tile + kTiles);
  }
  __device__ void Run() {
    Sums sums;
    const int tiles = work.tiles(), of_part = work.PartTiles();
    for (int tile = 0, in_part = 0; tile < tiles; ++tile) {
      const bool first = in_part == 0, ends = in_part + 1 == of_part || tile + 1 == tiles;
      in_part = ends ? 0 : in_part + 1;
      SyncThreads(kWeightsReady + tile % 2, kThreads);
      AwaitTile(tile);
      Clear(tile);
      if (this->Works() && !first) Shrink(tile, sums);
      float l[kEach];
#pragma unroll
      for (int each = 0; each < kEach; ++each) {
        l[each] = ends ? State(tile)[kRows + warp * 16 + lane / 4 + each * 8] : 1;
      }
      Add(sums, tile, first);
      if (tile + 2 < tiles) ArriveThreads(kWeightsFree + tile % 2, kThreads);
      Replace(tile);
      if (ends) Finish(tile, sums, l);
    }
  }
};

template <int kRowsOfHead>
__global__ void __launch_bounds__(kThreads, 1)
    TilesKernel(LatentProblem p, int parts, const __grid_constant__ BoxMap latents) {
  LetNextBegin();
  const LatentWork work(p, blockIdx.z, static_cast<int>(blockIdx.y) * parts, parts);
  if (work.begin >= work.end) return;
  if (threadIdx.x == 0) InitFills(Fill(0), kTiles);
  __syncthreads();
  if (threadIdx.x >= kWarpgroup) {
    Values<kRowsOfHead> values(p, work, latents);
    values.Begin();
    values.TakeShared(values.half + 1);
    ArriveThreads(kQueriesReady, kThreads);
    values.Run();
  } else {
    Scores<kRowsOfHead> scores(p, work);
    WaitForInputs();
    scores.TakeQueries();
    scores.Run();
  }
}

template <int kRowsOfHead>
void LaunchTiles(Stream& s, const LatentProblem& p) {
  const int64_t blocks = CeilDiv<int64_t>(p.a.group, kRows / kRowsOfHead);
  const int parts = PartsOfBlock(s, p, blocks * p.a.rows);
  // Eight rows: of each block of 64 columns eight rows of 128 bytes, then the next block.
  BoxMap latents = {};
  if (!MapBoxes(s,
                {.data = p.latents.data,
                 .dimensions = 3,
                 .size = {64, int64_t{1} << 31, kBlocks},
                 .next = {2, p.latents.row_bytes, 128},
                 .box = {64, kLatentBoxRows, kBlocks}},
                latents)) {
    return;
  }
  Launch(s, LatentGrid(p, blocks, parts), kThreads, size_t{kShared}, TilesKernel<kRowsOfHead>, p,
         parts, latents);
}

}  // namespace

void LaunchLatentTiles(Stream& s, const LatentProblem& p) {
  HeadsOfWarpgroups(p.a) == kRows ? LaunchTiles<1>(s, p) : LaunchTiles<2>(s, p);
}

}  // namespace hadal::CUDA_NAMESPACE
