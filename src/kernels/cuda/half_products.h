// Owns: 16-bit and FP8 weights and float32 x as operands of the bf16 matrix unit: how tiles of
// weights come to shared memory and into fragments, how x is cut into bf16 parts, and the order in
// which both are multiplied, which fixes a row's bits. Only .cu files include this.
#pragma once

#include "kernels/cuda/fp8_codes.h"
#include "kernels/cuda/fp8_tiles.h"
#include "kernels/cuda/row_products.h"

namespace hadal::CUDA_NAMESPACE {

template <Form kForm>
constexpr int kWeightBytes = kForm == Form::kFp8 ? 1 : 2;
constexpr int kHalfStep = 32, kLineBytes = 128;
// Values of k of a warp's turn: a line of every row.
template <Form kForm>
constexpr int kStepK = kLineBytes / kWeightBytes<kForm>;
static_assert(kStepK<Form::kFp8> == fp8_tiles::kColumns);
constexpr int kTileBytes = kProductRows * kLineBytes;

// One of eight chunks of a row of a tile. A row's 128 bytes lie together, of odd rows with their
// halves exchanged, so that neither a copied row nor the fragments of two meet a bank twice; with
// FP8, where fragments are half as long, the fragments of four.
template <Form kForm>
__device__ uint4* PlaceOf(char* tile, int row, int chunk) {
  const int swap = kForm == Form::kFp8 ? row % 4 * 2 : row % 2 * 4;
  return reinterpret_cast<uint4*>(tile) + row * 8 + (chunk ^ swap);
}

// The rows of weights of a block, in tiles of 16. Gated: of the first half of the matrix's rows
// eight, and of the second half those that they gate.
template <Form kForm>
struct WeightRows {
  static constexpr int kHalf = kProductRows / 2, kSize = kWeightBytes<kForm>;
  const uint8_t* matrix;
  const uint8_t* at[2];   // the lane's piece of its first row of both halves of the first tile
  int first[2], left[2];  // that row's number, rows from there to the end
  int rows, cols, step;   // tiles are `step` rows apart

  // Lanes copy whole lines: eight to a row, four rows at a time.
  __device__ WeightRows(const Matrix& w, int64_t i, int tile, bool gated)
      : matrix(w.data + i * w.stride),
        rows(static_cast<int>(w.rows)),
        cols(static_cast<int>(w.cols)),
        step(gated ? kHalf : kProductRows) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    first[0] = tile * step + lane / 8;
    first[1] = first[0] + (gated ? rows / 2 : kHalf);
    left[0] = (gated ? rows / 2 : rows) - first[0];
    left[1] = rows - first[1];
    for (int half = 0; half < 2; ++half) {
      at[half] = matrix + lane % 8 * 16;
      if (kForm != Form::kFp8) at[half] += int64_t{first[half]} * cols * kSize;
    }
  }
  // `row` rows from the first of a half; FP8 lies in tiles of its own.
  __device__ const uint8_t* Address(int half, int row, int k) const {
    if constexpr (kForm != Form::kFp8) return at[half] + (row * cols + k) * kSize;
    const int of = first[half] + row;
    return at[half] + of / kProductRows * fp8_tiles::TileBytes(cols) + of % kProductRows * cols + k;
  }
  // Of eight rows, the half of a tile.
  __device__ float Scale(int tile, int half, int k) const {
    const int row = first[half] + tile * step;  // or one of three after it, which share its scale
    if (row - static_cast<int>(threadIdx.x) % kWarp / 8 >= rows) return 0;
    const uint8_t* of = matrix + row / kProductRows * fp8_tiles::TileBytes(cols);
    return __ldg(reinterpret_cast<const float*>(of + fp8_tiles::ScalesAt(cols)) +
                 k / fp8_tiles::kColumns);
  }
  __device__ void Copy(int tile, int k, char* to) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, chunk = lane % 8;
    for (int i = 0; i < 4; ++i) {
      const int row = tile * step + i % 2 * 4;
      const bool valid = row < left[i / 2] && k + chunk * (16 / kSize) < cols;
      CopyAsync16(PlaceOf<kForm>(to, i * 4 + lane / 8, chunk),
                  valid ? Address(i / 2, row, k) : matrix, valid);
    }
  }
};

