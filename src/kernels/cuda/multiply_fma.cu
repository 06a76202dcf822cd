// Products with float32 FMAs: float32 weights, and those whose rows are no whole number of 16
// bytes. A sum has 32 chains, of the lanes of a warp: chunk i of eight values of k is in chain i %
// 32, and the chains are added as WarpSum adds lanes.
//
// Few rows: a warp computes one column of the output for up to four of them, a lane a chain; as
// little as one matrix of 64 rows has blocks for many multiprocessors.
// Many: a block computes 32 rows by 32 columns, a warp four chains of all of them one after
// another, with its own ring of shared memory: the same sums, so that a row has the same bits in
// both. Limit of many rows: the FMAs, 128 per clock and multiprocessor.
#include "kernels/cuda/plain_values.h"
#include "kernels/cuda/route_rows.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kMostRows = 4;  // of a warp
constexpr int kChunk = 8;

// ---- few rows

// kAligned: every chunk of x and of float32 weights begins at a multiple of 16 bytes.
template <bool kAligned>
__device__ void LoadFloats(const float* from, float (&v)[kChunk]) {
  if constexpr (kAligned) {
    const auto* quads = reinterpret_cast<const float4*>(from);
    const float4 a = quads[0], b = quads[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
  } else {
    for (int j = 0; j < kChunk; ++j) v[j] = from[j];
  }
}
template <Form kForm, bool kAligned>
__device__ void LoadWeights(const uint8_t* row, int64_t i, float (&w)[kChunk]) {
  if constexpr (kForm == Form::kF32) {
    LoadFloats<kAligned>(reinterpret_cast<const float*>(row) + i, w);
  } else {
    const uint4 v = LoadOnce16(row + 2 * i);
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
    for (int j = 0; j < 4; ++j) {
      if constexpr (kForm == Form::kBf16) {
        w[2 * j] = Bf16Low(words[j]);
        w[2 * j + 1] = Bf16High(words[j]);
      } else {
        w[2 * j] = HalfToFloat(static_cast<uint16_t>(words[j] & 0xffff));
        w[2 * j + 1] = HalfToFloat(static_cast<uint16_t>(words[j] >> 16));
      }
    }
  }
}

// Rows row0 .. row0 + kRows - 1 of the product, all of one matrix.
template <Form kForm, bool kAligned, int kRows>
__device__ void PlainColumn(const Matrix& w, int64_t matrix, const Activations& x, int64_t share,
                            int64_t row0, int64_t n, const Output& out) {
  constexpr int kSize = kForm == Form::kF32 ? 4 : 2;
  constexpr int kUnroll = kRows == 1 ? 4 : 2;  // loads under way
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const uint8_t* row = w.data + matrix * w.stride + n * w.cols * kSize;
  const float* from[kRows];
  for (int r = 0; r < kRows; ++r) from[r] = x.x + (row0 + r) / share * x.ld;
  float sums[kRows] = {};
  const int64_t eights = kForm == Form::kF32 || w.cols % 8 == 0 ? w.cols / 8 * 8 : 0;
#pragma unroll kUnroll
  for (int64_t i = lane * kChunk; i < eights; i += kWarp * kChunk) {
    float v[kChunk];
    LoadWeights<kForm, kAligned>(row, i, v);
    for (int r = 0; r < kRows; ++r) {
      float of_x[kChunk];
      LoadFloats<kAligned>(from[r] + i, of_x);
      for (int j = 0; j < kChunk; ++j) sums[r] = fmaf(v[j], of_x[j], sums[r]);
    }
  }
  for (int64_t i = eights + lane; i < w.cols; i += kWarp) {
    const float v = LoadOne<kForm>(row, i);
    for (int r = 0; r < kRows; ++r) sums[r] = fmaf(v, from[r][i], sums[r]);
  }
  for (int r = 0; r < kRows; ++r) {
    const float sum = WarpSum(sums[r]);
    if (lane != 0) continue;
    out.data[(row0 + r) * out.ld + n] = out.bias == nullptr ? sum : sum + out.bias[n];
  }
}

template <Form kForm, bool kAligned>
__device__ void PlainPart(const Matrix& w, const Activations& x, int64_t rows, int per_block,
                          const RowMap& map, const Output& out) {
  const int64_t n = int64_t{blockIdx.y} * (blockDim.x / kWarp) + threadIdx.x / kWarp;
  const int64_t row0 = int64_t{blockIdx.x} * per_block;
  if (n >= w.rows) return;
  const int64_t matrix = map.matrix != nullptr ? map.matrix[row0]
                         : map.modulo > 0      ? row0 % map.modulo
                                               : 0;
  const int64_t left = rows - row0;
  if (per_block == 1 || left == 1) {
    PlainColumn<kForm, kAligned, 1>(w, matrix, x, map.share, row0, n, out);
  } else if (left == 2) {
    PlainColumn<kForm, kAligned, 2>(w, matrix, x, map.share, row0, n, out);
  } else if (left == 3) {
    PlainColumn<kForm, kAligned, 3>(w, matrix, x, map.share, row0, n, out);
  } else {
    PlainColumn<kForm, kAligned, kMostRows>(w, matrix, x, map.share, row0, n, out);
  }
}

template <Form kForm, bool kAligned>
__global__ void FmaKernel(Matrix w, Activations x, int64_t rows, int per_block, RowMap map,
                          Output out) {
  if (map.matrix != nullptr) WaitForInputs();  // see RowMap::early
  LetNextBegin();
  WaitForInputs();
  PlainPart<kForm, kAligned>(w, x, rows, per_block, map, out);
}

// Whether the block is the last of those that count up to `all`; counts begin and end at zero.
__device__ bool IsLast(int* count, unsigned all) {
  __syncthreads();
  const int before = threadIdx.x == 0 ? CountBlock(count) : 0;
  const bool last = threadIdx.x == 0 && static_cast<unsigned>(before) == all - 1;
  if (last) *count = 0;
  return __syncthreads_count(last ? 1 : 0) > 0;
}

// Logits, and by the last block of some rows their experts. Weights come to the L2 early.
constexpr int kRouterWarps = 2;
template <bool kAligned>
__global__ void RouterKernel(Matrix w, Activations x, RouterShape shape, Output out, Routes to,
                             int* counts) {
  LetNextBegin();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const auto lane = static_cast<int64_t>(threadIdx.x) % kWarp;
  const int64_t n = int64_t{blockIdx.y} * kRouterWarps + warp, row_bytes = w.cols * 4;
  constexpr int kLine = 128;
  for (int64_t at = lane * kLine; n < w.rows && at < row_bytes; at += kWarp * kLine) {
    PrefetchL2(w.data + n * row_bytes + at);
  }
  WaitForInputs();
  PlainPart<Form::kF32, kAligned>(w, x, shape.rows, kMostRows, {}, out);
  if (!IsLast(counts + blockIdx.x, gridDim.y)) return;
  const int64_t first = int64_t{blockIdx.x} * kMostRows;
  char* shared = SharedMemory() + warp * RouteBytes(shape);
  for (int64_t row = first + warp; row < min(first + kMostRows, shape.rows); row += kRouterWarps) {
    RouteRow(shape, out.data, row, to, shared);
    __syncwarp();
  }
}

// ---- many rows of float32 weights

constexpr int kWarps = 8;
constexpr int kTile = 32;                    // rows and columns of a block
constexpr int kLaneRows = 8, kLaneCols = 4;  // of them a lane has, every fourth and every eighth
constexpr int kRowStep = kTile / kLaneRows, kColStep = kTile / kLaneCols;
constexpr int kStages = 4;
constexpr int kRowBytes = kChunk * 4;               // of a chunk
constexpr int kStageBytes = 2 * kTile * kRowBytes;  // of a warp: rows of x, then of w
constexpr int kSumLd = kTile + 8;
constexpr size_t kTileBytes = size_t{kWarps} * kStages * kStageBytes;
static_assert(kTileBytes >= sizeof(float) * kWarps * kTile * kSumLd);

// Half `half` of a row's chunk; the same halves of eight rows take all banks.
__device__ char* HalfAt(char* rows, int r, int half) {
  return rows + r * kRowBytes + (half ^ (r / 4 % 2)) * 16;
}

// A warp's chunks of k, chain after chain.
struct ChainWalk {
  static constexpr int kChains = kWarp / kWarps;
  const int warp, chunks;
  int chain = 0, chunk;

  __device__ ChainWalk(int warp_in, int chunks_in)
      : warp(warp_in), chunks(chunks_in), chunk(First(warp_in, 0)) {
    Settle();
  }
  // In an order in which sums of two neighbours are those of WarpSum.
  __device__ static int First(int warp, int chain) {
    return warp + (chain % 2 * 2 + chain / 2) * kWarps;
  }
  __device__ bool done() const { return chain == kChains; }
  __device__ void Advance() {
    chunk += kWarp;
    Settle();
  }
  __device__ void Settle() {
    while (chunk >= chunks && chain < kChains) chunk = First(warp, ++chain);
  }
};

using LaneSums = float[kLaneRows][kLaneCols];

// Adds and clears.
__device__ void FoldInto(LaneSums& to, LaneSums& from) {
#pragma unroll
  for (int i = 0; i < kLaneRows; ++i) {
#pragma unroll
    for (int j = 0; j < kLaneCols; ++j) {
      to[i][j] += from[i][j];
      from[i][j] = 0;
    }
  }
}

__device__ void MultiplyChunk(char* stage, int first_row, int first_col, LaneSums& sums) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float4 w[kLaneCols];
#pragma unroll
    for (int j = 0; j < kLaneCols; ++j) {
      w[j] = *reinterpret_cast<const float4*>(
          HalfAt(stage + kTile * kRowBytes, first_col + j * kColStep, half));
    }
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      const float4 x =
          *reinterpret_cast<const float4*>(HalfAt(stage, first_row + i * kRowStep, half));
#pragma unroll
      for (int j = 0; j < kLaneCols; ++j) {
        float sum = fmaf(w[j].x, x.x, sums[i][j]);
        sum = fmaf(w[j].y, x.y, sum);
        sum = fmaf(w[j].z, x.z, sum);
        sums[i][j] = fmaf(w[j].w, x.w, sum);
      }
    }
  }
}

