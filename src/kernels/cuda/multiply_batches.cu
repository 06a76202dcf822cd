// Products of batches of rows with bf16 weights, by the matrix instructions of warpgroups (compute
// capability 9.0).
//
// The bits are those of multiply_rows.cu: wgmma and mma.sync round alike (found,
// not documented; cuda_test holds it on a card), and the order is the same. There the warps of a
// block share k, each with a chain of lines of its own, and their sums are added in order. With
// many rows x outweighs the weights there, for every block reads all of it for 16 to 64 rows of
// weights, and so do its fragments in the instructions that a warp issues. Here a warpgroup has 64
// rows of weights and walks the chains one after another, so that x comes once for up to 320 rows,
// through a ring of shared memory that the warps have in common and the matrix unit reads itself.
// Matrices with too few rows for that are cut at the chains: their sums go to memory, and the last
// block of the same rows adds them in order. How a product is cut changes no bit.
//
// Limit: weight bytes over memory bandwidth.
#include <algorithm>
#include <cmath>

#include "kernels/cuda/half_products.h"
#include "kernels/cuda/wgmma.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr Form kForm = Form::kBf16;
constexpr int kStages = 4;
constexpr int kLine = kStepK<kForm>, kParts = kXParts<kForm>;
constexpr int kHalves = kLine / kHalfStep;
// Of x, eight rows of a line in one part: rows of 128 bytes as the matrix unit reads them.
constexpr int kEightBytes = 8 * kLineBytes, kChunks = kLineBytes / 16;

// Tiles of 16 rows of weights of a block, a warp each, that have room for their registers. Warps
// beyond them, up to whole warpgroups, help to bring x.
constexpr int MostTiles(int columns) { return columns > 64 ? 12 : columns > 32 ? 16 : 20; }
constexpr int ThreadsOf(int tiles) { return CeilDiv(tiles, kWarpgroup / kWarp) * kWarpgroup; }
__device__ __host__ constexpr int StageBytes(int columns, int tiles) {
  return tiles * kTileBytes + columns / 8 * kParts * kEightBytes;
}

// How the products are cut into blocks of threads.
struct Cut {
  int tiles = 0;   // of rows of weights, of a block: a group
  int chains = 0;  // of k
  int each = 0;    // chains of a block; unless it has all, their sums go to memory
  // Where they are: [part of rows of x][group][chain][tile][8 rows of x][lane] of four floats; and
  // how many blocks are done of every part and group.
  float4* sums = nullptr;
  int* counts = nullptr;

  __device__ __host__ int Blocks() const { return CeilDiv(chains, each); }  // of a group
};
__host__ __device__ inline int GroupsOf(const Matrix& w, int tiles) {
  return static_cast<int>(CeilDiv<int64_t>(w.rows, tiles * kProductRows));
}
int GroupsOf(const RowProducts& products, int tiles) {
  int groups = 0;
  for (int i = 0; i < products.count; ++i) groups += GroupsOf(products.of[i].w, tiles);
  return groups;
}

// What a block computes: rows of weights, and chains of k.
struct BatchPart {
  int product = 0, group = 0;  // of the product
  int all_groups = 0;          // before it, with those of the other products
  int chain = 0, end = 0;

  __device__ BatchPart(const RowProducts& products, const Cut& cut, int y) {
    all_groups = group = y / cut.Blocks();
    chain = y % cut.Blocks() * cut.each;
    end = min(chain + cut.each, cut.chains);
    for (; product + 1 < products.count; ++product) {
      const int groups = GroupsOf(products.of[product].w, cut.tiles);
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

// x of a line, for all warps: [part][8 rows], as SplitBatchKernel left it.
template <int kColumns>
struct LinesOfX {
  const uint4* split;
  int lines, eights;  // of a row; that are there

  __device__ LinesOfX(const Activations& x, int cols, int rows, int first)
      : lines(CeilDiv(cols, kLine)), eights(CeilDiv(rows - first, 8)) {
    split =
        static_cast<const uint4*>(x.split) + int64_t{first / 8} * lines * kParts * (8 * kChunks);
  }
  __device__ void Copy(int line, char* to) const {
    constexpr int kWords = 8 * kChunks, kN = kColumns / 8;
    for (int i = static_cast<int>(threadIdx.x); i < kN * kParts * kWords;
         i += static_cast<int>(blockDim.x)) {
      const int eight = i / kWords % kN, part = i / (kWords * kN);
      const bool valid = eight < eights;
      const int at = ((eight * lines + line) * kParts + part) * kWords + i % kWords;
      CopyAsync16(to + i * 16, valid ? split + at : split, valid);
    }
  }
};

// sums += a line of weights times x. Every sum is one chain: of 32 values of k four instructions,
// in the order of MultiplyHalfStep.
template <int kN, class Meanwhile>
__device__ void MultiplyLine(char* weights, const char* x, float (&sums)[kN][4],
                             const Meanwhile& meanwhile) {
  WeightHalfStep<kForm> w[kHalves];
#pragma unroll
  for (int half = 0; half < kHalves; ++half) w[half].Load(weights, half);
  WgmmaFence(sums);
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int part = kParts - 1; part >= 0; --part) {
        WgmmaBf16<Major::kK>(sums, w[half].a[0][i],
                             AlongK(x + part * kN * kEightBytes, half * 2 + i));
      }
    }
  }
  WgmmaCommit();
  meanwhile();
  WgmmaWait<0>(sums);
}

