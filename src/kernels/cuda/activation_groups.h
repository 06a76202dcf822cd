// Owns: how activations become the integers that block weights are multiplied with, a warp per tile
// of 128 values: the kernel that converts rows for many blocks of threads and the products that
// convert their own row give the same bits. Only .cu files include this.
#pragma once

#include "kernels/cuda/block_planes.h"
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {

// What is written of a tile; places as in Activations. Sums that nobody reads stay as they are.
enum class GroupSums { kNone, kWhole, kHalves };
struct ActivationTile {
  int8_t *high, *low;  // [4][group][8]
  float* groups;       // [4][group]
};

// `v`: values lane * 4 .. of the tile, a quad of the group lane / 8.
template <int kParts, GroupSums kSums>
__device__ void WriteTile(const float4& v, const ActivationTile& to) {
  constexpr int kGroups = block_planes::kTileGroups;
  constexpr float kSteps = kParts == 1 ? cpu::kActivationSteps8 : cpu::kActivationSteps16;
  constexpr uint32_t kSign = 0x80000000u;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, quad = lane % 8, group = lane / 8;
  const float values[4] = {v.x, v.y, v.z, v.w};
  // Magnitudes compare as integers, and infinity and NaN are beyond all that are good.
  uint32_t most_bits = 0;
  for (const float value : values) {
    const uint32_t bits = __float_as_uint(value) & ~kSign;
    most_bits = bits > most_bits ? bits : most_bits;
  }
  for (int step = 1; step < 8; step *= 2) {
    const uint32_t other = __shfl_xor_sync(~0u, most_bits, step);
    most_bits = other > most_bits ? other : most_bits;
  }
  const float most = __uint_as_float(most_bits);
  const bool all = most <= cpu::kLargestActivation;
  const bool some = all && most >= 1e-30f;  // below, too small to invert
  const float factor = kSteps * Reciprocal(most);
  int q[4], sum = 0;
  for (int i = 0; i < 4; ++i) {
    q[i] = __float2int_rn(some ? values[i] * factor : 0.0f);
    sum += q[i];
  }
  const int at = quad % 4 * 8 + group * 2 + quad / 4;  // in words
  const auto bytes = [&q](uint32_t pairs) {            // of each the same one
    return BytePermute(BytePermute(static_cast<uint32_t>(q[0]), static_cast<uint32_t>(q[1]), pairs),
                       BytePermute(static_cast<uint32_t>(q[2]), static_cast<uint32_t>(q[3]), pairs),
                       0x5410);
  };
  const uint32_t lowest = bytes(0x40);
  if constexpr (kParts == 1) {
    reinterpret_cast<uint32_t*>(to.high)[at] = lowest;
  } else {
    for (int& value : q) value += 128;  // the low part is signed
    reinterpret_cast<uint32_t*>(to.high)[at] = bytes(0x51);
    reinterpret_cast<uint32_t*>(to.low)[at] = lowest;
  }
  uint32_t scale_bits = __float_as_uint(most * (1.0f / kSteps));
  if constexpr (kParts == 1) scale_bits = (scale_bits + 2) & ~3u;  // see cpu::ActivationGroup8
  const float scale = __uint_as_float(all ? scale_bits : 0x7fc00000u);
  float* info = to.groups + group;
  if (quad == 0) info[0] = scale;
  if constexpr (kSums != GroupSums::kNone) {
    for (int step = 1; step < 4; step *= 2) sum += __shfl_xor_sync(~0u, sum, step);
    const int both = sum + __shfl_xor_sync(~0u, sum, 4);
    if (quad == 0) info[kGroups] = static_cast<float>(both) * scale;
    if (kSums == GroupSums::kHalves && quad % 4 == 0) {
      info[(2 + quad / 4) * kGroups] = static_cast<float>(sum) * scale;
    }
  }
}

// Whether quads of its rows begin at multiples of 16 bytes; `cols`, of blocks, is a multiple of 32.
__device__ inline bool IsAligned(const float* x, int64_t ld) {
  return ld % 4 == 0 && reinterpret_cast<uintptr_t>(x) % sizeof(float4) == 0;
}
// Values lane * 4 .. of tile `tile` of a row; zeros beyond its end.
__device__ inline float4 LoadTile(const float* row, bool aligned, int cols, int tile) {
  const int k = tile * block_planes::kTileK + static_cast<int>(threadIdx.x) % kWarp * 4;
  if (k >= cols) return {0, 0, 0, 0};
  if (aligned) return *reinterpret_cast<const float4*>(row + k);
  return {row[k], row[k + 1], row[k + 2], row[k + 3]};
}

}  // namespace hadal::CUDA_NAMESPACE