// The warps' sums become the output, in the order of WarpSum's last steps.
__device__ void StoreTile(const LaneSums& total, int first_row, int first_col, const Output& out,
                          int64_t row0, int64_t rows, int64_t col0, int64_t cols) {
  auto* shared = reinterpret_cast<float*>(SharedMemory());
  const int thread = static_cast<int>(threadIdx.x);
  float* mine = shared + thread / kWarp * kTile * kSumLd;
#pragma unroll
  for (int i = 0; i < kLaneRows; ++i) {
#pragma unroll
    for (int j = 0; j < kLaneCols; ++j) {
      mine[(first_row + i * kRowStep) * kSumLd + first_col + j * kColStep] = total[i][j];
    }
  }
  __syncthreads();
  for (int at = thread; at < kTile * kTile; at += kWarps * kWarp) {
    const int r = at / kTile, n = at % kTile;
    if (row0 + r >= rows || col0 + n >= cols) continue;
    const auto of = [&](int warp) { return shared[(warp * kTile + r) * kSumLd + n]; };
    const float sum = ((of(0) + of(4)) + (of(2) + of(6))) + ((of(1) + of(5)) + (of(3) + of(7)));
    out.data[(row0 + r) * out.ld + col0 + n] = out.bias == nullptr ? sum : sum + out.bias[col0 + n];
  }
}