// Two floats as the sum of pairs of bf16. What is left of an infinity would be NaN.
template <int kParts>
__device__ void Split(float a, float b, uint32_t (&parts)[kParts]) {
  constexpr float kLeast = -0x1p120f;
  for (int i = 0; i < kParts; ++i) {
    parts[i] = PackBf16(a, b);
    a = fmaxf(a - Bf16Low(parts[i]), kLeast);
    b = fmaxf(b - Bf16High(parts[i]), kLeast);
  }
}

template <Form kForm>
constexpr int kXParts = kForm == Form::kF16 ? 3 : 2;

// Eight values of x of row lane / 4, as the instruction takes them.
template <int kParts>
struct XHalfStep {
  uint32_t pairs[kParts][4];

  __device__ void Put(int i, float a, float b) {
    uint32_t parts[kParts];
    Split(a, b, parts);
    for (int part = 0; part < kParts; ++part) pairs[part][i] = parts[part];
  }
};

// The same on their way from memory: as floats, or in parts as SplitRows left them.
template <int kParts, bool kSplit>
struct XLoad {
  static constexpr int kWords = kSplit ? kParts : 2;
  uint4 words[kWords];

  // `from`: of the floats those of k, of the parts those of the half step.
  __device__ void Load(const void* from, bool there) {
    const auto* at = static_cast<const uint4*>(from);
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int i = 0; i < kWords; ++i) {
      words[i] = {0, 0, 0, 0};
      if (there) words[i] = kSplit ? at[i * kWarp + lane] : at[i];
    }
  }
  __device__ XHalfStep<kParts> Take() const {
    XHalfStep<kParts> x;
    for (int i = 0; i < kWords; ++i) {
      if constexpr (kSplit) {
        x.pairs[i][0] = words[i].x;
        x.pairs[i][1] = words[i].y;
        x.pairs[i][2] = words[i].z;
        x.pairs[i][3] = words[i].w;
      } else {
        x.Put(2 * i, __uint_as_float(words[i].x), __uint_as_float(words[i].y));
        x.Put(2 * i + 1, __uint_as_float(words[i].z), __uint_as_float(words[i].w));
      }
    }
    return x;
  }
};

// A lane's eight values of rows lane / 4 and lane / 4 + 8 of a tile, for two instructions.
template <Form kForm>
struct WeightHalfStep {
  static constexpr int kParts = kForm == Form::kF16 ? 2 : 1;
  uint32_t a[kParts][2][4];

  __device__ WeightHalfStep() {}
  __device__ void Load(char* tile, int half) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int i = 0; i < 2; ++i) {
      const uint4 v = Eight(tile, lane / 4 + i * 8, half * 4 + lane % 4);
      const uint32_t words[4] = {v.x, v.y, v.z, v.w};
      for (int j = 0; j < 4; ++j) Take(words[j], j / 2, j % 2 * 2 + i);
    }
  }

 private:
  __device__ static uint4 Eight(char* tile, int row, int eight) {
    if constexpr (kForm == Form::kFp8) {
      const auto* two = reinterpret_cast<const uint2*>(PlaceOf<kForm>(tile, row, eight / 2));
      return CodesToBf16(two[eight % 2], kNoScale);
    } else {
      return *PlaceOf<kForm>(tile, row, eight);
    }
  }
  __device__ void Take(uint32_t word, int instruction, int at) {
    if constexpr (kForm == Form::kF16) {
      uint32_t parts[2];
      Split(HalfToFloat(static_cast<uint16_t>(word & 0xffff)),
            HalfToFloat(static_cast<uint16_t>(word >> 16)), parts);
      for (int part = 0; part < 2; ++part) a[part][instruction][at] = parts[part];
    } else {
      a[0][instruction][at] = word;
    }
  }
};

// Every sum is one chain, the smaller products first; those of several tiles take turns, so that
// none waits for itself.
template <Form kForm, int kTiles, class Sums>
__device__ void MultiplyHalfStep(const WeightHalfStep<kForm> (&w)[kTiles],
                                 const XHalfStep<kXParts<kForm>>& x, const Sums& sums) {
  for (int i = 0; i < 2; ++i) {
    const auto multiply = [&](int w_part, int x_part) {
      for (int m = 0; m < kTiles; ++m) {
        MmaBf16(sums(m), w[m].a[w_part][i], {x.pairs[x_part][2 * i], x.pairs[x_part][2 * i + 1]});
      }
    };
    if constexpr (kForm == Form::kF16) {
      multiply(1, 1);
      multiply(1, 0);
    }
    for (int part = kXParts<kForm> - 1; part >= 0; --part) multiply(0, part);
  }
}

}  // namespace hadal::CUDA_NAMESPACE
