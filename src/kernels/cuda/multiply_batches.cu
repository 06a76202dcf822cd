// Products of batches, 9 to 64 rows of x at a time, with bf16 weights.
//
// The bits are those of multiply_rows.cu, whose instructions and order these are: there the warps
// of a block share k, each with a chain of lines of its own, and their sums are added in order.
// With many rows x outweighs the weights there, for every block reads all of it for 16 to 64 rows
// of weights. Here a warp has rows of weights of its own and walks the chains one after another, so
// that x comes once for up to 288 rows, through a ring of shared memory that the warps have in
// common. Matrices with too few rows for that are cut at the chains: their sums go to memory, and
// the last block of the same rows adds them in order. How a product is cut changes no bit.
//
// Limit: weight bytes over memory bandwidth; up to about 64 rows mma.sync keeps up with an H200.
#include "kernels/cuda/half_products.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr Form kForm = Form::kBf16;
constexpr int kTiles = 2;  // of 16 rows of weights, of a warp
constexpr int kWarpRows = kTiles * kProductRows;
constexpr int kMostBatchWarps = 9;
constexpr int kStages = 4;
constexpr int kLine = kStepK<kForm>, kParts = kXParts<kForm>;
constexpr int kHalves = kLine / kHalfStep;
constexpr int kTileWords = kHalves * kParts * kWarp;  // 16 bytes of 8 rows of x and a line

template <int kColumns>
constexpr int kStageBytesOfX = kColumns / 8 * kTileWords * 16;
__device__ __host__ constexpr int StageBytes(int columns, int warps) {
  return warps * kTiles * kTileBytes + columns / 8 * kTileWords * 16;
}

// How the products are cut into blocks of threads.
struct Cut {
  int warps = 0;   // of a block, each with kWarpRows rows of weights
  int chains = 0;  // of k
  bool at_chains = false;
  // Where it is: [part of rows of x][group of rows of weights][chain][warp][tile][8 rows of
  // x][lane] of four floats; blocks that are done of every part and group.
  float4* sums = nullptr;
  int* counts = nullptr;
};
__host__ __device__ inline int GroupsOf(const Matrix& w, int warps) {
  return static_cast<int>(CeilDiv<int64_t>(w.rows, warps * kWarpRows));
}
int GroupsOf(const RowProducts& products, int warps) {
  int groups = 0;
  for (int i = 0; i < products.count; ++i) groups += GroupsOf(products.of[i].w, warps);
  return groups;
}

// What a block computes: rows of weights, and chains of k.
struct BatchPart {
  int product = 0, group = 0;  // of the product
  int all_groups = 0;          // before it, with those of the other products
  int chain = 0, end = 0;

  __device__ BatchPart(const RowProducts& products, const Cut& cut, int warps, int y) {
    all_groups = group = cut.at_chains ? y / cut.chains : y;
    chain = cut.at_chains ? y % cut.chains : 0;
    end = cut.at_chains ? chain + 1 : cut.chains;
    for (; product + 1 < products.count; ++product) {
      const int groups = GroupsOf(products.of[product].w, warps);
      if (group < groups) break;
      group -= groups;
    }
  }
};

// The lines of some chains, one chain after another.
struct Lines {
  int line, chain, end, stride, count;

  __device__ Lines(const BatchPart& part, int chains, int lines)
      : line(part.chain), chain(part.chain), end(part.end), stride(chains), count(lines) {}
  __device__ bool Done() const { return chain >= end; }
  // Whether a chain ended.
  __device__ bool Next() {
    line += stride;
    if (line < count) return false;
    line = ++chain;
    return true;
  }
};

// x of a line, for all warps: [8 rows][half][part][lane] 16 bytes, as SplitRows left it.
template <int kColumns>
struct LinesOfX {
  const uint4* split;
  int steps, tiles;  // half steps of a row; eights of rows that are there