// The sums of a warp to the output: rows lane / 4 and lane / 4 + 8 of its tile, of which the first
// gates the second in gated products.
template <int kN>
__device__ void StoreTotals(const float (&total)[kN][4], const RowProducts& products, int product,
                            int tile, int first, int rows) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Output& out = products.of[product].out;
  const auto w_rows = static_cast<int>(products.of[product].w.rows);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (products.gated && i > 0) break;
    const int n_of_tile = products.gated ? kProductRows / 2 : kProductRows;
    const int at = tile * n_of_tile + i * 8 + lane / 4;
    if (at >= (products.gated ? w_rows / 2 : w_rows)) continue;
    const float bias = out.bias == nullptr ? 0 : out.bias[at];
#pragma unroll
    for (int n = 0; n < kN; ++n) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int row = first + n * 8 + lane % 4 * 2 + c;
        if (row >= rows) continue;
        const float sum = total[n][2 * i + c];
        float* to = out.data + row * out.ld + at;
        if (products.gated) {
          *to = Gate(sum, total[n][2 + c]);
        } else {
          *to = out.bias == nullptr ? sum : sum + bias;
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

  __device__ ChainSums(const Cut& cut, const BatchPart& part, int groups, int tile) {
    constexpr int kOfWarp = kN * kWarp;
    const int64_t group = int64_t{blockIdx.x} * groups + part.all_groups;
    next = int64_t{cut.tiles} * kOfWarp;
    of_warp = cut.sums + group * cut.chains * next + tile * kOfWarp +
              static_cast<int>(threadIdx.x) % kWarp;
  }
  __device__ void Store(int chain, const float (&sums)[kN][4]) const {
    float4* to = of_warp + chain * next;
#pragma unroll
    for (int n = 0; n < kN; ++n) to[n * kWarp] = {sums[n][0], sums[n][1], sums[n][2], sums[n][3]};
  }
  __device__ void Total(int chains, float (&total)[kN][4]) const {
#pragma unroll
    for (int n = 0; n < kN; ++n) {
      const float4* from = of_warp + n * kWarp;
      float4 v[kMostWarps];
#pragma unroll
      for (int c = 0; c < kMostWarps; ++c) v[c] = c < chains ? from[c * next] : float4{0, 0, 0, 0};
#pragma unroll
      for (int c = 0; c < kMostWarps; ++c) {
        if (c >= chains) break;
        const float of_chain[4] = {v[c].x, v[c].y, v[c].z, v[c].w};
        for (int i = 0; i < 4; ++i) total[n][i] = c == 0 ? of_chain[i] : total[n][i] + of_chain[i];
      }
    }
  }
};

