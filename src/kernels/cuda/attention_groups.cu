// Attention of answers over a cache of bf16 or FP8 whose key heads are shared by groups of query
// heads (GQA). A block takes one row, one key head with up to 16 of its heads, and parts of the
// keys; the last block of a row's group joins the parts. Limit: the card's memory, every key and
// value is read once.
//
// Each warp walks tiles of 16 keys of its own through its own ring of shared memory. Heads are the
// rows of the matrix unit. Queries and probabilities have two bf16 parts; a fragment of 16 rows is
// eight heads' high parts, then the same heads' low parts, so that a group of up to eight costs one
// instruction per product. Of two such tiles of heads the values' product takes both as rows, high
// parts first.
#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/attention_tiles.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int kKeys = kTileKeys;
constexpr int kStride = kWarps * kKeys;
constexpr int kTileHeads = 8;  // of a fragment

SplitRule RuleOf(const AttentionShape& a) {
  const int most = static_cast<int>(CeilDiv<int64_t>(256, a.n_kv));
  return {kStride, 2 * kStride, most < 16 ? 16 : most > kMostParts ? kMostParts : most};
}

struct Problem {
  AttentionShape a;
  SplitRule rule;
  const float* q;
  Cache k, v;
  RowIndex index;
  int64_t parts;  // of space
  float *space, *out;
  int* counts;  // of blocks that are done, per group of parts; zero between launches
};

// kDim: the head's columns, padded with zeros; kTiles: of eight heads.
template <int kDim, int kTiles, CacheForm kForm>
struct Block {
  using OfKeys = KeyTile<kDim, kForm>;
  static constexpr int kHeads = kTiles * kTileHeads;
  static constexpr int kStages = OfKeys::kStages;
  static constexpr int kRingBytes = kStages * OfKeys::kStageBytes;
  static constexpr int kShared = kWarps * kRingBytes;
  static constexpr int kOutStride = kDim + 8;  // floats; spreads heads over the banks
  static constexpr int kSteps = kDim / 16;
  static constexpr int kBlocksPerSm = kDim * kTiles <= 128 ? 3 : 2;
  static_assert(kWarps * kHeads * (kOutStride + 2) * 4 <= kShared);

  const Problem& p;
  const int lane, warp;
  char* const ring;
  const int dim;
  const TileSource source;

  uint32_t q[kTiles][kSteps][4];
  float sums[kDim / 8][4];
  float m[kTiles], l[kTiles];

  __device__ Block(const Problem& problem, int64_t kv)
      : p(problem),
        lane(static_cast<int>(threadIdx.x) % kWarp),
        warp(static_cast<int>(threadIdx.x) / kWarp),
        ring(SharedMemory() + warp * kRingBytes),
        dim(static_cast<int>(problem.a.k_dim)),
        source{problem.k, problem.v, static_cast<int>(kv), dim} {}

  // Queries of `heads` heads at `from`, in log2 units.
  __device__ void TakeQueries(const float* from, int heads) {
    const float scale = p.a.scale * kLog2E;
    const int me = ComputedHere(lane);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const int head = tile * kTileHeads + me / 4;
      const float* row = from + int64_t{head} * dim;
      const auto two = [&](int d) {
        if (head >= heads || d >= dim) return TwoParts{0, 0};
        const float2 v = *reinterpret_cast<const float2*>(row + d);
        return SplitBf16(v.x * scale, v.y * scale);
      };
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const TwoParts first = two(step * 16 + OfKeys::QueryColumn(me, 0));
        const TwoParts second = two(step * 16 + OfKeys::QueryColumn(me, 1));
        q[tile][step][0] = first.high;
        q[tile][step][1] = first.low;
        q[tile][step][2] = second.high;
        q[tile][step][3] = second.low;
      }
    }
  }

  // The warp's tiles come in pairs, of which a lane has the slot of one key.
  static_assert(kKeys * 2 == kWarp && kStages % 2 == 0);
  __device__ int PairSlot(const int32_t* table, const KeyRange& keys, int first) const {
    return SlotIn(p.index, table, keys, first + lane / kKeys * kStride + lane % kKeys);
  }
  // The keys of the first or the second tile of a pair.
  __device__ void Load(int slots, int second, int stage) const {
    OfKeys::Load(source, slots, second * kKeys, lane, ring + stage * OfKeys::kStageBytes);
  }

  // Probabilities of a tile with `n` keys, as the rows of the values' product.
  __device__ void Weigh(const float (&scores)[kTiles][2][4], int n, TwoParts (&w)[kTiles][2]) {
    float shrink[kTiles];
    bool shrinks = false;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      float s[4];
      for (int i = 0; i < 4; ++i) {
        const int key = i / 2 * 8 + lane % 4 * 2 + i % 2;
        const float score = JoinScore(scores[tile][i / 2][i % 2], scores[tile][i / 2][i % 2 + 2]);
        s[i] = key < n ? score : -INFINITY;
      }
      const float largest = QuadMax(fmaxf(fmaxf(s[0], s[1]), fmaxf(s[2], s[3])));
      const float before = m[tile];
      m[tile] = fmaxf(before, largest);
      const float base = BaseOf(m[tile]);
      shrink[tile] = Exp2(before - base);
      shrinks = shrinks || (shrink[tile] != 1.0f && before != -INFINITY);
      for (float& x : s) x = Exp2(x - base);
      l[tile] = fmaf(l[tile], shrink[tile], (s[0] + s[1]) + (s[2] + s[3]));
      w[tile][0] = SplitBf16(s[0], s[1]);
      w[tile][1] = SplitBf16(s[2], s[3]);
    }
    if (__ballot_sync(~0u, shrinks) == 0) return;