  __device__ LinesOfX(const Activations& x, int cols, int rows, int first)
      : steps(CeilDiv(cols, kHalfStep)), tiles(CeilDiv(rows - first, 8)) {
    split = static_cast<const uint4*>(x.split) + int64_t{first / 8} * steps * kParts * kWarp;
  }
  __device__ void Copy(int line, uint4* to) const {
    constexpr int kWords = kColumns / 8 * kTileWords;
    for (int i = static_cast<int>(threadIdx.x); i < kWords; i += static_cast<int>(blockDim.x)) {
      const int tile = i / kTileWords, word = i % kTileWords;
      const int step = line * kHalves + word / (kParts * kWarp);
      const bool valid = tile < tiles && step < steps;
      const int at = (tile * steps + line * kHalves) * kParts * kWarp + word;
      CopyAsync16(to + i, valid ? split + at : split, valid);
    }
  }
};

// sums += a line of weights times x. Every sum is one chain: of 32 values of k four instructions,
// in the order of MultiplyHalfStep; those of several sums take turns.
template <int kN>
__device__ void MultiplyLine(char* weights, const uint4* x, float (&sums)[kTiles][kN][4]) {
  constexpr int kTogether = kN == 4 ? 4 : 2;  // as registers allow
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    WeightHalfStep<kForm> w[kTiles];
#pragma unroll
    for (int m = 0; m < kTiles; ++m) w[m].Load(weights + m * kTileBytes, half);
#pragma unroll
    for (int n0 = 0; n0 < kN; n0 += kTogether) {
      uint4 of_x[kTogether][kParts];
#pragma unroll
      for (int n = 0; n < kTogether; ++n) {
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          of_x[n][part] = x[(n0 + n) * kTileWords + (half * kParts + part) * kWarp + lane];
        }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int part = kParts - 1; part >= 0; --part) {
#pragma unroll
          for (int n = 0; n < kTogether; ++n) {
            const uint4& v = of_x[n][part];
#pragma unroll
            for (int m = 0; m < kTiles; ++m) {
              MmaBf16(sums[m][n0 + n], w[m].a[0][i], {i == 0 ? v.x : v.z, i == 0 ? v.y : v.w});
            }
          }
        }
      }
    }
  }
}

// The sums of a warp to the output: rows lane / 4 and lane / 4 + 8 of each tile, of which the first
// gates the second in gated products.
template <int kN>
__device__ void StoreTotals(const float (&total)[kTiles][kN][4], const RowProducts& products,
                            int product, int tile, int first, int rows) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Output& out = products.of[product].out;
  const auto w_rows = static_cast<int>(products.of[product].w.rows);
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (products.gated && i > 0) break;
      const int n_of_tile = products.gated ? kProductRows / 2 : kProductRows;
      const int at = (tile + m) * n_of_tile + i * 8 + lane / 4;
      if (at >= (products.gated ? w_rows / 2 : w_rows)) continue;
      const float bias = out.bias == nullptr ? 0 : out.bias[at];
#pragma unroll
      for (int n = 0; n < kN; ++n) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const int row = first + n * 8 + lane % 4 * 2 + c;
          if (row >= rows) continue;
          const float sum = total[m][n][2 * i + c];
          float* to = out.data + row * out.ld + at;
          if (products.gated) {
            *to = Gate(sum, total[m][n][2 + c]);
          } else {
            *to = out.bias == nullptr ? sum : sum + bias;
          }
        }
      }
    }
  }
}

// A warp's sums of every chain, in memory.
template <int kN>
struct ChainSums {
  float4* of_warp;  // of the first chain
  int64_t next;     // from chain to chain