template <int kColumns>
__global__ void __launch_bounds__(ThreadsOf(MostTiles(kColumns)), 1)
    BatchKernel(const __grid_constant__ RowProducts products, Activations x, int rows, Cut cut,
                int groups) {
#ifdef HADAL_WGMMA
  constexpr int kN = kColumns / 8;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const bool has_tile = warp < cut.tiles;
  const BatchPart part(products, cut, static_cast<int>(blockIdx.y));
  const Matrix& w = products.of[part.product].w;
  const auto cols = static_cast<int>(w.cols);
  const int first = static_cast<int>(blockIdx.x) * kColumns;
  const int in_group = has_tile ? warp : cut.tiles - 1;  // what is computed twice is stored once
  const int tile = part.group * cut.tiles + in_group;
  const WeightRows<kForm> weights(w, 0, tile, products.gated);
  const LinesOfX<kColumns> of_x(x, cols, rows, first);
  const ChainSums<kN> of_chains(cut, part, groups, in_group);
  const bool all_chains = cut.each == cut.chains;
  const int stage_bytes = StageBytes(kColumns, cut.tiles);
  const auto x_of = [&](int stage) { return SharedMemory() + stage * stage_bytes; };
  const auto weights_of = [&](int stage) {
    return x_of(stage) + kN * kParts * kEightBytes + in_group * kTileBytes;
  };
  const auto copy_weights = [&](int line, int stage) {
    if (has_tile) weights.Copy(0, line * kLine, weights_of(stage));
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
  float sums[kN][4] = {}, total[kN][4] = {};
  int stage = 0;
#pragma unroll 1
  while (!walk.Done()) {
    CopyAsyncWait<kStages - 2>();
    FenceShared();
    __syncthreads();
    const int next = stage == 0 ? kStages - 1 : stage - 1;
    MultiplyLine<kN>(weights_of(stage), x_of(stage), sums, [&] {
      if (!ahead.Done()) {
        copy_weights(ahead.line, next);
        of_x.Copy(ahead.line, x_of(next));
        ahead.Next();
      }
      CopyAsyncCommit();
    });
    stage = stage + 1 == kStages ? 0 : stage + 1;
    const int chain = walk.chain;
    if (!walk.Next()) continue;
    if (!all_chains && has_tile) of_chains.Store(chain, sums);
#pragma unroll
    for (int n = 0; n < kN; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        total[n][i] = chain == 0 ? sums[n][i] : total[n][i] + sums[n][i];
        sums[n][i] = 0;
      }
    }
  }
  CopyAsyncWait<0>();
  if (!all_chains) {
    int* count = cut.counts + int64_t{blockIdx.x} * groups + part.all_groups;
    if (!IsLastBlock(count, cut.Blocks())) return;
    of_chains.Total(cut.chains, total);
  }
  if (has_tile) StoreTotals<kN>(total, products, part.product, tile, first, rows);
#else
  __trap();
#endif
}

// x as BatchKernel takes it: [8 rows][line][part][row][chunk ^ row] 16 bytes. Of 32 values of k a
// chunk has four pairs that are eight apart, as WeightHalfStep takes them. Rows beyond the last are
// zeros. A warp for eight rows and 32 values.
constexpr int kSplitWarps = 4;
__global__ void SplitBatchKernel(const float* from, int64_t ld, int64_t rows, int64_t cols,
                                 uint32_t* out) {
  LetNextBegin();
  WaitForInputs();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, row = lane / 4;
  const int64_t lines = CeilDiv<int64_t>(cols, kLine);
  const int64_t step = int64_t{blockIdx.y} * kSplitWarps + threadIdx.x / kWarp;
  if (step >= lines * kHalves) return;
  const int64_t r = int64_t{blockIdx.x} * 8 + row, k = step * kHalfStep + lane % 4 * 8;
  XHalfStep<kParts> x = {};
  if (r < rows && k < cols) {
    const auto* values = reinterpret_cast<const float2*>(from + r * ld + k);
    for (int i = 0; i < 4; ++i) x.Put(i, values[i].x, values[i].y);
  }
  for (int part = 0; part < kParts; ++part) {
    uint32_t* of_row = out +
                       ((blockIdx.x * lines + step / kHalves) * kParts + part) * (kEightBytes / 4) +
                       row * (kLineBytes / 4);
    for (int i = 0; i < 4; ++i) {
      const int chunk = static_cast<int>(step % kHalves) * 4 + i;
      of_row[(chunk ^ row) * 4 + lane % 4] = x.pairs[part][i];
    }
  }
}

int ColumnsOf(int64_t rows) { return rows <= 16 ? 16 : rows <= 32 ? 32 : rows <= 64 ? 64 : 128; }

// Floats of the sums of all chains.
constexpr int64_t kMostSums = int64_t{16} << 20;
int64_t SumsOf(const Cut& cut, const RowProducts& products, int64_t rows) {
  const int64_t columns = ColumnsOf(rows), parts = CeilDiv(rows, columns);
  return parts * GroupsOf(products, cut.tiles) * cut.chains * cut.tiles * kProductRows * columns;
}

