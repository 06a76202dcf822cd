// What is told of rows of logits: the 64 likeliest tokens and the mass of all (core/row_summary.h).
// A row is cut into groups of consecutive tokens, whose number its length fixes. First kernel: a
// warp per group finds its largest logit and its mass; limit: the card's memory. Second: a block
// per row. The 64 likeliest tokens are in the 64 groups with the likeliest first token, so it reads
// only those again, keeps what is as large as the least of the groups' largest, and ranks that.
#include "core/row_summary.h"
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kTop = RowSummary::kCandidates;
constexpr int kGroupThreads = 128;
constexpr int kQuad = 4;                   // tokens that are loaded at once
constexpr int kPiece = kQuad * kWarp;      // tokens of a warp's load
constexpr int kThreads = 1024;             // of the second kernel
constexpr int64_t kMostGroups = kThreads;  // a thread each
constexpr int kFound = 1024;               // entries that are ranked, at most

// Larger floats have larger keys; 0 is none: not finite.
__device__ uint32_t KeyOf(float v) {
  if (v == 0) return 0x80000000u;  // both zeros
  const uint32_t bits = __float_as_uint(v);
  if ((bits & 0x7f800000u) == 0x7f800000u) return 0;
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
__device__ float ValueOf(uint32_t key) {
  return __uint_as_float(key >> 31 != 0 ? key & 0x7fffffffu : ~key);
}
// Entries order tokens, or groups, by their key, the first of equals before the others; 0 is none.
__device__ uint64_t EntryOf(uint32_t key, int64_t index) {
  return key == 0 ? 0 : uint64_t{key} << 32 | ~static_cast<uint32_t>(index);
}

// Pieces of a group.
__device__ __host__ int PiecesOf(int64_t vocab) {
  return static_cast<int>(CeilDiv(vocab, kPiece * kMostGroups));
}
__device__ __host__ int64_t GroupsOf(int64_t vocab) {
  return CeilDiv(vocab, int64_t{kPiece} * PiecesOf(vocab));
}

// Of the finite logits of a group: the largest, minus infinity when there is none, and the sum of
// exp((logit - most) / temperature).
struct GroupSum {
  float most, mass;
};

// Four logits of a row from token `at` on; beyond `end` they are not finite.
struct Quad {
  float v[kQuad];
};
__device__ Quad LoadQuad(const float* row, int64_t vocab, int64_t at, int64_t end) {
  if (vocab % kQuad == 0 && at + kQuad <= end) {
    const float4 v = *reinterpret_cast<const float4*>(row + at);
    return {{v.x, v.y, v.z, v.w}};
  }
  Quad q;
  for (int i = 0; i < kQuad; ++i) q.v[i] = at + i < end ? row[at + i] : INFINITY;
  return q;
}

// exp(v / temperature) = 2^(v * scale). Finite, so that 0 * scale is 0.
__device__ float ScaleOf(float temperature) { return fminf(1.44269504f / temperature, 3e38f); }
__device__ float MassAt(GroupSum sum, float most, float scale) {
  return sum.most > -INFINITY ? sum.mass * Exp2((sum.most - most) * scale) : 0.0f;
}
__device__ void Include(GroupSum& sum, const Quad& low, const Quad& high, float scale) {
  float v[2 * kQuad], most = sum.most;
#pragma unroll
  for (int i = 0; i < 2 * kQuad; ++i) {
    const float x = i < kQuad ? low.v[i] : high.v[i - kQuad];
    v[i] = KeyOf(x) != 0 ? x : -INFINITY;
    most = fmaxf(most, v[i]);
  }
  const float base = most > -INFINITY ? most : 0.0f;
  sum.mass = MassAt(sum, base, scale);
#pragma unroll
  for (const float x : v) sum.mass += Exp2((x - base) * scale);
  sum.most = most;
}

__global__ void __launch_bounds__(kGroupThreads)
    GroupSumsKernel(const float* logits, int64_t vocab, const float* temperatures, GroupSum* sums) {
  LetNextBegin();
  WaitForInputs();
  const int64_t row = blockIdx.x, groups = GroupsOf(vocab);
  const int64_t group = (int64_t{blockIdx.y} * kGroupThreads + threadIdx.x) / kWarp;
  if (group >= groups) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, pieces = PiecesOf(vocab);
  const float* from = logits + row * vocab;
  const float scale = ScaleOf(temperatures[row]);
  const int64_t first = group * pieces * kPiece + lane * kQuad;
  GroupSum sum = {-INFINITY, 0};
  for (int piece = 0; piece < pieces; piece += 2) {
    const int64_t at = first + int64_t{piece} * kPiece;
    const Quad low = LoadQuad(from, vocab, at, vocab);
    const Quad high = LoadQuad(from, vocab, at + kPiece, piece + 1 < pieces ? vocab : 0);
    Include(sum, low, high, scale);
  }
  const float most = WarpMax(sum.most);
  const float mass = WarpSum(MassAt(sum, most, scale));
  if (lane == 0) sums[row * groups + group] = {most, mass};
}

// The least of the kTop largest of n entries entry(i), which differ; 1, less than all, when there
// are no more than kTop. For the whole block; a bit at a time.
template <class F>
__device__ uint64_t LeastOfTop(int n, const F& entry) {
  const auto count = [&](uint64_t least) {
    int all = 0;
    for (int first = 0; first < n; first += kThreads) {
      const int i = first + static_cast<int>(threadIdx.x);
      all += __syncthreads_count(i < n && entry(i) >= least);
    }
    return all;
  };
  if (count(1) <= kTop) return 1;
  uint64_t top = 0;
  for (int bit = 63; bit >= 0; --bit) {
    const uint64_t least = top | uint64_t{1} << bit;
    const int all = count(least);
    if (all >= kTop) top = least;
    if (all == kTop) break;
  }
  return top;
}

// What a block of the second kernel shares.
struct Shared {
  uint64_t found[kFound];
  float scratch[kWarp];
  int groups[kTop];  // that are read again
  int group_count, found_count;
};

// The tokens of some groups of a row.
struct Candidates {
  Shared& shared;
  const float* logits;
  int64_t vocab;
  int pieces;

  __device__ int64_t FirstOf(int piece) const {  // of all pieces of the groups
    return (int64_t{shared.groups[piece / pieces]} * pieces + piece % pieces) * kPiece;
  }
  __device__ int count() const { return shared.group_count * pieces * kPiece; }
  __device__ uint64_t Entry(int i) const {
    const int64_t token = FirstOf(i / kPiece) + i % kPiece;
    return token < vocab ? EntryOf(KeyOf(logits[token]), token) : 0;
  }
  // Puts those of at least `least` into shared.found, as far as there is room, and counts them.
  __device__ void Find(uint64_t least) {
    constexpr int kTogether = 4, kWarps = kThreads / kWarp;
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const int lane = static_cast<int>(threadIdx.x) % kWarp, n = shared.group_count * pieces;
    if (threadIdx.x == 0) shared.found_count = 0;
    __syncthreads();
    for (int first = warp; first < n; first += kTogether * kWarps) {
      Quad q[kTogether];
      int64_t at[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int piece = first + i * kWarps;
        at[i] = piece < n ? FirstOf(piece) + lane * kQuad : vocab;
        q[i] = LoadQuad(logits, vocab, at[i], vocab);
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
#pragma unroll
        for (int j = 0; j < kQuad; ++j) {
          const uint64_t entry = EntryOf(KeyOf(q[i].v[j]), at[i] + j);
          if (entry < least) continue;
          const int to = atomicAdd(&shared.found_count, 1);
          if (to < kFound) shared.found[to] = entry;
        }
      }
    }
    __syncthreads();
  }
};

// Writes the first kTop of what was found, in order.
__device__ void WriteTop(const Shared& shared, RowSummary& out) {
  const int n = shared.found_count, me = static_cast<int>(threadIdx.x);
  if (me == 0) out.n = n < kTop ? n : kTop;
  if (me >= n) return;
  const uint64_t mine = shared.found[me];
  int rank = 0;
#pragma unroll 8
  for (int i = 0; i < n; ++i) rank += shared.found[i] > mine ? 1 : 0;
  if (rank >= kTop) return;
  out.ids[rank] = static_cast<TokenId>(~static_cast<uint32_t>(mine));
  out.values[rank] = ValueOf(static_cast<uint32_t>(mine >> 32));
}

__global__ void __launch_bounds__(kThreads)
    SummaryKernel(const float* logits, int64_t vocab, const float* temperatures,
                  const GroupSum* sums, RowSummary* out) {
  LetNextBegin();
  WaitForInputs();
  Shared& shared = *reinterpret_cast<Shared*>(SharedMemory());
  const int64_t row = blockIdx.x;
  const int groups = static_cast<int>(GroupsOf(vocab)), me = static_cast<int>(threadIdx.x);
  const float temperature = temperatures[row];
  const GroupSum sum = me < groups ? sums[row * groups + me] : GroupSum{-INFINITY, 0};
  const float most = BlockMax(sum.most, shared.scratch);
  const float mass = BlockSum(MassAt(sum, most, ScaleOf(temperature)), shared.scratch);
  if (me == 0) {
    out[row].mass = temperature > 0 ? mass : 0.0f;
    shared.group_count = 0;
  }
  const uint64_t group = EntryOf(KeyOf(sum.most), me);
  const uint64_t least = LeastOfTop(groups, [&](int) { return group; });
  if (group >= least) shared.groups[atomicAdd(&shared.group_count, 1)] = me;
  __syncthreads();
  Candidates candidates = {shared, logits + row * vocab, vocab, PiecesOf(vocab)};
  // Tokens as large as the least group's largest one: the lowest entry of that key, or any.
  const uint64_t key = least >> 32 << 32;
  candidates.Find(key > 0 ? key : 1);
  if (shared.found_count > kFound) {
    candidates.Find(LeastOfTop(candidates.count(), [&](int i) { return candidates.Entry(i); }));
  }
  WriteTop(shared, out[row]);
}

}  // namespace

int64_t SummarySpace(int64_t rows, int64_t vocab) {
  return rows * GroupsOf(vocab) * static_cast<int64_t>(sizeof(GroupSum));
}

void Summarise(Stream& s, const float* logits, int64_t rows, int64_t vocab,
               const float* temperatures, void* space, RowSummary* out) {
  auto* sums = static_cast<GroupSum*>(space);
  const int64_t blocks = CeilDiv<int64_t>(GroupsOf(vocab), kGroupThreads / kWarp);
  Launch(s, dim3(static_cast<unsigned>(rows), static_cast<unsigned>(blocks)), kGroupThreads, 0,
         GroupSumsKernel, logits, vocab, temperatures, sums);
  Launch(s, dim3(static_cast<unsigned>(rows)), kThreads, sizeof(Shared), SummaryKernel, logits,
         vocab, temperatures, sums, out);
}

}  // namespace hadal::CUDA_NAMESPACE
