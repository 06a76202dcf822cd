// Attention of answers over an FP8 cache of MLA's latents by the matrix instructions of warpgroups
// (sm_90a); attention_latents_tma.cu is for one of bf16.
// A block takes one row, some of its heads and some parts of its keys, one part after another. The
// 64 rows of the matrix unit are 64 heads, or, where answers are exact, the high and the low bf16
// parts of 32 heads. Limit: the matrix unit.
//
// The first warpgroup multiplies queries and keys, makes the probabilities and multiplies them with
// the first half of the values' columns, the second one with the second half: keys and values are
// the same 64 latents in shared memory. The third one brings the latents, two tiles ahead.
#include "kernels/cuda/latent_tiles.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kRows = 64;  // of the matrix unit
constexpr int kHalf = kLatentValues / 2;
constexpr int kThreads = kLatentConsumers + kLatentProducers;
// Of a thread; the block begins with as many for all.
constexpr int kRegisters = 168, kConsumerRegisters = 208, kProducerRegisters = 88;
static_assert(kLatentConsumers * kConsumerRegisters + kLatentProducers * kProducerRegisters <=
                  kThreads * kRegisters,
              "the consumers would wait for ever");

// Shared memory: queries as the tiles of latents, two tiles, the probabilities of a tile, then of
// every row what sums shrink by and, at the end of a part, the sum of its weights.
constexpr int kTilesAt = kLatentTileBytes, kWeightsAt = 3 * kLatentTileBytes;
constexpr int kStateAt = kWeightsAt + kRows * 128, kShared = kStateAt + 2 * kRows * 4;

enum : int { kQueriesReady = 5, kWeightsReady, kWeightsFree };  // barriers

// kParts: rows of a head.
template <int kParts>
struct Consumer {
  static constexpr int kEach = 2 / kParts;  // heads of a thread
  static constexpr int kBlockHeads = kRows / kParts;
  using Sums = float[kHalf / 8][4];

  const LatentProblem& p;
  const LatentWork& work;
  const int thread, lane, warp;  // warp of the warpgroup
  const int head0, heads;        // of the block

  __device__ Consumer(const LatentProblem& problem, const LatentWork& of)
      : p(problem),
        work(of),
        thread(static_cast<int>(threadIdx.x)),
        lane(thread % kWarp),
        warp(thread % kWarpgroup / kWarp),
        head0(static_cast<int>(blockIdx.x) * kBlockHeads),
        heads(min(kBlockHeads, static_cast<int>(problem.a.group) - head0)) {}

  __device__ static char* Tile(int tile) {
    return SharedMemory() + kTilesAt + tile % 2 * kLatentTileBytes;
  }
  __device__ static char* Weights() { return SharedMemory() + kWeightsAt; }
  __device__ static float* State() { return reinterpret_cast<float*>(SharedMemory() + kStateAt); }
  // The head, of the block's, of a thread's row of sums.
  __device__ int HeadOf(int each) const { return (warp * kEach + each) * 8 + lane / 4; }
  // Whether the warp has heads at all.
  __device__ bool Works() const { return warp * kEach * 8 < heads; }

  // ---- queries, in log2 units