#pragma unroll
    for (auto& sum : sums) {
      for (int e = 0; e < 4; ++e) sum[e] *= shrink[kTiles == 1 ? 0 : e / 2];
    }
  }

  __device__ void Tile(int stage, int n) {
    const OfKeys tile_keys(source, ring + stage * OfKeys::kStageBytes, lane);
    float scores[kTiles][2][4] = {};
#pragma unroll
    for (int pair = 0; pair < kSteps / 2; ++pair) {
      uint32_t b[2][4];
      tile_keys.Keys(pair, b);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t low[2] = {b[i][0], b[i][1]}, high[2] = {b[i][2], b[i][3]};
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
          MmaBf16(scores[tile][0], q[tile][pair * 2 + i], low);
          MmaBf16(scores[tile][1], q[tile][pair * 2 + i], high);
        }
      }
    }
    TwoParts w[kTiles][2];
    Weigh(scores, n, w);
    constexpr int kLast = kTiles - 1;
    const uint32_t first[4] = {w[0][0].high, kTiles == 1 ? w[0][0].low : w[kLast][0].high,
                               w[0][1].high, kTiles == 1 ? w[0][1].low : w[kLast][1].high};
    [[maybe_unused]] const uint32_t second[4] = {w[0][0].low, w[kLast][0].low, w[0][1].low,
                                                 w[kLast][1].low};
