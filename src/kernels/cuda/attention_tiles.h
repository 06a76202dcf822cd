// Owns: a warp's tile of 16 keys and values of one key head on its way from the cache, through
// shared memory, to the operands of the matrix unit, for a cache of bf16 and one of FP8.
// Columns are taken 16 at a time; which of them an operand holds is the tile's own affair, told by
// QueryColumn and OutColumn. Only .cu files of attention include this.
#pragma once

#include "kernels/cuda/attention_parts.h"
#include "kernels/cuda/cache_values.h"

namespace hadal::CUDA_NAMESPACE {

constexpr int kTileKeys = 16;

struct TileSource {
  Cache k, v;
  int head = 0, dim = 0;  // key head, its columns
};

// kDim: columns with padding, which is zeros.
template <int kDim, CacheForm kForm>
struct KeyTile;

template <int kDim>
struct KeyTile<kDim, CacheForm::kBf16> {
  static constexpr int kRowBytes = kDim * 2, kBytes = kTileKeys * kRowBytes;
  static constexpr int kChunks = kDim / 8;  // 16 bytes of a key
  static constexpr int kStageBytes = 2 * kBytes, kStages = kDim <= 64 ? 4 : 2;

  // Lane lane0 + i has the slot of key i, or kZeros or kAsItIs.
  __device__ static void Load(const TileSource& from, int slots, int lane0, int lane, char* stage) {
    const int c = lane % kChunks;
#pragma unroll
    for (int i = 0; i < kTileKeys * kChunks / kWarp; ++i) {
      const int key = (i * kWarp + lane) / kChunks;
      const int at = __shfl_sync(~0u, slots, lane0 + key);
      const bool wanted = at != kAsItIs, valid = at >= 0 && c * 8 < from.dim;
      const int64_t byte = valid ? at * from.k.row_bytes + (from.head * from.dim + c * 8) * 2 : 0;
      CopyAsync16If(wanted, ChunkAt(stage, kRowBytes, key, c),
                    static_cast<uint8_t*>(from.k.data) + byte, valid);
      CopyAsync16If(wanted, ChunkAt(stage + kBytes, kRowBytes, key, c),
                    static_cast<uint8_t*>(from.v.data) + byte, valid);
    }
  }

  const LaneRows keys, values;
  __device__ KeyTile(const TileSource&, char* stage, int lane)
      : keys(stage, kRowBytes, lane / 16 * 8 + lane % 8, lane / 8 % 2),
        values(stage + kBytes, kRowBytes, lane % 16, lane / 16) {}

  // Two times 16 columns from 32 * pair on: operands for keys 0 - 7, then for keys 8 - 15.
  __device__ void Keys(int pair, uint32_t (&b)[2][4]) const {
    for (int i = 0; i < 2; ++i) LoadMatrix4(b[i], keys.At(0, pair * 2 + i));
  }
  // The same columns of the values: operands for one half of each 16 columns, then for the other.
  __device__ void Values(int pair, uint32_t (&b)[2][4]) const {
    for (int i = 0; i < 2; ++i) LoadMatrix4Transposed(b[i], values.At(0, pair * 2 + i));
  }
  // Of 16 columns, the first of a lane's two that meet the half's operand.
  __device__ static int QueryColumn(int lane, int half) { return half * 8 + lane % 4 * 2; }
  // Of 16 columns, the one of a lane's sum i of the product with the half's operand.
  __device__ static int OutColumn(int lane, int half, int i) { return half * 8 + lane % 4 * 2 + i; }
};

// A code is a byte: one matrix of eight keys holds 16 columns, and a lane's word four that follow
// one another.
template <int kDim>
struct KeyTile<kDim, CacheForm::kFp8> {
  static constexpr int kRowBytes = 128, kBytes = kTileKeys * kRowBytes;
  static constexpr int kChunks = kDim / 16;
  // Keys, values, and of each key and value the 16 bytes that its scale is in.
  static constexpr int kStageBytes = 2 * kBytes + 2 * kTileKeys * 16, kStages = 4;

  __device__ static void Load(const TileSource& from, int slots, int lane0, int lane, char* stage) {
    const int c = lane % kChunks, column = from.head * from.dim + c * 16;
#pragma unroll
    for (int i = 0; i < kTileKeys * kChunks / kWarp; ++i) {
      const int key = (i * kWarp + lane) / kChunks;
      const int at = __shfl_sync(~0u, slots, lane0 + key);
      const bool wanted = at != kAsItIs, valid = at >= 0 && c * 16 < from.dim;
      const int64_t byte = valid ? at * from.k.row_bytes + column : 0;
      CopyAsync16If(wanted, ChunkAt(stage, kRowBytes, key, c),
                    static_cast<uint8_t*>(from.k.data) + byte, valid);
      CopyAsync16If(wanted, ChunkAt(stage + kBytes, kRowBytes, key, c),
                    static_cast<uint8_t*>(from.v.data) + byte, valid);
    }
    const int at = __shfl_sync(~0u, slots, lane0 + lane % kTileKeys);
    const Cache& cache = lane < kTileKeys ? from.k : from.v;
    CopyAsync16If(at != kAsItIs, stage + 2 * kBytes + lane * 16,
                  RowOf(cache, at < 0 ? 0 : at) + cache.scales_at + from.head / 4 * 16, at >= 0);
  }

  const LaneRows keys, values;
  uint32_t key_factors[2], value_factors[2];  // keys 0 - 7, 8 - 15
  __device__ KeyTile(const TileSource& from, char* stage, int lane)
      : keys(stage, kRowBytes, lane % 16, lane / 16),
        values(stage + kBytes, kRowBytes, lane % 16, lane / 16) {
    const auto* scales = reinterpret_cast<const float*>(stage + 2 * kBytes) + from.head % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float key = scales[(half * 8 + lane / 4) * 4];
      const float* value = scales + (kTileKeys + half * 8 + lane % 4 * 2) * 4;
      key_factors[half] = CodeFactors(key, key);
      value_factors[half] = CodeFactors(value[0], value[4]);
    }
  }

  __device__ void Keys(int pair, uint32_t (&b)[2][4]) const {
    uint32_t codes[4];
    LoadMatrix4(codes, keys.At(0, pair));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      b[i / 2][i % 2 * 2] = CodesToBf16<kCodes01>(codes[i], key_factors[i % 2]);
      b[i / 2][i % 2 * 2 + 1] = CodesToBf16<kCodes23>(codes[i], key_factors[i % 2]);
    }
  }
  // Even columns, then odd ones.
  __device__ void Values(int pair, uint32_t (&b)[2][4]) const {
    uint32_t codes[4];
    LoadMatrix4Transposed(codes, values.At(0, pair));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      b[i / 2][i % 2] = CodesToBf16<kCodes02>(codes[i], value_factors[i % 2]);
      b[i / 2][i % 2 + 2] = CodesToBf16<kCodes13>(codes[i], value_factors[i % 2]);
    }
  }
  __device__ static int QueryColumn(int lane, int half) { return lane % 4 * 4 + half * 2; }
  __device__ static int OutColumn(int lane, int half, int i) { return lane % 4 * 4 + i * 2 + half; }
};

}  // namespace hadal::CUDA_NAMESPACE
