// Attention of answers over the latents of MLA, absorbed form, DeepSeek's shape: one key of 576
// columns, of bf16 or FP8, for all heads, its first 512 the value. A block takes one row, 16 or 32
// of its heads and one part of the keys; a second kernel joins the parts. Each latent is staged
// once for all heads of the block, as key and as value. Limit: the card's memory at 16 heads, the
// matrix unit at 128. On cards of compute capability 9.0 more than 32 heads go to
// attention_latents_tma.cu or attention_latents_wgmma.cu instead of the first kernel.
//
// Four warps share 16 heads. Each multiplies every fourth 16 columns, whose queries stay in
// registers, with 32 keys; the parts of scores meet in shared memory, where every warp adds up all
// scores in one order; then each multiplies the probabilities with a quarter of the values'
// columns. Queries and probabilities have two bf16 parts, high and low; a score's parts are added
// last.
#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/latent_rings.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kColumns = kLatentColumns, kValues = kLatentValues;
constexpr int kKeys = kLatentKeys;
constexpr int kRowBytes = kLatentRowBytes;
constexpr int kHeads = 16;                      // of a team of four warps
constexpr int kWarps = 4;                       // of a team
constexpr int kSteps = kColumns / 16 / kWarps;  // of 16 columns
constexpr int kWarpValues = kValues / kWarps;
constexpr int kScoreStride = kKeys + 8;  // floats; spreads heads over the banks
constexpr int kScoreBytes = kWarps * kHeads * kScoreStride * 4;  // of a team
constexpr int kJoinThreads = kValues / 4;

using Problem = LatentProblem;

template <int kTeams, class Ring>
struct Block {
  static constexpr int kThreads = kTeams * kWarps * kWarp;
  static constexpr int kBlockHeads = kTeams * kHeads;
  static constexpr int kShared = Ring::kBytes + kTeams * kScoreBytes;
  static constexpr int kBlocksPerSm = kTeams == 1 ? 2 : 1;

  const Problem& p;
  const int lane, warp, team;  // warp of the team
  float* const scores;         // of the team: [warp][head][kScoreStride]

  uint32_t q[2][kSteps][4];  // of eight heads each: high parts, then low parts
  float sums[kWarpValues / 8][4];
  float m[2], l[2];

  __device__ explicit Block(const Problem& problem)
      : p(problem),
        lane(static_cast<int>(threadIdx.x) % kWarp),
        warp(static_cast<int>(threadIdx.x) / kWarp % kWarps),
        team(static_cast<int>(threadIdx.x) / kWarp / kWarps),
        scores(reinterpret_cast<float*>(SharedMemory() + Ring::kBytes) + team * (kScoreBytes / 4)) {
#pragma unroll
    for (auto& sum : sums) sum[0] = sum[1] = sum[2] = sum[3] = 0;
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) m[tile] = -INFINITY, l[tile] = 0;
  }

  // The team's queries: `heads` of them from `at` on, in log2 units.
  __device__ void TakeQueries(int64_t at, int heads) {
    const float scale = p.a.scale * kLog2E;
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
      const int head = tile * 8 + lane / 4, column = warp * 16 + lane % 4 * 2;
      const float* row = p.q.data + (at + head) * p.q.ld + column;
      const float* rest = p.q.rest + (at + head) * p.q.rest_ld + column - kValues;
      const auto two = [&](int d) {
        if (head >= heads) return TwoParts{0, 0};
        float2 v;
        if (d < kValues) {
          v = *reinterpret_cast<const float2*>(row + d);
        } else {
          v = {rest[d], rest[d + 1]};  // of any alignment
        }
        return SplitBf16(v.x * scale, v.y * scale);
      };
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const int d = step * kWarps * 16;
        const TwoParts first = two(d), second = two(d + 8);
        q[tile][step][0] = first.high;
        q[tile][step][1] = first.low;
        q[tile][step][2] = second.high;
        q[tile][step][3] = second.low;
      }
    }
  }

  // What this warp's columns add to the scores of all 32 keys.
  __device__ void Score(char* tile) {
    const LaneRows keys(tile, kRowBytes, lane / 16 * 8 + lane % 8, warp * 2 + lane / 8 % 2);
    float s[2][4][4] = {};
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      uint32_t b[2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        LoadMatrix4(b[half], keys.At(half * 16 * kRowBytes, step * kWarps));
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint32_t two[2] = {b[i / 2][i % 2 * 2], b[i / 2][i % 2 * 2 + 1]};
#pragma unroll
        for (int heads = 0; heads < 2; ++heads) MmaBf16(s[heads][i], q[heads][step], two);
      }
    }