  __device__ ChainSums(const Cut& cut, const BatchPart& part, int groups, int warps, int warp) {
    constexpr int kOfWarp = kTiles * kN * kWarp;
    const int64_t group = int64_t{blockIdx.x} * groups + part.all_groups;
    next = int64_t{warps} * kOfWarp;
    of_warp = cut.sums + group * cut.chains * next + warp * kOfWarp +
              static_cast<int>(threadIdx.x) % kWarp;
  }
  __device__ void Store(int chain, const float (&sums)[kTiles][kN][4]) const {
    float4* to = of_warp + chain * next;
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        const auto& s = sums[m][n];
        to[(m * kN + n) * kWarp] = {s[0], s[1], s[2], s[3]};
      }
    }
  }
  __device__ void Total(int chains, float (&total)[kTiles][kN][4]) const {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        const float4* from = of_warp + (m * kN + n) * kWarp;
        float4 v[kMostWarps];
#pragma unroll
        for (int c = 0; c < kMostWarps; ++c)
          v[c] = c < chains ? from[c * next] : float4{0, 0, 0, 0};
#pragma unroll
        for (int c = 0; c < kMostWarps; ++c) {
          if (c >= chains) break;
          const float of_chain[4] = {v[c].x, v[c].y, v[c].z, v[c].w};
          for (int i = 0; i < 4; ++i) {
            total[m][n][i] = c == 0 ? of_chain[i] : total[m][n][i] + of_chain[i];
          }
        }
      }
    }
  }
};

// Whether this block is the last of `n` to have stored its sums.
__device__ bool IsLast(int* count, int n) {
  int* last = reinterpret_cast<int*>(SharedMemory());
  __syncthreads();
  if (threadIdx.x == 0) {
    *last = CountBlock(count) == n - 1;
    if (*last != 0) *count = 0;
  }
  __syncthreads();
  return *last != 0;
}

template <int kColumns>
__global__ void __launch_bounds__(kMostBatchWarps* kWarp, 1)
    BatchKernel(const __grid_constant__ RowProducts products, Activations x, int rows, Cut cut,
                int groups) {
  constexpr int kN = kColumns / 8;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const BatchPart part(products, cut, warps, static_cast<int>(blockIdx.y));
  const Matrix& w = products.of[part.product].w;
  const auto cols = static_cast<int>(w.cols);
  const int first = static_cast<int>(blockIdx.x) * kColumns;
  const int tile = (part.group * warps + warp) * kTiles;
  const WeightRows<kForm> weights(w, 0, tile, products.gated);
  const LinesOfX<kColumns> of_x(x, cols, rows, first);
  const int stage_bytes = StageBytes(kColumns, warps);
  const auto of_warp = [&](int stage) {
    return SharedMemory() + stage * stage_bytes + warp * kTiles * kTileBytes;
  };
  const auto x_of = [&](int stage) {
    return reinterpret_cast<uint4*>(SharedMemory() + stage * stage_bytes +
                                    warps * kTiles * kTileBytes);
  };
  const auto copy_weights = [&](int line, int stage) {
    for (int m = 0; m < kTiles; ++m) {
      weights.Copy(m, line * kLine, of_warp(stage) + m * kTileBytes);
    }
  };
  Lines walk(part, cut.chains, CeilDiv(cols, kLine));
  Lines ahead = walk, ahead_of_x = walk;
  for (int i = 0; i < kStages - 1; ++i) {
    if (!ahead.Done()) copy_weights(ahead.line, i);
    ahead.Next();
  }
  LetNextBegin();
  WaitForInputs();
  for (int i = 0; i < kStages - 1; ++i) {
    if (!ahead_of_x.Done()) of_x.Copy(ahead_of_x.line, x_of(i));
    ahead_of_x.Next();
    CopyAsyncCommit();
  }
  float sums[kTiles][kN][4] = {}, total[kTiles][kN][4];
  int stage = 0;
#pragma unroll 1
  while (!walk.Done()) {
    CopyAsyncWait<kStages - 2>();
    __syncthreads();
    const int next = stage == 0 ? kStages - 1 : stage - 1;
    if (!ahead.Done()) {
      copy_weights(ahead.line, next);
      of_x.Copy(ahead.line, x_of(next));
      ahead.Next();
    }
    CopyAsyncCommit();
    MultiplyLine<kN>(of_warp(stage), x_of(stage), sums);
    stage = stage + 1 == kStages ? 0 : stage + 1;
    const bool is_first = walk.chain == 0;
    if (!walk.Next() || cut.at_chains) continue;
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kN; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          total[m][n][i] = is_first ? sums[m][n][i] : total[m][n][i] + sums[m][n][i];
          sums[m][n][i] = 0;
        }
      }
    }
  }
  CopyAsyncWait<0>();
  if (cut.at_chains) {
    const ChainSums<kN> chains(cut, part, groups, warps, warp);
    chains.Store(part.chain, sums);
    if (!IsLast(cut.counts + int64_t{blockIdx.x} * groups + part.all_groups, cut.chains)) return;
    chains.Total(cut.chains, total);
  }
  StoreTotals<kN>(total, products, part.product, tile, first, rows);
}

