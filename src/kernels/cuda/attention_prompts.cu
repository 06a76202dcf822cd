// Attention of the rows of prompts on the matrix unit: queries, keys, values and probabilities in
// bf16, scores and sums in float32. A block takes 64 or 128 rows of one chunk and one head, a warp
// 32 of them, and walks the keys in tiles of 64 that begin at multiples of 64 of the sequence's
// positions: a row's result follows from its position, not from where its chunk begins or ends.
// While a tile is multiplied the next one's keys arrive, and its values where shared memory has
// room for two tiles of both: then a tile takes one barrier. Limit: the matrix unit.
#include "kernels/cuda/attention_parts.h"
#include "kernels/cuda/cache_values.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kWarpRows = 32, kRowTiles = kWarpRows / 16;
constexpr int kKeys = 64;
constexpr int kMostChunks = 64;   // of a launch
constexpr int kProcessors = 132;  // of the card that launches are sized for

struct Problem {
  PromptShape a;
  const float* q;
  PromptKeys keys;
  RowIndex index;
  float* out;
  RoundedCopy rounded;
  int chunks;
  PromptChunk chunk[kMostChunks];
};

__device__ __host__ int TilesOf(const PromptChunk& c, int rows) {
  return CeilDiv<int>(c.n_rows, rows);
}

// kK and kV: columns of keys and values, padded with zeros.
template <int kK, int kV, int kWarps>
struct Block {
  static constexpr int kThreads = kWarps * kWarp, kRows = kWarps * kWarpRows;
  static constexpr int kValueBuffers = kK > 128 ? 1 : 2;
  static constexpr int kKeyChunks = kK / 8, kValueChunks = kV / 8;
  static constexpr int kQueryBytes = kRows * kK * 2;
  static constexpr int kKeyBytes = kKeys * kK * 2, kValueBytes = kKeys * kV * 2;
  static constexpr int kShared =
      kQueryBytes + 2 * kKeyBytes + kValueBuffers * kValueBytes + 2 * kKeys * 4;

  const Problem& p;
  const int lane, warp;
  char *const queries, *const keys, *const values;
  int* const slots;  // of two tiles of keys; -1: none
  const int kv;      // key head

  float sums[kRowTiles][kV / 8][4];
  float m[kRowTiles][2], l[kRowTiles][2];