  // Eight columns of a head, from chunk c on.
  __device__ void LoadChunk(int head, int c, float (&v)[8]) const {
    const int64_t query = work.row * p.a.group + head0 + head;
    const float scale = p.a.scale * kLog2E;
    if (c * 8 < kLatentValues) {
      const auto* from = reinterpret_cast<const float4*>(p.q.data + query * p.q.ld + c * 8);
      const float4 a = from[0], b = from[1];
      const float all[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
      for (int i = 0; i < 8; ++i) v[i] = all[i] * scale;
    } else {  // of any alignment
      const float* from = p.q.rest + query * p.q.rest_ld + c * 8 - kLatentValues;
      for (int i = 0; i < 8; ++i) v[i] = from[i] * scale;
    }
  }
  __device__ void StoreChunk(int head, int c, const float (&v)[8]) const {
    const TwoParts two[4] = {SplitBf16(v[0], v[1]), SplitBf16(v[2], v[3]), SplitBf16(v[4], v[5]),
                             SplitBf16(v[6], v[7])};
    const int row = kParts == 1 ? head : head / 8 * 16 + head % 8;
    char* to = LatentChunk(SharedMemory(), row, c);
    *reinterpret_cast<uint4*>(to) = {two[0].high, two[1].high, two[2].high, two[3].high};
    if (kParts == 1) return;
    *reinterpret_cast<uint4*>(to + 8 * 128) = {two[0].low, two[1].low, two[2].low, two[3].low};
  }
  __device__ void TakeQueries() const {
    constexpr int kChunks = kLatentColumns / 8, kTogether = 9;  // under way
    constexpr int kRound = kTogether * kLatentConsumers;
    static_assert(kBlockHeads * kChunks % kRound == 0);
#pragma unroll 1
    for (int first = thread; first < kBlockHeads * kChunks; first += kRound) {
      float v[kTogether][8] = {};
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int at = first + i * kLatentConsumers, head = at / kChunks;
        if (head < heads) LoadChunk(head, at % kChunks, v[i]);
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int at = first + i * kLatentConsumers;
        StoreChunk(at / kChunks, at % kChunks, v[i]);
      }
    }
    FenceShared();
    SyncThreads(kQueriesReady, kLatentConsumers);
  }

  // ---- what both warpgroups do with probabilities