#pragma unroll
    for (int pair = 0; pair < kSteps / 2; ++pair) {
      uint32_t b[2][4];
      tile_keys.Values(pair, b);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t low[2] = {b[i][0], b[i][1]}, high[2] = {b[i][2], b[i][3]};
        float(&left)[4] = sums[(pair * 2 + i) * 2], (&right)[4] = sums[(pair * 2 + i) * 2 + 1];
        MmaBf16(left, first, low);
        MmaBf16(right, first, high);
        if constexpr (kTiles == 2) {
          MmaBf16(left, second, low);
          MmaBf16(right, second, high);
        }
      }
    }
  }

  // The warp's keys of a part, which begins at `begin`, are every kWarps-th tile. Starts the first
  // tiles, as far as `keys` says.
  __device__ void Begin(const int32_t* table, int begin, const KeyRange& keys) const {
    int slots = 0;
#pragma unroll 1
    for (int i = 0; i < kStages; ++i) {
      const int first = begin + warp * kKeys + i * kStride;
      if (i % 2 == 0) slots = PairSlot(table, keys, first);
      if (first < keys.end) Load(slots, i % 2, i);
      CopyAsyncCommit();
    }
  }
  __device__ void Walk(const int32_t* table, int begin, int end) {
#pragma unroll
    for (auto& sum : sums) sum[0] = sum[1] = sum[2] = sum[3] = 0;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) m[tile] = -INFINITY, l[tile] = 0;
    int stage = 0, first = begin + warp * kKeys;
    const KeyRange keys = {begin, end, end};
    int slots = PairSlot(table, keys, first + kStages * kStride);
    for (; first < end; first += kStride) {
      CopyAsyncWait<kStages - 1>();
      __syncwarp();
      Tile(stage, end - first < kKeys ? end - first : kKeys);
      __syncwarp();
      const int ahead = first + kStages * kStride;
      if (ahead < end) Load(slots, stage % 2, stage);
      CopyAsyncCommit();
      if (stage % 2 == 1) slots = PairSlot(table, keys, ahead + kStride);
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    CopyAsyncWait<0>();
  }

  // The warps' results in shared memory: sums [warp][head][kOutStride], then m and l.
  __device__ float* SumsOf(int w, int head) const {
    return reinterpret_cast<float*>(SharedMemory()) + (w * kHeads + head) * kOutStride;
  }
  __device__ float* StateOf(int w, int head) const {
    return SumsOf(kWarps, 0) + (w * kHeads + head) * 2;
  }
  __device__ void Share() {
    const int me = ComputedHere(lane), head = me / 4;
#pragma unroll
    for (int i = 0; i < kDim / 8; ++i) {
      float* to = SumsOf(warp, head) + i / 2 * 16;
      const int d[2] = {OfKeys::OutColumn(me, i % 2, 0), OfKeys::OutColumn(me, i % 2, 1)};
      if constexpr (kTiles == 1) {
        to[d[0]] = sums[i][0] + sums[i][2];
        to[d[1]] = sums[i][1] + sums[i][3];
      } else {
        float* other = to + kTileHeads * kOutStride;
        to[d[0]] = sums[i][0];
        to[d[1]] = sums[i][1];
        other[d[0]] = sums[i][2];
        other[d[1]] = sums[i][3];
      }
    }
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const float all = QuadSum(l[tile]);
      if (me % 4 != 0) continue;
      float* state = StateOf(warp, tile * kTileHeads + head);
      state[0] = m[tile];
      state[1] = all;
    }
  }

  // Joins the warps, each for some heads: the row's result when this is its only part, else a part.
  __device__ void Finish(int heads, int split, bool only, const Parts& parts, float* out) {
    const int d = ComputedHere(lane) * 4;
    if (d >= dim) return;
    for (int head = warp; head < heads; head += kWarps) {
      float most = -INFINITY, all = 0;
      for (int w = 0; w < kWarps; ++w) most = fmaxf(most, StateOf(w, head)[0]);
      float4 sum = {0, 0, 0, 0};
      for (int w = 0; w < kWarps; ++w) {
        const float weight = Exp2(StateOf(w, head)[0] - BaseOf(most));
        const float4 v = *reinterpret_cast<const float4*>(SumsOf(w, head) + d);
        sum.x = fmaf(weight, v.x, sum.x);
        sum.y = fmaf(weight, v.y, sum.y);
        sum.z = fmaf(weight, v.z, sum.z);
        sum.w = fmaf(weight, v.w, sum.w);
        all = fmaf(weight, StateOf(w, head)[1], all);
      }
      const float one = only ? 1.0f / all : 1.0f;
      float* to = only ? out + int64_t{head} * dim : parts.Sums(split, head);
      *reinterpret_cast<float4*>(to + d) = {sum.x * one, sum.y * one, sum.z * one, sum.w * one};
      if (only || d > 0) continue;
      *reinterpret_cast<float2*>(parts.State(split, head)) = {most, all};
    }
  }
};