  __device__ explicit Block(const Problem& problem, int head)
      : p(problem),
        lane(static_cast<int>(threadIdx.x) % kWarp),
        warp(static_cast<int>(threadIdx.x) / kWarp),
        queries(SharedMemory()),
        keys(queries + kQueryBytes),
        values(keys + 2 * kKeyBytes),
        slots(reinterpret_cast<int*>(values + kValueBuffers * kValueBytes)),
        kv(head / p.a.group) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (auto& sum : sums[i]) sum[0] = sum[1] = sum[2] = sum[3] = 0;
#pragma unroll
      for (int half = 0; half < 2; ++half) m[i][half] = -INFINITY, l[i][half] = 0;
    }
  }

  // Queries of `n` rows, rounded, in log2 units; zeros beyond.
  __device__ void TakeQueries(const float* from, int n) const {
    const float scale = p.a.scale * kLog2E;
#pragma unroll 8
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kKeyChunks; i += kThreads) {
      const int r = i / kKeyChunks, c = i % kKeyChunks;
      uint4 rounded = {0, 0, 0, 0};
      if (r < n && c * 8 < p.a.k_dim) {
        const auto* x =
            reinterpret_cast<const float4*>(from + int64_t{r} * p.a.row_heads * p.a.k_dim + c * 8);
        const float4 a = x[0], b = x[1];
        rounded = {PackBf16(a.x * scale, a.y * scale), PackBf16(a.z * scale, a.w * scale),
                   PackBf16(b.x * scale, b.y * scale), PackBf16(b.z * scale, b.w * scale)};
      }
      *reinterpret_cast<uint4*>(ChunkAt(queries, kKeyChunks * 16, r, c)) = rounded;
    }
  }

  // Of the thread's key in a tile. `start`: where the sequence's table begins in the tables, or its
  // keys in the rows of keys.
  __device__ int FindSlot(int start, int tile, int end) const {
    const int key = static_cast<int>(threadIdx.x), position = tile * kKeys + key;
    if (key >= kKeys || position >= end) return -1;
    return p.keys.paged ? SlotOf(p.index, p.index.tables + start, position) : start + position;
  }
  __device__ void KeepSlot(int tile, int slot) const {
    const int key = static_cast<int>(threadIdx.x);
    if (key < kKeys) slots[tile % 2 * kKeys + key] = slot;
  }
  // Rows of kChunks chunks: a warp copies 16 keys, each lane always the same chunk.
  template <int kChunks>
  __device__ void Load(const KeyColumns& from, int column, int tile, char* to) const {
    constexpr int kAtOnce = kChunks < kWarp ? kWarp / kChunks : 1, kEach = kKeys / kWarps;
    const int c = lane % (kWarp / kAtOnce);
    const bool inside = c < kChunks && column < from.columns;
    const uint16_t* data = from.data + (inside ? kv * from.head + column : 0);
    const int ld = static_cast<int>(from.ld);
#pragma unroll 4
    for (int i = 0; i < kEach / kAtOnce; ++i) {
      const int key = warp * kEach + i * kAtOnce + lane / (kWarp / kAtOnce);
      const int slot = slots[tile % 2 * kKeys + key];
      const bool valid = inside && slot >= 0;
      if (c < kChunks) {
        CopyAsync16(ChunkAt(to, kChunks * 16, key, c), data + (valid ? int64_t{slot} * ld : 0),
                    valid);
      }
    }
  }
  __device__ void LoadKeys(int tile) const {
    const int column = lane % (kKeyChunks < kWarp / 2 + 1 ? kKeyChunks : kWarp) * 8;
    const bool first = column < p.keys.first.columns;
    Load<kKeyChunks>(first ? p.keys.first : p.keys.second,
                     first ? column : column - p.keys.first.columns, tile, KeysOf(tile));
  }
  __device__ void LoadValues(int tile) const {
    Load<kValueChunks>(p.keys.values, lane % kValueChunks * 8, tile, ValuesOf(tile));
  }
  __device__ char* KeysOf(int tile) const { return keys + tile % 2 * kKeyBytes; }
  __device__ char* ValuesOf(int tile) const { return values + tile % kValueBuffers * kValueBytes; }

  using Scores = float[kRowTiles][kKeys / 8][4];

  // Operands are loaded one turn before they are multiplied.
  __device__ void Score(int tile, Scores& s) const {
    constexpr int kBytes = kK * 2, kSteps = kK / 16, kColumns = kKeys / 16;
    const LaneRows mine(queries, kBytes, warp * kWarpRows + lane % 16, lane / 16);
    const LaneRows all(KeysOf(tile), kBytes, lane / 16 * 8 + lane % 8, lane / 8 % 2);
    uint32_t a[2][kRowTiles][4], b[2][4];
    const auto load_rows = [&](int step) {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        LoadMatrix4(a[step % 2][i], mine.At(i * 16 * kBytes, step));
      }
    };
    load_rows(0);
    LoadMatrix4(b[0], all.At(0, 0));