__global__ void __launch_bounds__(kWarps* kWarp, 1)
    FmaTileKernel(Matrix w, Activations x, int64_t rows, Output out) {
  LetNextBegin();
  WaitForInputs();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t row0 = int64_t{blockIdx.x} * kTile, col0 = int64_t{blockIdx.y} * kTile;
  const auto* weights = reinterpret_cast<const float*>(w.data);
  char* ring = SharedMemory() + warp * kStages * kStageBytes;
  ChainWalk ahead(warp, static_cast<int>(w.cols / kChunk));
  // Two lanes to a row.
  const auto load = [&](int stage) {
    if (!ahead.done()) {
      char* to = ring + stage * kStageBytes;
      const int half = lane % 2, at = ahead.chunk * kChunk + half * 4;
#pragma unroll
      for (int r = lane / 2; r < kTile; r += kWarp / 2) {
        const bool valid = row0 + r < rows, in_w = col0 + r < w.rows;
        CopyAsync16(HalfAt(to, r, half), x.x + (valid ? (row0 + r) * x.ld + at : 0), valid);
        CopyAsync16(HalfAt(to + kTile * kRowBytes, r, half),
                    weights + (in_w ? (col0 + r) * w.cols + at : 0), in_w);
      }
      ahead.Advance();
    }
    CopyAsyncCommit();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) load(i);
  const int first_row = lane / kColStep, first_col = lane % kColStep;
  LaneSums sums = {}, pair = {}, total = {};
  int stage = 0;
#pragma unroll
  for (int chain = 0; chain < ChainWalk::kChains; ++chain) {
#pragma unroll 1
    for (int i = ChainWalk::First(warp, chain); i < ahead.chunks; i += kWarp) {
      CopyAsyncWait<kStages - 2>();
      __syncwarp();
      load(stage == 0 ? kStages - 1 : stage - 1);
      MultiplyChunk(ring + stage * kStageBytes, first_row, first_col, sums);
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    FoldInto(pair, sums);
    if (chain % 2 == 1) FoldInto(total, pair);
  }
  CopyAsyncWait<0>();
  __syncthreads();
  StoreTile(total, first_row, first_col, out, row0, rows, col0, w.rows);
}

// Fewer rows are quicker one column at a time.
constexpr int64_t kManyRows = 128;

bool IsAligned(const Matrix& w, const Activations& x) {
  return w.cols % 4 == 0 && x.ld % 4 == 0 && reinterpret_cast<uintptr_t>(x.x) % sizeof(float4) == 0;
}

}  // namespace

