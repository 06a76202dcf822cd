// Products of few rows: a warp computes one column of the output for up to four rows at a time, its
// lanes striding over k, so that a weight is read once for those rows. A row's sums are added in an
// order that k alone fixes. Limit: weight bytes over memory bandwidth.
#include "kernels/cuda/block_values.h"
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kWarps = 8;
constexpr int kMostRows = 4;

__device__ int64_t MatrixOf(const RowMap& map, int64_t row) {
  if (map.matrix != nullptr) return map.matrix[row];
  return map.modulo > 0 ? row % map.modulo : 0;
}

__device__ void Store(const Output& out, int64_t row, int64_t n, float sum) {
  out.data[row * out.ld + n] = out.bias == nullptr ? sum : sum + out.bias[n];
}

template <Form kForm>
__device__ void LoadEight(const uint8_t* row, int64_t i, float (&w)[8]) {
  if constexpr (kForm == Form::kF32) {
    const auto* from = reinterpret_cast<const float*>(row) + i;
    for (int j = 0; j < 8; ++j) w[j] = from[j];
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
template <Form kForm>
__device__ float LoadOne(const uint8_t* row, int64_t i) {
  if constexpr (kForm == Form::kF32) return reinterpret_cast<const float*>(row)[i];
  const uint16_t v = reinterpret_cast<const uint16_t*>(row)[i];
  return kForm == Form::kBf16 ? Bf16ToFloat(v) : HalfToFloat(v);
}

// Rows row0 .. row0 + kRows - 1 of the product, all of one matrix.
template <Form kForm, int kRows>
__device__ void PlainColumn(const Matrix& w, int64_t matrix, const Activations& x, int64_t share,
                            int64_t row0, int64_t n, const Output& out) {
  constexpr int kSize = kForm == Form::kF32 ? 4 : 2;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const uint8_t* row = w.data + matrix * w.stride + n * w.cols * kSize;
  const float* from[kRows];
  for (int r = 0; r < kRows; ++r) from[r] = x.x + (row0 + r) / share * x.ld;
  float sums[kRows] = {};
  const int64_t eights = kForm == Form::kF32 || w.cols % 8 == 0 ? w.cols / 8 * 8 : 0;
  for (int64_t i = lane * 8; i < eights; i += kWarp * 8) {
    float v[8];
    LoadEight<kForm>(row, i, v);
    for (int r = 0; r < kRows; ++r) {
      for (int j = 0; j < 8; ++j) sums[r] = fmaf(v[j], from[r][i + j], sums[r]);
    }
  }
  for (int64_t i = eights + lane; i < w.cols; i += kWarp) {
    const float v = LoadOne<kForm>(row, i);
    for (int r = 0; r < kRows; ++r) sums[r] = fmaf(v, from[r][i], sums[r]);
  }
  for (int r = 0; r < kRows; ++r) {
    const float sum = WarpSum(sums[r]);
    if (lane == 0) Store(out, row0 + r, n, sum);
  }
}

template <int kType, int kRows>
__device__ void BlockColumn(const Matrix& w, int64_t matrix, const Activations& x, int64_t share,
                            int64_t row0, int64_t n, const Output& out) {
  using Reader = BlockReader<kType>;
  constexpr int kParts = Reader::kFormat.x_parts;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Reader reader(w, matrix);
  float sums[kRows] = {};
  for (int64_t g = lane; g < reader.groups; g += kWarp) {
    const typename Reader::Codes codes = reader.Load(n, g);
    const GroupScales scales = reader.Scales(n, g);
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = ((row0 + r) / share * reader.groups + g);
      const float* info = x.groups + at * 3;
      for (int half = 0; half < 2; ++half) {
        int32_t dot = 0, dot_low = 0;
        const auto* high = reinterpret_cast<const int32_t*>(x.high + at * 32 + half * 16);
        const auto* low = reinterpret_cast<const int32_t*>(x.low + at * 32 + half * 16);
        for (int q = 0; q < 4; ++q) {
          const int32_t quad = Reader::Quad(codes, half * 4 + q);
          dot = Dot4(quad, high[q], dot);
          if constexpr (kParts == 2) dot_low = Dot4(quad, low[q], dot_low);
        }
        if constexpr (kParts == 2) dot = dot * 256 + dot_low;
        const float product = static_cast<float>(dot) * info[0];
        const float zero = static_cast<float>(scales.zero) * info[1 + half];
        sums[r] = fmaf(scales.scale[half], product - zero, sums[r]);
        sums[r] = fmaf(-scales.min[half], info[1 + half], sums[r]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    const float sum = WarpSum(sums[r]);
    if (lane == 0) Store(out, row0 + r, n, sum);
  }
}

template <class Column>
__device__ void Columns(const Matrix& w, int64_t rows, int per_block, const RowMap& map,
                        const Column& column) {
  const int64_t n = int64_t{blockIdx.y} * kWarps + threadIdx.x / kWarp;
  const int64_t row0 = int64_t{blockIdx.x} * per_block;
  if (n >= w.rows) return;
  const int64_t matrix = MatrixOf(map, row0);
  const int64_t left = rows - row0;
  if (per_block == 1 || left == 1) {
    column.template operator()<1>(matrix, row0, n);
  } else if (left == 2) {
    column.template operator()<2>(matrix, row0, n);
  } else if (left == 3) {
    column.template operator()<3>(matrix, row0, n);
  } else {
    column.template operator()<kMostRows>(matrix, row0, n);
  }
}

template <Form kForm>
__global__ void PlainKernel(Matrix w, Activations x, int64_t rows, int per_block, RowMap map,
                            Output out) {
  Columns(w, rows, per_block, map, [&]<int kRows>(int64_t matrix, int64_t row0, int64_t n) {
    PlainColumn<kForm, kRows>(w, matrix, x, map.share, row0, n, out);
  });
}
template <int kType>
__global__ void BlockKernel(Matrix w, Activations x, int64_t rows, int per_block, RowMap map,
                            Output out) {
  Columns(w, rows, per_block, map, [&]<int kRows>(int64_t matrix, int64_t row0, int64_t n) {
    BlockColumn<kType, kRows>(w, matrix, x, map.share, row0, n, out);
  });
}

// A warp per group of 32.
template <int kParts>
__global__ void QuantiseKernel(const float* x, int64_t ld, int64_t groups, int8_t* high,
                               int8_t* low, float* info) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t g = int64_t{blockIdx.y} * kWarps + threadIdx.x / kWarp, row = blockIdx.x;
  if (g >= groups) return;
  constexpr float kSteps = kParts == 1 ? cpu::kActivationSteps8 : cpu::kActivationSteps16;
  const float v = x[row * ld + g * 32 + lane];
  const bool good = fabsf(v) <= cpu::kLargestActivation;  // NaN is not
  const float most = WarpMax(good ? fabsf(v) : 0.0f);
  const bool all = __ballot_sync(~0u, good) == ~0u;
  const int q = all && most > 0 ? __float2int_rn(v * (kSteps / most)) : 0;
  float sum = static_cast<float>(q);
  for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  const int64_t at = row * groups + g;
  const float scale = all ? most / kSteps : __uint_as_float(0x7fc00000);
  if constexpr (kParts == 1) {
    high[at * 32 + lane] = static_cast<int8_t>(q);
  } else {
    const int top = (q + 128) >> 8;  // the low part is signed
    high[at * 32 + lane] = static_cast<int8_t>(top);
    low[at * 32 + lane] = static_cast<int8_t>(q - top * 256);
  }
  if (lane == 0) info[at * 3] = scale;
  if (lane % 16 == 0) info[at * 3 + 1 + lane / 16] = sum * scale;
}

template <int kType>
__global__ void RoundBlocksKernel(Matrix w, int64_t matrix, uint16_t* out) {
  using Reader = BlockReader<kType>;
  const Reader reader(w, matrix);
  const int64_t i = int64_t{blockIdx.x} * kWarps * kWarp + threadIdx.x;
  if (i >= w.rows * reader.groups) return;
  const int64_t row = i / reader.groups, g = i % reader.groups;
  const typename Reader::Codes codes = reader.Load(row, g);
  const GroupScales s = reader.Scales(row, g);
  auto* to = reinterpret_cast<uint2*>(out + row * w.cols + g * 32);
  for (int q = 0; q < 8; ++q) {
    const int32_t quad = Reader::Quad(codes, q);
    float v[4];
    for (int j = 0; j < 4; ++j) {
      const int code = static_cast<int8_t>(quad >> 8 * j) - s.zero;
      v[j] = s.scale[q / 4] * static_cast<float>(code) - s.min[q / 4];
    }
    to[q] = {PackBf16(v[0], v[1]), PackBf16(v[2], v[3])};
  }
}
template <Form kForm>
__global__ void RoundPlainKernel(Matrix w, int64_t matrix, uint16_t* out) {
  const int64_t i = int64_t{blockIdx.x} * kWarps * kWarp + threadIdx.x;
  if (i < w.rows * w.cols) out[i] = FloatToBf16(LoadOne<kForm>(w.data + matrix * w.stride, i));
}

template <Form kForm>
__global__ void EmbedPlainKernel(Matrix table, const int32_t* ids, float* out) {
  const int64_t i = int64_t{blockIdx.y} * kWarps * kWarp + threadIdx.x, row = blockIdx.x;
  if (i >= table.cols) return;
  out[row * table.cols + i] = LoadOne<kForm>(table.data, ids[row] * table.cols + i);
}
template <int kType>
__global__ void EmbedBlocksKernel(Matrix table, const int32_t* ids, float* out) {
  using Reader = BlockReader<kType>;
  const Reader reader(table, 0);
  const int64_t g = int64_t{blockIdx.y} * kWarps * kWarp + threadIdx.x, row = blockIdx.x;
  if (g >= reader.groups) return;
  const typename Reader::Codes codes = reader.Load(ids[row], g);
  const GroupScales s = reader.Scales(ids[row], g);
  float* to = out + row * table.cols + g * 32;
  for (int q = 0; q < 8; ++q) {
    const int32_t quad = Reader::Quad(codes, q);
    for (int j = 0; j < 4; ++j) {
      const int code = static_cast<int8_t>(quad >> 8 * j) - s.zero;
      to[4 * q + j] = s.scale[q / 4] * static_cast<float>(code) - s.min[q / 4];
    }
  }
}

// Rows in x, which may be many; blocks over n in y, of which there are at most 65,535.
dim3 Grid(int64_t n, int64_t per_block, int64_t rows) {
  return dim3(static_cast<unsigned>(rows), static_cast<unsigned>(CeilDiv(n, per_block)));
}
dim3 FlatGrid(int64_t n) {
  return dim3(static_cast<unsigned>(CeilDiv<int64_t>(n, kWarps * kWarp)));
}
constexpr int kThreads = kWarps * kWarp;

// Calls fn.template operator()<form>() for a form that is not blocks.
template <class F>
void ForPlainForm(Form form, const F& fn) {
  if (form == Form::kF32) return fn.template operator()<Form::kF32>();
  if (form == Form::kBf16) return fn.template operator()<Form::kBf16>();
  fn.template operator()<Form::kF16>();
}

}  // namespace

void QuantiseActivations(Stream& s, const float* x, int64_t ld, int64_t rows, int64_t cols,
                         int parts, int8_t* high, int8_t* low, float* groups) {
  const int64_t n = cols / 32;
  const auto kernel = parts == 1 ? QuantiseKernel<1> : QuantiseKernel<2>;
  Launch(s, Grid(n, kWarps, rows), kThreads, 0, kernel, x, ld, n, high, low, groups);
}

void MultiplyRows(Stream& s, const Matrix& w, const Activations& x, int64_t rows, const RowMap& map,
                  const Output& out) {
  const bool mapped = map.matrix != nullptr || map.modulo > 0;
  const int per_block = mapped ? 1 : kMostRows;
  const dim3 grid = Grid(w.rows, kWarps, CeilDiv<int64_t>(rows, per_block));
  if (IsBlocks(w.form)) {
    ForBlockType(w.form, [&]<int kType>() {
      Launch(s, grid, kThreads, 0, BlockKernel<kType>, w, x, rows, per_block, map, out);
    });
  } else {
    ForPlainForm(w.form, [&]<Form kForm>() {
      Launch(s, grid, kThreads, 0, PlainKernel<kForm>, w, x, rows, per_block, map, out);
    });
  }
}

void RoundMatrix(Stream& s, const Matrix& w, int64_t matrix, uint16_t* out) {
  if (IsBlocks(w.form)) {
    ForBlockType(w.form, [&]<int kType>() {
      Launch(s, FlatGrid(w.rows * w.cols / 32), kThreads, 0, RoundBlocksKernel<kType>, w, matrix,
             out);
    });
  } else {
    ForPlainForm(w.form, [&]<Form kForm>() {
      Launch(s, FlatGrid(w.rows * w.cols), kThreads, 0, RoundPlainKernel<kForm>, w, matrix, out);
    });
  }
}

void Embed(Stream& s, const Matrix& table, const int32_t* ids, int64_t rows, float* out) {
  if (IsBlocks(table.form)) {
    ForBlockType(table.form, [&]<int kType>() {
      Launch(s, Grid(table.cols / 32, kThreads, rows), kThreads, 0, EmbedBlocksKernel<kType>, table,
             ids, out);
    });
  } else {
    ForPlainForm(table.form, [&]<Form kForm>() {
      Launch(s, Grid(table.cols, kThreads, rows), kThreads, 0, EmbedPlainKernel<kForm>, table, ids,
             out);
    });
  }
}

}  // namespace hadal::CUDA_NAMESPACE