#pragma unroll
    for (int turn = 0; turn < kSteps * kColumns; ++turn) {
      const int step = turn / kColumns, j = turn % kColumns, next = turn + 1;
      if (j == 0 && step + 1 < kSteps) load_rows(step + 1);
      if (next < kSteps * kColumns) {
        LoadMatrix4(b[next % 2], all.At(next % kColumns * 16 * kBytes, next / kColumns));
      }
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) MultiplyPair(&s[i][j * 2], a[step % 2][i], b[turn % 2]);
    }
  }
  // Two columns of fragments beside each other.
  __device__ static void MultiplyPair(float (*sums)[4], const uint32_t (&a)[4],
                                      const uint32_t (&b)[4]) {
    MmaBf16(sums[0], a, {b[0], b[1]});
    MmaBf16(sums[1], a, {b[2], b[3]});
  }

  // Scores of keys that follow a row's own position weigh nothing; `ahead` is the position of the
  // warp's first row less that of the tile's first key.
  __device__ void Mask(int ahead, Scores& s) const {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int key = j * 8 + lane % 4 * 2 + e % 2, row = i * 16 + lane / 4 + e / 2 * 8;
          if (key > ahead + row) s[i][j][e] = -INFINITY;
        }
      }
    }
  }

  // Scores become probabilities.
  __device__ void Weigh(Scores& s) {
    float shrink[kRowTiles][2];
    bool shrinks = false;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int e = half * 2;
        float largest = -INFINITY;
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j) {
          largest = fmaxf(largest, fmaxf(s[i][j][e], s[i][j][e + 1]));
        }
        const float before = m[i][half];
        m[i][half] = fmaxf(before, QuadMax(largest));
        const float base = BaseOf(m[i][half]);
        shrink[i][half] = Exp2(before - base);
        shrinks = shrinks || (shrink[i][half] != 1.0f && before != -INFINITY);
        float sum = 0;
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j) {
          s[i][j][e] = Exp2(s[i][j][e] - base);
          s[i][j][e + 1] = Exp2(s[i][j][e + 1] - base);
          sum += s[i][j][e] + s[i][j][e + 1];
        }
        l[i][half] = fmaf(l[i][half], shrink[i][half], sum);
      }
    }
    if (__ballot_sync(~0u, shrinks) == 0) return;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (auto& sum : sums[i]) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sum[e] *= shrink[i][e / 2];
      }
    }
  }

  __device__ void AddValues(int tile, const Scores& s) {
    constexpr int kBytes = kV * 2, kSteps = kKeys / 16, kColumns = kV / 16;
    const LaneRows all(ValuesOf(tile), kBytes, lane % 16, lane / 16);
    uint32_t b[2][4];
    LoadMatrix4Transposed(b[0], all.At(0, 0));
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      uint32_t a[kRowTiles][4];
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        const float(&first)[4] = s[i][step * 2], (&second)[4] = s[i][step * 2 + 1];
        a[i][0] = PackBf16(first[0], first[1]);
        a[i][1] = PackBf16(first[2], first[3]);
        a[i][2] = PackBf16(second[0], second[1]);
        a[i][3] = PackBf16(second[2], second[3]);
      }
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        const int turn = step * kColumns + j, next = turn + 1;
        if (next < kSteps * kColumns) {
          LoadMatrix4Transposed(b[next % 2],
                                all.At(next / kColumns * 16 * kBytes, next % kColumns));
        }
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) MultiplyPair(&sums[i][j * 2], a[i], b[turn % 2]);
      }
    }
  }

  // `n` rows, whose queries are in q and the first of which sees `visible` keys.
  __device__ void Walk(const float* q, int start, int visible, int n) {
    const int end = visible + n - 1, tiles = CeilDiv(end, kKeys);
    KeepSlot(0, FindSlot(start, 0, end));
    KeepSlot(1, FindSlot(start, 1, end));
    __syncthreads();
    LoadKeys(0);
    if (kValueBuffers == 2) LoadValues(0);
    CopyAsyncCommit();
    TakeQueries(q, n);
    const int mine = min(kWarpRows, n - warp * kWarpRows);
    const int first = visible - 1 + warp * kWarpRows;  // position of the warp's first row
    for (int tile = 0; tile < tiles; ++tile) {
      const int ahead = first - tile * kKeys;
      const bool sees = mine > 0 && ahead + mine > 0;
      CopyAsyncWait<0>();
      __syncthreads();  // the tile is there, and all are done with the one before
      if (kValueBuffers == 1) LoadValues(tile);
      CopyAsyncCommit();
      if (tile + 1 < tiles) {
        LoadKeys(tile + 1);
        if (kValueBuffers == 2) LoadValues(tile + 1);
      }
      CopyAsyncCommit();
      const int slot = FindSlot(start, tile + 2, end);  // arrives while the tile is multiplied
      Scores s = {};
      if (sees) {
        Score(tile, s);
        if (ahead < kKeys - 1) Mask(ahead, s);
        Weigh(s);
      }
      if (kValueBuffers == 1) {
        CopyAsyncWait<1>();
        __syncthreads();
      }
      if (sees) AddValues(tile, s);
      KeepSlot(tile, slot);
    }
    CopyAsyncWait<0>();
  }

  // `n` rows, of which the first is at `at` of the output.
  __device__ void Finish(int64_t at, int n) const {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = warp * kWarpRows + i * 16 + half * 8 + lane / 4;
        const float inverse = 1.0f / QuadSum(l[i][half]);
        if (row >= n) continue;
        const int64_t to = at + int64_t{row} * p.a.row_heads * p.a.v_dim;
#pragma unroll
        for (int j = 0; j < kV / 8; ++j) {
          const int d = j * 8 + lane % 4 * 2;
          if (d >= p.a.v_dim) continue;
          const float2 v = {sums[i][j][half * 2] * inverse, sums[i][j][half * 2 + 1] * inverse};
          *reinterpret_cast<float2*>(p.out + to + d) = v;
          if (p.rounded.data == nullptr) continue;
          *reinterpret_cast<uint32_t*>(p.rounded.data + (to - p.rounded.from) + d) =
              PackBf16(v.x, v.y);
        }
      }
    }
  }
};

// Which block of all does what this one does: the last rows of a chunk see the most keys, and the
// longest blocks come first. Where none has to wait, a processor's second one is the shorter the
// longer its first one is.
__device__ int Turn() {
  const int block = static_cast<int>(blockIdx.x), all = static_cast<int>(gridDim.x);
  return block >= kProcessors && all <= 2 * kProcessors ? all - 1 - (block - kProcessors) : block;
}