  // Sums of rows lane / 4 and lane / 4 + 8.
  __device__ static void Shrink(Sums& sums, const float (&by)[2]) {
    if (__ballot_sync(~0u, by[0] != 1 || by[1] != 1) == 0) return;
#pragma unroll
    for (auto& sum : sums) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sum[e] *= by[e / 2];
    }
  }
  // a: probabilities, of 16 keys each.
  template <class A>
  __device__ static void AddValues(Sums& sums, int tile, int half, bool first, const A& a) {
    WgmmaFence(sums);
    const SharedOperand values =
        AlongN(Tile(tile) + half * (kHalf / 64) * kLatentBlockBytes, kLatentBlockBytes);
#pragma unroll
    for (int step = 0; step < kLatentKeys / 16; ++step) {
      WgmmaBf16<Major::kN>(sums, a(step), values + step * 16 * 128, first && step == 0 ? 0 : 1);
    }
    WgmmaCommit();
    WgmmaWait<0>(sums);
  }
  __device__ void FreeTile(int tile) const {
    if (tile + 2 >= work.tiles()) return;
    ArriveThreads(kLatentsFree + tile % 2, Fp8Latents::kTileThreads + kLatentConsumers);
  }
  // The sums of a part, or the row's result when it is the only one. l: of the thread's heads.
  __device__ void Finish(int tile, int half, const Sums& sums, const float (&l)[kEach]) const {
    const bool only = work.OnlyPart();
    const Parts parts = LatentParts(p, work.row, head0);
#pragma unroll
    for (int each = 0; each < kEach; ++each) {
      const int head = HeadOf(each);
      if (head >= heads) continue;
      const float one = only ? 1.0f / l[each] : 1.0f;
      float* to = (only ? p.out + (work.row * p.a.group + head0 + head) * kLatentValues
                        : parts.Sums(work.PartOf(tile), head)) +
                  half * kHalf + lane % 4 * 2;
#pragma unroll
      for (int j = 0; j < kHalf / 8; ++j) {
        const float(&s)[4] = sums[j];
        const float2 v =
            kParts == 2 ? float2{s[0] + s[2], s[1] + s[3]} : float2{s[2 * each], s[2 * each + 1]};
        *reinterpret_cast<float2*>(to + j * 8) = {v.x * one, v.y * one};
      }
    }
  }

  // ---- the first warpgroup

  struct Softmax {
    float m[kEach], l[kEach];         // of the thread's columns
    uint32_t a[kLatentKeys / 16][4];  // probabilities: operands of 16 keys each
    float shrink[2];                  // of both rows
  };
  __device__ static void Score(int tile, float (&s)[kLatentKeys / 8][4]) {
    WgmmaFence(s);
    const SharedOperand queries = AlongK(SharedMemory(), 0), keys = AlongK(Tile(tile), 0);
#pragma unroll
    for (int step = 0; step < kLatentColumns / 16; ++step) {
      const int at = step / 4 * kLatentBlockBytes + step % 4 * 32;
      WgmmaBf16<Major::kK>(s, queries + at, keys + at, step == 0 ? 0 : 1);
    }
    WgmmaCommit();
    WgmmaWait<0>(s);
  }
  // `first`: of a part; n: keys of the tile.
  __device__ void Weigh(const float (&s)[kLatentKeys / 8][4], bool first, int n,
                        Softmax& to) const {
#pragma unroll
    for (int each = 0; each < kEach; ++each) {
      float x[kLatentKeys / 4];
#pragma unroll
      for (int i = 0; i < kLatentKeys / 4; ++i) {
        const float(&of)[4] = s[i / 2];
        x[i] = kParts == 2 ? JoinScore(of[i % 2], of[i % 2 + 2]) : of[2 * each + i % 2];
        if (i / 2 * 8 + lane % 4 * 2 + i % 2 >= n) x[i] = -INFINITY;
      }
      float largest = x[0];
#pragma unroll
      for (int i = 1; i < kLatentKeys / 4; ++i) largest = fmaxf(largest, x[i]);
      const float before = first ? -INFINITY : to.m[each];
      to.m[each] = fmaxf(before, QuadMax(largest));
      const float base = BaseOf(to.m[each]);
      const float shrink = Exp2(before - base);
      float sum = 0;
#pragma unroll
      for (float& v : x) {
        v = Exp2(v - base);
        sum += v;
      }
      to.l[each] = first ? sum : fmaf(to.l[each], shrink, sum);
      to.shrink[each] = first ? 1.0f : shrink;  // sums of a part begin with its first product
      if (kParts == 2) to.shrink[1] = to.shrink[0];
#pragma unroll
      for (int j = 0; j < kLatentKeys / 8; ++j) {
        uint32_t(&a)[4] = to.a[j / 2];
        const TwoParts two = SplitBf16(x[2 * j], x[2 * j + 1]);
        a[j % 2 * 2 + (kParts == 2 ? 0 : each)] = two.high;
        if (kParts == 2) a[j % 2 * 2 + 1] = two.low;
      }
    }
  }
  // For the other warpgroup.
  __device__ void Share(const Softmax& of, bool ends, const float (&l)[kEach]) const {
    const int me = ComputedHere(lane), row = warp * 16 + me / 4;
#pragma unroll
    for (int j = 0; j < kLatentKeys / 8; ++j) {
#pragma unroll
      for (int high = 0; high < 2; ++high) {
        *reinterpret_cast<uint32_t*>(ChunkAt(Weights(), 128, row + high * 8, j) + me % 4 * 4) =
            of.a[j / 2][j % 2 * 2 + high];
      }
    }
    if (me % 4 == 0) {
#pragma unroll
      for (int high = 0; high < 2; ++high) {
        State()[row + high * 8] = of.shrink[high];
        if (ends) State()[kRows + row + high * 8] = l[kParts == 2 ? 0 : high];
      }
    }
    FenceShared();
  }
  __device__ void StoreState(int tile, const Softmax& of, const float (&l)[kEach]) const {
    if (work.OnlyPart() || lane % 4 != 0) return;
    const Parts parts = LatentParts(p, work.row, head0);
#pragma unroll
    for (int each = 0; each < kEach; ++each) {
      if (HeadOf(each) >= heads) continue;
      *reinterpret_cast<float2*>(parts.State(work.PartOf(tile), HeadOf(each))) = {of.m[each],
                                                                                  l[each]};
    }
  }
  __device__ void WeighAndAdd() const {
    Sums sums;
    Softmax softmax;
    for (int tile = 0; tile < work.tiles(); ++tile) {
      const bool first = work.BeginsPart(tile), ends = work.EndsPart(tile);
      float l[kEach];
      {
        float s[kLatentKeys / 8][4];
        SyncThreads(kLatentsReady + tile % 2, Fp8Latents::kTileThreads + kWarpgroup);
        Score(tile, s);
        if (Works()) Weigh(s, first, work.KeysOf(tile), softmax);
      }
      if (Works()) {
#pragma unroll
        for (int each = 0; each < kEach; ++each) l[each] = ends ? QuadSum(softmax.l[each]) : 0;
      }
      if (tile > 0) SyncThreads(kWeightsFree, kLatentConsumers);
      if (Works()) Share(softmax, ends, l);
      ArriveThreads(kWeightsReady, kLatentConsumers);
      if (Works()) Shrink(sums, softmax.shrink);
      AddValues(sums, tile, 0, first,
                [&](int step) -> const uint32_t(&)[4] { return softmax.a[step]; });
      FreeTile(tile);
      if (!ends) continue;
      Finish(tile, 0, sums, l);
      StoreState(tile, softmax, l);
    }
  }

  // ---- the second warpgroup
  __device__ void AddOnly() const {
    Sums sums;
    const int row = warp * 16 + lane / 4;
    for (int tile = 0; tile < work.tiles(); ++tile) {
      const bool first = work.BeginsPart(tile);
      SyncThreads(kWeightsReady, kLatentConsumers);
      const float by[2] = {State()[row], State()[row + 8]};
      float l[kEach];
#pragma unroll
      for (int each = 0; each < kEach; ++each) l[each] = State()[kRows + row + each * 8];
      if (Works() && !first) Shrink(sums, by);
      AddValues(sums, tile, 1, first, [](int step) { return AlongK(Weights(), step); });
      if (tile + 1 < work.tiles()) ArriveThreads(kWeightsFree, kLatentConsumers);
      FreeTile(tile);
      if (work.EndsPart(tile)) Finish(tile, 1, sums, l);
    }
  }
};