int ColumnsOf(int64_t rows) { return rows <= 16 ? 16 : rows <= 32 ? 32 : 64; }

// The cut that should take the shortest, by the bytes that a multiprocessor moves after another;
// beginning a block and joining sums cost as much as some bytes.
Cut CutOf(const RowProducts& products, int64_t rows, int processors, size_t most_shared) {
  constexpr int64_t kBegin = 80'000, kJoin = 65'000;
  const int columns = ColumnsOf(rows);
  const int64_t lines = CeilDiv<int64_t>(products.of[0].w.cols, kLine);
  const int64_t parts = CeilDiv<int64_t>(rows, columns);
  Cut best;
  best.chains = WarpsOf(lines);
  int64_t least = 0;
  for (int warps = kMostBatchWarps; warps > 0; --warps) {
    if (static_cast<size_t>(kStages * StageBytes(columns, warps)) > most_shared) continue;
    for (const bool at_chains : {false, true}) {
      const int64_t cuts = at_chains ? best.chains : 1;
      const int64_t blocks = parts * cuts * GroupsOf(products, warps);
      const int64_t bytes = CeilDiv(lines, cuts) * StageBytes(columns, warps) + kBegin;
      const int64_t cost = CeilDiv<int64_t>(blocks, processors) * bytes + (at_chains ? kJoin : 0);
      if (best.warps > 0 && cost >= least) continue;
      least = cost;
      best.warps = warps;
      best.at_chains = at_chains;
    }
  }
  return best;
}

}  // namespace

bool TakesBatches(const Stream& s, const RowProducts& products, const Activations& x,
                  int64_t rows) {
  return products.of[0].w.form == kForm && x.split != nullptr && rows > 16 &&
         CutOf(products, rows, s.processors, s.most_shared).warps > 0;
}

BatchMemory BatchSpace(const Stream& s, const RowProducts& products, int64_t rows) {
  const Cut cut = CutOf(products, rows, s.processors, s.most_shared);
  if (!cut.at_chains) return {};
  const int columns = ColumnsOf(rows);
  const int64_t parts = CeilDiv<int64_t>(rows, columns) * GroupsOf(products, cut.warps);
  return {parts * cut.chains * cut.warps * kWarpRows * columns, parts};
}

void MultiplyBatches(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                     float* sums, int* counts) {
  Cut cut = CutOf(products, rows, s.processors, s.most_shared);
  cut.sums = reinterpret_cast<float4*>(sums);
  cut.counts = counts;
  const int columns = ColumnsOf(rows), groups = GroupsOf(products, cut.warps);
  const dim3 grid(static_cast<unsigned>(CeilDiv<int64_t>(rows, columns)),
                  static_cast<unsigned>(groups * (cut.at_chains ? cut.chains : 1)));
  const auto launch = [&](auto kernel) {
    Launch(s, grid, cut.warps * kWarp,
           static_cast<size_t>(kStages * StageBytes(columns, cut.warps)), kernel, products, x,
           static_cast<int>(rows), cut, groups);
  };
  if (columns == 16) return launch(BatchKernel<16>);
  if (columns == 32) return launch(BatchKernel<32>);
  launch(BatchKernel<64>);
}

}  // namespace hadal::CUDA_NAMESPACE