template <class B>
__global__ void __launch_bounds__(B::kThreads, 2) PromptsKernel(const __grid_constant__ Problem p) {
  LetNextBegin();
  WaitForInputs();
  const int turn = Turn(), head = turn % p.a.heads;
  int tile = turn / p.a.heads, at = 0;
  for (; tile >= TilesOf(p.chunk[at], B::kRows); ++at) tile -= TilesOf(p.chunk[at], B::kRows);
  const PromptChunk chunk = p.chunk[at];
  tile = TilesOf(chunk, B::kRows) - 1 - tile;
  const int row0 = tile * B::kRows;
  const int n = min(B::kRows, chunk.n_rows - row0);
  const int64_t first = (int64_t{chunk.first_row} + row0) * p.a.row_heads + head;
  B block(p, head);
  const RowKeys keys = p.index.rows[chunk.first_row];
  block.Walk(p.q + first * p.a.k_dim, p.keys.paged ? keys.table_at : chunk.first_key,
             keys.visible + row0, n);
  block.Finish(first * p.a.v_dim, n);
}

unsigned AllTiles(const Problem& p, int rows) {
  unsigned tiles = 0;
  for (int i = 0; i < p.chunks; ++i) tiles += static_cast<unsigned>(TilesOf(p.chunk[i], rows));
  return tiles;
}

template <class B>
unsigned AllBlocks(const Problem& p) {
  return AllTiles(p, B::kRows) * static_cast<unsigned>(p.a.heads);
}
template <class B>
void LaunchBlocks(Stream& s, const Problem& p) {
  Launch(s, dim3(AllBlocks<B>(p)), B::kThreads, size_t{B::kShared}, PromptsKernel<B>, p);
}

// Half as many rows to a block where whole blocks would leave processors idle, or take more shared
// memory than the card has. A row's result is the same in both.
template <int kK, int kV>
void LaunchPrompts(Stream& s, const Problem& p) {
  using Whole = Block<kK, kV, 4>;
  if (AllBlocks<Whole>(p) < kProcessors || size_t{Whole::kShared} > s.most_shared) {
    return LaunchBlocks<Block<kK, kV, 2>>(s, p);
  }
  LaunchBlocks<Whole>(s, p);
}

__global__ void GatherKernel(Cache c, RowIndex index, int64_t row, int64_t n, int from, int chunks,
                             uint4* out) {
  LetNextBegin();
  WaitForInputs();
  const int32_t* table = index.tables + index.rows[row].table_at;
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n * chunks; i += stride) {
    const int64_t slot = SlotOf(index, table, static_cast<int>(i / chunks));
    out[i] = ReadRounded(c, slot, from + static_cast<int>(i % chunks) * 8);
  }
}

}  // namespace

bool PromptsFit(int64_t k_dim, int64_t v_dim) {
  return k_dim % 8 == 0 && v_dim % 8 == 0 && k_dim <= 192 && v_dim <= 128;
}

void AttendPrompts(Stream& s, const PromptShape& shape, const float* q, const PromptKeys& keys,
                   const RowIndex& index, std::span<const PromptChunk> chunks, float* out,
                   const RoundedCopy& rounded) {
  Problem p = {shape, q, keys, index, out, rounded, 0, {}};
  for (size_t i = 0; i < chunks.size(); ++i) {
    p.chunk[p.chunks++] = chunks[i];
    if (p.chunks < kMostChunks && i + 1 < chunks.size()) continue;
    if (shape.k_dim <= 64 && shape.v_dim <= 64) {
      LaunchPrompts<64, 64>(s, p);
    } else if (shape.k_dim <= 128) {
      LaunchPrompts<128, 128>(s, p);
    } else {
      LaunchPrompts<192, 128>(s, p);
    }
    p.chunks = 0;
  }
}

void GatherCache(Stream& s, const Cache& cache, const RowIndex& index, int64_t row, int64_t n,
                 int64_t from, int64_t columns, uint16_t* out) {
  constexpr int kGatherThreads = 256;
  const int64_t chunks = columns / 8, blocks = CeilDiv<int64_t>(n * chunks, kGatherThreads);
  Launch(s, dim3(static_cast<unsigned>(blocks < 4096 ? blocks : 4096)), kGatherThreads, 0,
         GatherKernel, cache, index, row, n, static_cast<int>(from), static_cast<int>(chunks),
         reinterpret_cast<uint4*>(out));
}

}  // namespace hadal::CUDA_NAMESPACE