template <int kParts>
__global__ void __launch_bounds__(kThreads, 1) WarpgroupsKernel(LatentProblem p, int parts) {
  LetNextBegin();
  const LatentWork work(p, blockIdx.z, static_cast<int>(blockIdx.y) * parts, parts);
  if (work.begin >= work.end) return;
  if (threadIdx.x >= kLatentConsumers) {
    FewerRegisters<kProducerRegisters>();
    Fp8Latents(p, work, SharedMemory() + kTilesAt).Run();
    return;
  }
  MoreRegisters<kConsumerRegisters>();
  const Consumer<kParts> consumer(p, work);
  WaitForInputs();
  consumer.TakeQueries();
  if (threadIdx.x < kWarpgroup) {
    consumer.WeighAndAdd();
  } else {
    consumer.AddOnly();
  }
}

template <int kParts>
void LaunchParts(Stream& s, const LatentProblem& p) {
  const int64_t blocks = CeilDiv<int64_t>(p.a.group, kRows / kParts);
  const int parts = PartsOfBlock(s, p, blocks * p.a.rows);
  Launch(s, LatentGrid(p, blocks, parts), kThreads, size_t{kShared}, WarpgroupsKernel<kParts>, p,
         parts);
}

}  // namespace

// How many parts a block takes, so that the blocks fill the card's multiprocessors evenly: a block
// costs about a tile and a half beside its parts.
int PartsOfBlock(const Stream& s, const LatentProblem& p, int64_t groups) {
  const auto tiles = static_cast<double>(SplitKeys(LatentRule(p.a), p.index.most)) / kLatentKeys;
  int best = 1;
  double least = 0;
  for (int parts = 1; parts <= p.parts; ++parts) {
    const int64_t blocks = groups * CeilDiv<int64_t>(p.parts, parts);
    const double cost = static_cast<double>(CeilDiv<int64_t>(blocks, s.processors)) *
                        (tiles * static_cast<double>(parts) + 1.5);
    if (parts > 1 && cost >= least) continue;
    best = parts;
    least = cost;
  }
  return best;
}

int HeadsOfWarpgroups(const AttentionShape& a) {
  return a.rounded && a.group >= kRows ? kRows : kRows / 2;
}

void LaunchWarpgroups(Stream& s, const LatentProblem& p) {
  HeadsOfWarpgroups(p.a) == kRows ? LaunchParts<1>(s, p) : LaunchParts<2>(s, p);
}

}  // namespace hadal::CUDA_NAMESPACE