// A line takes a block at least as long as so many bytes take a multiprocessor: copies, barrier and
// products follow one another.
double LeastOfLine(int columns) {
  return columns <= 16 ? 13e3 : columns <= 32 ? 17e3 : columns <= 64 ? 28e3 : 41e3;
}

// The cut that should take the shortest. Costs are in bytes that a multiprocessor gets meanwhile,
// all of them at work, and were fitted by hand to times of the 7B and V2-Lite
// shapes on an H100.
Cut CutOf(const RowProducts& products, int64_t rows, int processors) {
  constexpr double kBegin = 30e3, kJoin = 20e3;
  const int columns = ColumnsOf(rows);
  const int64_t lines = CeilDiv<int64_t>(products.of[0].w.cols, kLine);
  const int64_t parts = CeilDiv<int64_t>(rows, columns);
  Cut best;
  double least = 0;
  const auto consider = [&](const Cut& cut) {
    const double blocks = static_cast<double>(parts * GroupsOf(products, cut.tiles) * cut.Blocks());
    const double of_block = static_cast<double>(lines) * cut.each / cut.chains;
    // x comes from the L2.
    const double line = (StageBytes(columns, cut.tiles) + cut.tiles * kTileBytes) / 2.0;
    const double full = std::floor(blocks / processors), left = blocks / processors - full;
    double cost = full * (of_block * std::max(line, LeastOfLine(columns)) + kBegin);
    if (left > 0) cost += of_block * std::max(left * line, LeastOfLine(columns)) + kBegin;
    if (cut.each < cut.chains) {
      if (SumsOf(cut, products, rows) > kMostSums) return;
      const double sums = 2.0 * cut.each * cut.tiles * kProductRows * columns * sizeof(float);
      cost += blocks / processors * sums + kJoin;
    }
    if (best.tiles > 0 && cost >= least) return;
    least = cost;
    best = cut;
  };
  const int chains = WarpsOf(lines);
  for (int tiles = MostTiles(columns); tiles > 0; tiles -= 2) {
    consider({tiles, chains, chains});
    for (int each = 1; each < chains; each *= 2) consider({tiles, chains, each});
  }
  return best;
}

}  // namespace

bool TakesBatches(const Stream& s, const Matrix& w, int64_t rows) {
  return HasWarpgroups(s) && w.form == kForm && w.cols % 8 == 0 && rows > 8;
}

int64_t SplitBatchBytes(const Matrix& w, int64_t rows) {
  return CeilDiv<int64_t>(rows, 8) * CeilDiv<int64_t>(w.cols, kLine) * kParts * kEightBytes;
}
void SplitBatch(Stream& s, const float* x, int64_t ld, const Matrix& w, int64_t rows, void* out) {
  const dim3 grid(static_cast<unsigned>(CeilDiv<int64_t>(rows, 8)),
                  static_cast<unsigned>(CeilDiv<int64_t>(w.cols, kHalfStep * kSplitWarps)));
  Launch(s, grid, kSplitWarps * kWarp, 0, SplitBatchKernel, x, ld, rows, w.cols,
         static_cast<uint32_t*>(out));
}

ProductMemory BatchSpace(const Stream& s, const RowProducts& products, int64_t rows) {
  const Cut cut = CutOf(products, rows, s.processors);
  if (cut.each == cut.chains) return {};
  const int64_t parts = CeilDiv<int64_t>(rows, ColumnsOf(rows));
  return {SumsOf(cut, products, rows), parts * GroupsOf(products, cut.tiles)};
}

void MultiplyBatches(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                     const ProductScratch& scratch) {
  Cut cut = CutOf(products, rows, s.processors);
  cut.sums = reinterpret_cast<float4*>(scratch.sums);
  cut.counts = scratch.counts;
  const int columns = ColumnsOf(rows), groups = GroupsOf(products, cut.tiles);
  const dim3 grid(static_cast<unsigned>(CeilDiv<int64_t>(rows, columns)),
                  static_cast<unsigned>(groups * cut.Blocks()));
  const auto launch = [&](auto kernel) {
    Launch(s, grid, ThreadsOf(cut.tiles),
           static_cast<size_t>(kStages * StageBytes(columns, cut.tiles)), kernel, products, x,
           static_cast<int>(rows), cut, groups);
  };
  if (columns == 16) return launch(BatchKernel<16>);
  if (columns == 32) return launch(BatchKernel<32>);
  if (columns == 64) return launch(BatchKernel<64>);
  launch(BatchKernel<128>);
}

}  // namespace hadal::CUDA_NAMESPACE