template <class B>
__global__ void __launch_bounds__(kThreads, B::kBlocksPerSm) GroupsKernel(Problem p) {
  LetNextBegin();
  const int row = static_cast<int>(blockIdx.z), n_kv = static_cast<int>(p.a.n_kv);
  const int head_blocks = static_cast<int>(gridDim.y) / n_kv;
  const int kv = static_cast<int>(blockIdx.y) / head_blocks;
  const int head0 = static_cast<int>(blockIdx.y) % head_blocks * B::kHeads;
  const int heads = min(B::kHeads, static_cast<int>(p.a.group) - head0);
  const RowKeys keys = p.index.rows[row];
  const int visible = keys.visible;
  int stored = keys.stored;
  const int32_t* table = p.index.tables + keys.table_at;
  const int n = SplitsOf(p.rule, visible), per_split = SplitKeys(p.rule, visible);
  const int64_t first_head = (int64_t{row} * n_kv + kv) * p.a.group + head0;
  B block(p, kv);
  const int first = static_cast<int>(blockIdx.x);
  for (int split = first; split < n; split += static_cast<int>(gridDim.x)) {
    const int begin = split * per_split, end = min(begin + per_split, visible);
    if (split > first) __syncthreads();
    block.Begin(table, begin, {begin, min(stored, end), end});
    if (split == first) {
      WaitForInputs();
      if (stored < end) block.Begin(table, begin, {stored, end, end});
      block.TakeQueries(p.q + first_head * p.a.k_dim, heads);
      if (stored < end) CopyAsyncWait<0>();  // of the first tiles, which came in two groups each
      stored = visible;
    }
    block.Walk(table, begin, end);
    __syncthreads();
    block.Share();
    __syncthreads();
    const int group =
        ComputedHere(row) * static_cast<int>(gridDim.y) + static_cast<int>(blockIdx.y);
    const Parts parts(p.space, group, p.parts, B::kHeads, static_cast<int>(p.a.v_dim));
    float* out = p.out + first_head * p.a.v_dim;
    block.Finish(heads, split, n == 1, parts, out);
    if (n == 1 || !IsLastBlock(p.counts + group, n)) continue;
    for (int head = block.warp; head < heads; head += kWarps) {
      JoinParts(parts, n, head, ComputedHere(block.lane) * 4, out + head * p.a.v_dim);
    }
  }
}

// Columns of the grid: every part its own block, unless the rows alone fill the card many times.
unsigned GridColumns(const AttentionShape& a, int64_t parts, int64_t groups) {
  constexpr int64_t kEnough = 8192, kLeast = 8;
  int64_t columns = CeilDiv(kEnough, groups * a.rows);
  columns = columns < kLeast ? kLeast : columns;
  return static_cast<unsigned>(columns < parts ? columns : parts);
}

int HeadsOfBlock(const AttentionShape& a) { return a.group > kTileHeads ? 16 : kTileHeads; }
int64_t HeadBlocks(const AttentionShape& a) {
  return a.n_kv * CeilDiv<int64_t>(a.group, HeadsOfBlock(a));
}

template <class B>
void LaunchGroups(Stream& s, const Problem& p) {
  const int64_t groups = HeadBlocks(p.a);
  const dim3 grid(GridColumns(p.a, p.parts, groups), static_cast<unsigned>(groups),
                  static_cast<unsigned>(p.a.rows));
  Launch(s, grid, kThreads, size_t{B::kShared}, GroupsKernel<B>, p);
}
template <CacheForm kForm>
void LaunchForm(Stream& s, const Problem& p) {
  const bool two = HeadsOfBlock(p.a) == 16;
  if (p.a.k_dim <= 64) {
    two ? LaunchGroups<Block<64, 2, kForm>>(s, p) : LaunchGroups<Block<64, 1, kForm>>(s, p);
  } else {
    two ? LaunchGroups<Block<128, 2, kForm>>(s, p) : LaunchGroups<Block<128, 1, kForm>>(s, p);
  }
}

}  // namespace

bool GroupsFit(const AttentionShape& a, const Cache& k, const Cache& v) {
  const bool alike = k.data != v.data && k.form == v.form && k.width == v.width &&
                     a.k_dim == a.v_dim && a.k_dim <= 128;
  if (k.form == CacheForm::kFp8) {
    return alike && a.k_dim % 16 == 0 && k.group == a.k_dim && v.group == a.k_dim;
  }
  return alike && k.form == CacheForm::kBf16 && a.k_dim % 8 == 0;
}

AttentionMemory GroupsSpace(const AttentionShape& a, int64_t most_visible) {
  const int64_t parts = MostSplits(RuleOf(a), most_visible), groups = a.rows * HeadBlocks(a);
  if (parts == 1) return {};
  return {groups * PartFloats(parts, HeadsOfBlock(a), a.v_dim), groups};
}

void AttendGroups(Stream& s, const AttentionShape& a, const float* q, const Cache& k,
                  const Cache& v, const RowIndex& index, const AttentionScratch& scratch,
                  float* out) {
  const SplitRule rule = RuleOf(a);
  const Problem p = {
      a, rule, q, k, v, index, MostSplits(rule, index.most), scratch.parts, out, scratch.counts};
  k.form == CacheForm::kFp8 ? LaunchForm<CacheForm::kFp8>(s, p)
                            : LaunchForm<CacheForm::kBf16>(s, p);
}

}  // namespace hadal::CUDA_NAMESPACE