bool CanRoute(const Matrix& w, int64_t rows) { return w.form == Form::kF32 && rows == 1; }
int64_t RouterCounts(int64_t rows) { return CeilDiv<int64_t>(rows, kMostRows); }
void ScoreAndRoute(Stream& s, const RowProduct& router, const Activations& x,
                   const RouterShape& shape, const Routes& to, int* counts) {
  const Matrix& w = router.w;
  const dim3 grid(static_cast<unsigned>(RouterCounts(shape.rows)),
                  static_cast<unsigned>(CeilDiv<int64_t>(w.rows, kRouterWarps)));
  Launch(s, grid, kRouterWarps * kWarp, kRouterWarps * RouteBytes(shape),
         IsAligned(w, x) ? RouterKernel<true> : RouterKernel<false>, w, x, shape, router.out, to,
         counts);
}

void MultiplyFma(Stream& s, const RowProduct& product, const Activations& x, int64_t rows,
                 const RowMap& map) {
  const Matrix& w = product.w;
  const bool mapped = map.matrix != nullptr || map.modulo > 0 || map.share > 1;
  const bool aligned = IsAligned(w, x);
  if (w.form == Form::kF32 && aligned && w.cols % kChunk == 0 && !mapped && rows >= kManyRows) {
    const dim3 grid(static_cast<unsigned>(CeilDiv<int64_t>(rows, kTile)),
                    static_cast<unsigned>(CeilDiv<int64_t>(w.rows, kTile)));
    return Launch(s, grid, kWarps * kWarp, kTileBytes, FmaTileKernel, w, x, rows, product.out);
  }
  const int per_block = mapped ? 1 : kMostRows, warps = w.rows <= 1024 ? 2 : kWarps;
  const dim3 grid(static_cast<unsigned>(CeilDiv<int64_t>(rows, per_block)),
                  static_cast<unsigned>(CeilDiv<int64_t>(w.rows, warps)));
  ForPlainForm(w.form, [&]<Form kForm>() {
    Launch(s, grid, warps * kWarp, 0, aligned ? FmaKernel<kForm, true> : FmaKernel<kForm, false>, w,
           x, rows, per_block, map, product.out);
  });
}

}  // namespace hadal::CUDA_NAMESPACE
