// CUDA's built-ins for the host compiler, as far as the kernels use them; see emulator.h. Matrix
// instructions compute what the PTX ISA says of their fragments, with sums in float or int32.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "core/dtype.h"
#include "kernels/cuda/emulated/emulator.h"
#include "kernels/cuda/emulated/stream.h"

#define __global__ static
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__

namespace hadal::cuda_emulated {

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(16) int4 {
  int32_t x, y, z, w;
};

template <class... P, class... A>
void Launch(Stream& stream, const dim3& grid, int threads, size_t shared, void (*kernel)(P...),
            const A&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  CHECK(grid.y <= 65535 && grid.z <= 65535 && shared <= stream.most_shared);
  ++stream.launches;
  stream.Do([=] { RunGrid(grid, threads, shared, [&] { kernel(P(args)...); }); });
}

// One kernel after another.
inline void WaitForInputs() {}
inline void LetNextBegin() {}
inline int ComputedHere(int v) { return v; }

inline bool MultiplyByLibrary(Stream&, const Matrix&, const uint16_t*, int64_t, const Output&) {
  return false;  // there is none
}
inline void __syncthreads() { SyncBlock(); }
inline int __syncthreads_count(int p) {
  static int count = 0;
  SyncBlock();
  if (threadIdx.x == 0) count = 0;
  SyncBlock();
  if (p != 0) ++count;
  SyncBlock();
  return count;
}
inline void __syncwarp(unsigned = ~0u) { SyncWarp(); }
template <class T>
T __shfl_sync(unsigned, T v, int lane) {
  const std::byte* all = Exchange(&v, sizeof v);
  std::memcpy(&v, all + static_cast<size_t>(lane & 31) * kExchangeStride, sizeof v);
  return v;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int bits) {
  return __shfl_sync(mask, v, static_cast<int>(threadIdx.x % 32) ^ bits);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, int by) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  return __shfl_sync(mask, v, lane + by < 32 ? lane + by : lane);
}
inline unsigned __ballot_sync(unsigned, bool p) {
  const std::byte* all = Exchange(&p, sizeof p);
  unsigned bits = 0;
  for (unsigned i = 0; i < 32; ++i) {
    if (all[i * kExchangeStride] != std::byte{0}) bits |= 1u << i;
  }
  return bits;
}
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  CHECK(reinterpret_cast<uintptr_t>(p) % sizeof(T) == 0);
  return *p;
}
inline int atomicAdd(int* p, int v) {
  const int old = *p;
  *p += v;
  return old;
}
inline unsigned atomicAdd(unsigned* p, unsigned v) {
  const unsigned old = *p;
  *p += v;
  return old;
}
inline void PrefetchL2(const void*) {}
inline int CountBlock(int* count) { return atomicAdd(count, 1); }
inline int __popc(unsigned v) { return std::popcount(v); }
inline void __threadfence() {}
inline float __uint_as_float(uint32_t v) { return std::bit_cast<float>(v); }
inline uint32_t __float_as_uint(float v) { return std::bit_cast<uint32_t>(v); }
inline float __expf(float v) { return std::exp(v); }
inline float __frcp_rn(float v) { return 1.0f / v; }
inline float rsqrtf(float v) { return 1.0f / std::sqrt(v); }
inline float Exp2(float v) { return std::exp2(v); }
inline float Reciprocal(float v) { return 1.0f / v; }
inline int __float2int_rn(float v) { return static_cast<int>(std::nearbyint(v)); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

inline uint32_t PackBf16(float low, float high) {
  return hadal::FloatToBf16(low) | uint32_t{hadal::FloatToBf16(high)} << 16;
}
inline float UnpackBf16(uint32_t word, int i) {
  return std::bit_cast<float>(i == 0 ? word << 16 : word & 0xffff0000u);
}
inline uint32_t MultiplyBf16(uint32_t a, uint32_t b) {
  return PackBf16(UnpackBf16(a, 0) * UnpackBf16(b, 0), UnpackBf16(a, 1) * UnpackBf16(b, 1));
}
inline float HalfToFloat(uint16_t v) { return hadal::F16ToFloat(v); }
inline uint32_t BytePermute(uint32_t low, uint32_t high, uint32_t fields) {
  const uint64_t all = low | uint64_t{high} << 32;
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    out |= static_cast<uint32_t>(all >> (fields >> 4 * i & 7) * 8 & 0xff) << 8 * i;
  }
  return out;
}
inline int32_t Dot4(int32_t a, int32_t b, int32_t c) {
  for (int i = 0; i < 4; ++i) {
    c += static_cast<int8_t>(a >> 8 * i) * static_cast<int8_t>(b >> 8 * i);
  }
  return c;
}
inline uint4 LoadOnce16(const void* p) {
  CHECK(reinterpret_cast<uintptr_t>(p) % 16 == 0);
  uint4 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void CopyAsync16(void* shared, const void* global, bool valid) {
  CopyLater(shared, global, valid);
}
inline void CopyShared16(void* shared, const void* global) { CopyLater(shared, global, true); }
inline void CopyAsync16If(bool wanted, void* shared, const void* global, bool valid) {
  if (wanted) CopyLater(shared, global, valid);
}
template <int kAt>
void CopyAsync16At(void* shared, const void* global) {
  CopyLater(static_cast<char*>(shared) + kAt, static_cast<const char*>(global) + kAt, true);
}
inline void CopyAsyncCommit() { CommitCopies(); }
template <int kPending>
void CopyAsyncWait() {
  WaitForCopies(kPending);
}

// ---- matrix instructions. Lane l holds, with g = l / 4 and t = l % 4 (16-bit values, k in pairs):
//   a[0] row g, k 2t; a[1] row g + 8, k 2t; a[2] row g, k 2t + 8; a[3] row g + 8, k 2t + 8
//   b[0] k 2t, column g; b[1] k 2t + 8, column g
//   c[0], c[1] row g, columns 2t, 2t + 1; c[2], c[3] row g + 8
// and the same with four bytes in place of a pair.
struct MmaOperands {
  uint32_t a[4], b[2];
};
// In place of the operands of all lanes: their four sums. kPerWord values of k are in a word.
template <class Value, class Sum, int kPerWord, Value (*kUnpack)(uint32_t word, int i)>
void CombineMma(std::byte* lanes) {
  constexpr int kHalf = 4 * kPerWord, kK = 2 * kHalf;
  Value a[16][kK], b[8][kK];
  for (int lane = 0; lane < 32; ++lane) {
    MmaOperands o;
    std::memcpy(&o, lanes + static_cast<size_t>(lane) * kExchangeStride, sizeof o);
    const int g = lane / 4, at = lane % 4 * kPerWord;
    for (int i = 0; i < kPerWord; ++i) {
      for (int half = 0; half < 2; ++half) {
        a[g][half * kHalf + at + i] = kUnpack(o.a[2 * half], i);
        a[g + 8][half * kHalf + at + i] = kUnpack(o.a[2 * half + 1], i);
        b[g][half * kHalf + at + i] = kUnpack(o.b[half], i);
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    Sum sums[4];
    for (int i = 0; i < 4; ++i) {
      const Value* left = a[lane / 4 + i / 2 * 8];
      const Value* right = b[lane % 4 * 2 + i % 2];
      sums[i] = 0;
      for (int k = 0; k < kK; ++k)
        sums[i] += static_cast<Sum>(left[k]) * static_cast<Sum>(right[k]);
    }
    std::memcpy(lanes + static_cast<size_t>(lane) * kExchangeStride, sums, sizeof sums);
  }
}
template <class Sum>
void MmaEmulated(Sum (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                 void (*combine)(std::byte*)) {
  MmaOperands mine;
  std::memcpy(mine.a, a, sizeof mine.a);
  std::memcpy(mine.b, b, sizeof mine.b);
  Sum sums[4];
  std::memcpy(sums, Exchange(&mine, sizeof mine, combine) + threadIdx.x % 32 * kExchangeStride,
              sizeof sums);
  for (int i = 0; i < 4; ++i) c[i] += sums[i];
}
inline int32_t UnpackInt8(uint32_t word, int i) { return static_cast<int8_t>(word >> 8 * i); }
inline void MmaBf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  MmaEmulated(c, a, b, CombineMma<float, float, 2, UnpackBf16>);
}
inline void MmaInt8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int32_t from) {
  for (int32_t& v : c) v = from;
  MmaEmulated(c, a, b, CombineMma<int32_t, int32_t, 4, UnpackInt8>);
}
// The first half of k alone (mma.m16n8k16).
inline void MmaInt8Half(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t b, int32_t from) {
  MmaInt8(c, {a0, a1, 0, 0}, {b, 0}, from);
}
inline void LoadMatrices(uint32_t (&r)[4], const void* row, bool transposed) {
  CHECK(reinterpret_cast<uintptr_t>(row) % 16 == 0);
  const std::byte* all = Exchange(&row, sizeof row);
  const unsigned lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const auto value = [&](unsigned matrix, unsigned i, unsigned j) {
    const std::byte* from;
    std::memcpy(&from, all + (matrix * 8 + i) * kExchangeStride, sizeof from);
    uint16_t v;
    std::memcpy(&v, from + 2 * j, sizeof v);
    return uint32_t{v};
  };
  for (unsigned m = 0; m < 4; ++m) {
    r[m] = transposed ? value(m, 2 * t, g) | value(m, 2 * t + 1, g) << 16
                      : value(m, g, 2 * t) | value(m, g, 2 * t + 1) << 16;
  }
}
inline void StoreMatrix4Transposed(void* row, const uint32_t (&r)[4]) {
  CHECK(reinterpret_cast<uintptr_t>(row) % 16 == 0);
  const std::byte* all = Exchange(&row, sizeof row);
  const unsigned lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  for (unsigned m = 0; m < 4; ++m) {
    for (unsigned i = 0; i < 2; ++i) {
      std::byte* to;
      std::memcpy(&to, all + (m * 8 + 2 * t + i) * kExchangeStride, sizeof to);
      const auto v = static_cast<uint16_t>(r[m] >> 16 * i);
      std::memcpy(to + 2 * g, &v, sizeof v);
    }
  }
  SyncWarp();  // whoever reads it next has its own barrier; the addresses are read by now
}
inline void LoadMatrix4(uint32_t (&r)[4], const void* row) { LoadMatrices(r, row, false); }
inline void LoadMatrix4Transposed(uint32_t (&r)[4], const void* row) { LoadMatrices(r, row, true); }

}  // namespace hadal::cuda_emulated