#pragma unroll
    for (int heads = 0; heads < 2; ++heads) {
      float* to = scores + (warp * kHeads + heads * 8 + lane / 4) * kScoreStride + lane % 4 * 2;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        *reinterpret_cast<float2*>(to + i * 8) = {JoinScore(s[heads][i][0], s[heads][i][2]),
                                                  JoinScore(s[heads][i][1], s[heads][i][3])};
      }
    }
  }

  // Probabilities of the tile's `n` keys: as rows of the values' product, heads 0-7 then 8-15.
  __device__ void Weigh(int n, TwoParts (&w)[2][4]) {
    float shrink[2];
    bool shrinks = false;
#pragma unroll
    for (int heads = 0; heads < 2; ++heads) {
      float s[8];
      const float* from = scores + (heads * 8 + lane / 4) * kScoreStride + lane % 4 * 2;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float2 all = *reinterpret_cast<const float2*>(from + i * 8);
        for (int other = 1; other < kWarps; ++other) {
          const float2 v =
              *reinterpret_cast<const float2*>(from + other * kHeads * kScoreStride + i * 8);
          all.x += v.x;
          all.y += v.y;
        }
        const int key = i * 8 + lane % 4 * 2;
        s[2 * i] = key < n ? all.x : -INFINITY;
        s[2 * i + 1] = key + 1 < n ? all.y : -INFINITY;
      }
      float largest = s[0];
      for (int i = 1; i < 8; ++i) largest = fmaxf(largest, s[i]);
      const float before = m[heads];
      m[heads] = fmaxf(before, QuadMax(largest));
      const float base = BaseOf(m[heads]);
      shrink[heads] = Exp2(before - base);
      shrinks = shrinks || (shrink[heads] != 1.0f && before != -INFINITY);
      float sum = 0;
      for (float& x : s) {
        x = Exp2(x - base);
        sum += x;
      }
      l[heads] = fmaf(l[heads], shrink[heads], sum);
#pragma unroll
      for (int i = 0; i < 4; ++i) w[heads][i] = SplitBf16(s[2 * i], s[2 * i + 1]);
    }
    if (__ballot_sync(~0u, shrinks) == 0) return;
#pragma unroll
    for (auto& sum : sums) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sum[e] *= shrink[e / 2];
    }
  }

  // Adds the probabilities times this warp's quarter of the values.
  __device__ void AddValues(char* tile, const TwoParts (&w)[2][4]) {
    const LaneRows values(tile + warp * kWarpValues * 2, kRowBytes, lane % 16, lane / 16);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const TwoParts *a = w[0] + half * 2, *b = w[1] + half * 2;
      const uint32_t high[4] = {a[0].high, b[0].high, a[1].high, b[1].high};
      const uint32_t low[4] = {a[0].low, b[0].low, a[1].low, b[1].low};
#pragma unroll
      for (int i = 0; i < kWarpValues / 16; ++i) {
        uint32_t v[4];
        LoadMatrix4Transposed(v, values.At(half * 16 * kRowBytes, i));
        const uint32_t left[2] = {v[0], v[1]}, right[2] = {v[2], v[3]};
        MmaBf16(sums[i * 2], high, left);
        MmaBf16(sums[i * 2 + 1], high, right);
        MmaBf16(sums[i * 2], low, left);
        MmaBf16(sums[i * 2 + 1], low, right);
      }
    }
  }

  __device__ void Walk(Ring& ring) {
    ring.Start();
    const int keys = ring.from.end - ring.from.begin, tiles = ring.from.tiles();
    for (int i = 0; i < tiles; ++i) {
      char* tile = ring.Take(i);
      Score(tile);
      ring.Prepare(i + 1);
      __syncthreads();
      TwoParts w[2][4];
      Weigh(keys - i * kKeys, w);
      AddValues(tile, w);
    }
  }

  // The result of the team's heads when this is the row's only part, else one part.
  __device__ void Finish(int heads, int split, bool only, const Parts& parts, float* out) {
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
      const int head = tile * 8 + lane / 4;
      const float all = QuadSum(l[tile]);
      if (head >= heads) continue;
      const float one = only ? 1.0f / all : 1.0f;
      float* to = only ? out + int64_t{head} * kValues : parts.Sums(split, team * kHeads + head);
#pragma unroll
      for (int i = 0; i < kWarpValues / 8; ++i) {
        const float2 v = {sums[i][tile * 2] * one, sums[i][tile * 2 + 1] * one};
        *reinterpret_cast<float2*>(to + warp * kWarpValues + i * 8 + lane % 4 * 2) = v;
      }
      if (only || warp != 0 || lane % 4 != 0) continue;
      *reinterpret_cast<float2*>(parts.State(split, team * kHeads + head)) = {m[tile], all};
    }
  }
};

// The part of a row's group of heads that block `blockIdx.x` works on.
template <class B, class Ring>
__global__ void __launch_bounds__(B::kThreads, B::kBlocksPerSm) LatentsKernel(Problem p) {
  LetNextBegin();
  const int64_t row = blockIdx.z, heads = p.a.group;
  const int split = static_cast<int>(blockIdx.y);
  const RowKeys keys = p.index.rows[row];
  const int visible = keys.visible, stored = keys.stored;
  const int32_t* table = p.index.tables + keys.table_at;
  const int per_split = SplitKeys(LatentRule(p.a), visible), begin = split * per_split;
  if (begin >= visible) return;
  B block(p);
  const int64_t head0 = blockIdx.x * B::kBlockHeads + block.team * kHeads;
  const int mine = static_cast<int>(max(int64_t{0}, min(int64_t{kHeads}, heads - head0)));
  const int end = min(begin + per_split, visible);
  Ring ring({p.latents, p.index, table, begin, end}, SharedMemory());
  ring.Begin({begin, min(stored, end), end});
  WaitForInputs();
  if (stored < end) ring.Begin({stored, end, end});
  block.TakeQueries(row * heads + head0, mine);
  if (stored < end) CopyAsyncWait<0>();  // of the first tiles, which came in two groups each
  block.Walk(ring);
  const Parts parts = LatentParts(p, row, int64_t{blockIdx.x} * B::kBlockHeads);
  block.Finish(mine, split, per_split >= visible, parts, p.out + (row * heads + head0) * kValues);
}

__global__ void __launch_bounds__(kJoinThreads) JoinKernel(Problem p) {
  LetNextBegin();
  const int64_t row = blockIdx.y, heads = p.a.group, head = blockIdx.x;
  const int n = SplitsOf(LatentRule(p.a), p.index.rows[row].visible);
  WaitForInputs();
  if (n == 1) return;
  JoinParts(LatentParts(p, row, head), n, static_cast<int>(head % p.part_heads),
            static_cast<int>(threadIdx.x) * 4, p.out + (row * heads + head) * kValues);
}

int HeadsOfBlock(const AttentionShape& a) { return a.group > kHeads ? 2 * kHeads : kHeads; }
// Of every kernel's parts together.
int64_t HeadsOfParts(const AttentionShape& a) {
  return a.group <= 16 ? 16 : a.group <= 32 ? 32 : CeilDiv<int64_t>(a.group, 64) * 64;
}

template <int kTeams, class Ring>
void LaunchLatents(Stream& s, const Problem& p) {
  using B = Block<kTeams, Ring>;
  const dim3 grid(static_cast<unsigned>(CeilDiv<int64_t>(p.a.group, B::kBlockHeads)),
                  static_cast<unsigned>(p.parts), static_cast<unsigned>(p.a.rows));
  Launch(s, grid, B::kThreads, size_t{B::kShared}, LatentsKernel<B, Ring>, p);
}

// Cards with less shared memory have smaller rings for two teams, which give the same results.
template <class Large, class Small>
void LaunchTwoTeams(Stream& s, const Problem& p) {
  size_t{Block<2, Large>::kShared} <= s.most_shared ? LaunchLatents<2, Large>(s, p)
                                                    : LaunchLatents<2, Small>(s, p);
}
void LaunchBf16(Stream& s, const Problem& p) {
  if (HeadsOfBlock(p.a) == kHeads) return LaunchLatents<1, Bf16LatentRing<kWarps, 2>>(s, p);
  LaunchTwoTeams<Bf16LatentRing<2 * kWarps, 4>, Bf16LatentRing<2 * kWarps, 2>>(s, p);
}
void LaunchFp8(Stream& s, const Problem& p) {
  if (HeadsOfBlock(p.a) == kHeads) return LaunchLatents<1, Fp8LatentRing<kWarps, 1, 2>>(s, p);
  LaunchTwoTeams<Fp8LatentRing<2 * kWarps, 2, 3>, Fp8LatentRing<2 * kWarps, 1, 1>>(s, p);
}

}  // namespace

bool LatentsFit(const AttentionShape& a, const Cache& k, const Cache& v) {
  const bool fp8 = k.form == CacheForm::kFp8 && k.group == 128 && k.codes == kValues;
  return (fp8 || k.form == CacheForm::kBf16) && k.data == v.data && a.n_kv == 1 &&
         a.k_dim == kColumns && a.v_dim == kValues;
}

AttentionMemory LatentsSpace(const AttentionShape& a, int64_t most_visible) {
  const int64_t parts = MostSplits(LatentRule(a), most_visible);
  if (parts == 1) return {};
  return {a.rows * PartFloats(parts, HeadsOfParts(a), kValues), 0};
}

void AttendLatents(Stream& s, const AttentionShape& a, const Queries& q, const Cache& k,
                   const Cache& v, const RowIndex& index, const AttentionScratch& scratch,
                   float* out) {
  (void)v;
  const bool fp8 = k.form == CacheForm::kFp8;
  // With 16 heads warpgroups whose threads copied took 1.05 to 1.59 of the time (an H100, 16,384
  // keys, 8 and 32 rows); with the copy engine up to 32 heads have not been measured.
  const bool warpgroups =
      s.warpgroups && a.group > 2 * kHeads && (fp8 || index.block_tokens % kLatentBoxRows == 0);
  const int heads = warpgroups ? HeadsOfWarpgroups(a) : HeadsOfBlock(a);
  const Problem p = {a,
                     q,
                     k,
                     index,
                     MostSplits(LatentRule(a), index.most),
                     a.group <= kHeads ? kHeads : heads,
                     scratch.parts,
                     out};
  if (warpgroups) {
    fp8 ? LaunchWarpgroups(s, p) : LaunchLatentTiles(s, p);
  } else {
    fp8 ? LaunchFp8(s, p) : LaunchBf16(s, p);
  }
  if (p.parts == 1) return;
  const dim3 grid(static_cast<unsigned>(a.group), static_cast<unsigned>(a.rows));
  Launch(s, grid, kJoinThreads, 0, JoinKernel, p);
}

}  // namespace hadal::CUDA_NAMESPACE
