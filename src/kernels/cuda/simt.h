// Owns: the little that kernels use beyond C++: CUDA's built-ins and a launch. The same .cu files
// compile twice: by nvcc for the card, into hadal::cuda, and by the host compiler against
// emulated/simt.h, into hadal::cuda_emulated, where a block's threads take turns on one CPU thread.
// Only .cu files include this.
#pragma once

#include <cstdint>

#include "kernels/cuda/kernels.h"

#ifdef HADAL_CUDA_EMULATED
#include "kernels/cuda/emulated/simt.h"
#else
#include <cuda_runtime.h>

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/stream.h"

namespace hadal::cuda {

// Whether kernels may begin early: code made for older cards, which newer ones run too, does not
// wait.
template <class... P>
bool MayBeginEarly(Stream& stream, void (*kernel)(P...)) {
  if (stream.early && !stream.early_checked) {
    cudaFuncAttributes code = {};
    stream.Check(cudaFuncGetAttributes(&code, kernel), reinterpret_cast<const void*>(kernel));
    stream.early = code.ptxVersion == 0 || code.ptxVersion >= 90;
    stream.early_checked = true;
  }
  return stream.early;
}

// A kernel on the stream, with so many bytes of dynamic shared memory. Errors stay with the stream.
// It may begin before the kernel before it has ended: all its threads that are not done at once
// call WaitForInputs before they read what other kernels write, or write anything.
template <class... P, class... A>
void Launch(Stream& stream, dim3 grid, int threads, size_t shared, void (*kernel)(P...),
            const A&... args) {
  if (stream.dropping || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  ++stream.launches;
  if (shared > 48 * 1024) {  // never less than what a recorded launch has
    stream.Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(stream.most_shared)),
                 reinterpret_cast<const void*>(kernel));
  }
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared;
  config.stream = stream.handle;
  config.attrs = &attribute;
  config.numAttrs = MayBeginEarly(stream, kernel) ? 1 : 0;
  stream.Check(cudaLaunchKernelEx(&config, kernel, P(args)...),
               reinterpret_cast<const void*>(kernel));
}
// Until the kernels before have ended and what they wrote is seen.
__device__ inline void WaitForInputs() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// The next kernel may begin when all blocks have come here or ended.
__device__ inline void LetNextBegin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// v, as if it were computed here: what follows from it takes no registers before.
__device__ inline int ComputedHere(int v) {
  asm volatile("" : "+r"(v));
  return v;
}

// Dynamic shared memory of the block, at a multiple of 1024 bytes.
__device__ inline char* SharedMemory() {
  extern __shared__ __align__(1024) char memory[];
  return memory;
}

// c += a b of a warp: a [16, 16] and b [16, 8] bf16, c [16, 8] float, in the fragments of mma.sync
// (PTX ISA, matrix fragments for mma.m16n8k16).
__device__ inline void MmaBf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// c = from + a b: a [16, 32] and b [32, 8] of signed bytes, c [16, 8] int32 (mma.m16n8k32).
__device__ inline void MmaInt8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                               int32_t from) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%10,%10,%10};"
      : "=r"(c[0]), "=r"(c[1]), "=r"(c[2]), "=r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(from));
}
// The same of half the values of k: a [16, 16], b [16, 8] (mma.m16n8k16).
__device__ inline void MmaInt8Half(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t b,
                                   int32_t from) {
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
      "{%7,%7,%7,%7};"
      : "=r"(c[0]), "=r"(c[1]), "=r"(c[2]), "=r"(c[3])
      : "r"(a0), "r"(a1), "r"(b), "r"(from));
}
// Four 8 x 8 matrices of 16-bit values; lane l gives the address of row l % 8 of matrix l / 8.
__device__ inline void LoadMatrix4(uint32_t (&r)[4], const void* row) {
  const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at)
               : "memory");
}
// The same, every matrix transposed.
__device__ inline void LoadMatrix4Transposed(uint32_t (&r)[4], const void* row) {
  const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at)
               : "memory");
}
// Four 8 x 8 matrices in the fragments of MmaBf16's sums, two values to a word, stored transposed:
// lane l gives the address of row l % 8, as stored, of matrix l / 8.
__device__ inline void StoreMatrix4Transposed(void* row, const uint32_t (&r)[4]) {
#if __CUDA_ARCH__ >= 900
  const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(at),
               "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
#else
  __trap();
#endif
}
// 16 bytes from global to shared memory, asynchronously; zeros when `valid` is false.
__device__ inline void CopyAsync16(void* shared, const void* global, bool valid) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes)
               : "memory");
}
// The same of bytes that the multiprocessor's other blocks read too: through the L1.
__device__ inline void CopyShared16(void* shared, const void* global) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
}
// The same, or nothing at all.
__device__ inline void CopyAsync16If(bool wanted, void* shared, const void* global, bool valid) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 16 : 0, when = wanted ? 1 : 0;
  asm volatile(
      "{ .reg .pred p; setp.ne.s32 p, %3, 0; @p cp.async.cg.shared.global [%0], [%1], 16, %2; }" ::
          "r"(to),
      "l"(global), "r"(bytes), "r"(when)
      : "memory");
}
// The same of 16 bytes that are there, `kAt` bytes on in both.
template <int kAt>
__device__ inline void CopyAsync16At(void* shared, const void* global) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0+%2], [%1+%2], 16;" ::"r"(to), "l"(global), "n"(kAt)
               : "memory");
}
__device__ inline void CopyAsyncCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ inline void CopyAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}
// 16 bytes that are read once.
__device__ inline uint4 LoadOnce16(const void* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
}
// The line comes to the L2 meanwhile.
__device__ inline void PrefetchL2(const void* line) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(line)));
}
// One more block is done: what it wrote before its barrier is seen by the block that counts after
// it. Gives the count before.
__device__ inline int CountBlock(int* count) {
  int before;
  asm volatile("atom.acq_rel.gpu.global.add.s32 %0, [%1], 1;"
               : "=r"(before)
               : "l"(__cvta_generic_to_global(count))
               : "memory");
  return before;
}
// Two floats as bf16, rounded to nearest even: `low` in the low half.
__device__ inline uint32_t PackBf16(float low, float high) {
  uint32_t v;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(high), "f"(low));
  return v;
}
// Products of two pairs of bf16, rounded to nearest even.
__device__ inline uint32_t MultiplyBf16(uint32_t a, uint32_t b) {
  uint32_t v;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(0x80008000u));
  return v;
}
__device__ inline float HalfToFloat(uint16_t v) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v));
  return f;
}
// 2^v within 2 units in the last place; results below 2^-126 are 0.
__device__ inline float Exp2(float v) {
  float f;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(f) : "f"(v));
  return f;
}
// 1 / v within 1 unit in the last place.
__device__ inline float Reciprocal(float v) {
  float f;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(f) : "f"(v));
  return f;
}
// Bytes of low (0 .. 3) and high (4 .. 7) that the four lowest fields of four bits choose.
__device__ inline uint32_t BytePermute(uint32_t low, uint32_t high, uint32_t fields) {
  return __byte_perm(low, high, fields);
}
// Signed bytes: c + a . b.
__device__ inline int32_t Dot4(int32_t a, int32_t b, int32_t c) { return __dp4a(a, b, c); }

}  // namespace hadal::cuda
#endif

namespace hadal::CUDA_NAMESPACE {

constexpr int kWarp = 32;

__device__ inline float Bf16ToFloat(uint16_t v) { return __uint_as_float(uint32_t{v} << 16); }
__device__ inline uint16_t FloatToBf16(float v) {
  return static_cast<uint16_t>(PackBf16(v, 0.0f) & 0xffff);
}
__device__ inline float Bf16Low(uint32_t two) { return __uint_as_float(two << 16); }
__device__ inline float Bf16High(uint32_t two) { return __uint_as_float(two & 0xffff0000u); }

// SwiGLU.
__device__ inline float Gate(float gate, float up) { return gate / (1.0f + expf(-gate)) * up; }
// A fast quotient: what it is off by is far less than what rounding to bf16 takes.
__device__ inline float GateFast(float gate, float up) {
  return gate * __frcp_rn(1.0f + __expf(-gate)) * up;
}

__device__ inline float WarpSum(float v) {
  for (int step = kWarp / 2; step > 0; step /= 2) v += __shfl_xor_sync(~0u, v, step);
  return v;
}
__device__ inline float WarpMax(float v) {
  for (int step = kWarp / 2; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, step));
  return v;
}
__device__ inline uint32_t WarpMaxOf(uint32_t v) {
#if !defined(HADAL_CUDA_EMULATED) && __CUDA_ARCH__ >= 800
  return __reduce_max_sync(~0u, v);
#else
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const uint32_t other = __shfl_xor_sync(~0u, v, step);
    v = v > other ? v : other;
  }
  return v;
#endif
}
__device__ inline uint32_t WarpMinOf(uint32_t v) { return ~WarpMaxOf(~v); }
// Over the block, the same in every thread; `shared` holds 32 floats and may be used again after.
template <float (*kOfWarp)(float)>
__device__ inline float OfBlock(float v, float nothing, float* shared) {
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  v = kOfWarp(v);
  if (lane == 0) shared[threadIdx.x / kWarp] = v;
  __syncthreads();
  v = kOfWarp(lane < warps ? shared[lane] : nothing);
  __syncthreads();
  return v;
}
__device__ inline float BlockSum(float v, float* shared) {
  return OfBlock<WarpSum>(v, 0.0f, shared);
}
__device__ inline float BlockMax(float v, float* shared) {
  return OfBlock<WarpMax>(v, -INFINITY, shared);
}

// Whether this block is the last of `n` to have written its part; the next launch finds 0 again.
// The first bytes of shared memory are overwritten.
__device__ inline bool IsLastBlock(int* count, int n) {
  int* last = reinterpret_cast<int*>(SharedMemory());
  __syncthreads();
  if (threadIdx.x == 0) {
    *last = CountBlock(count) == n - 1;
    if (*last != 0) *count = 0;
  }
  __syncthreads();
  return *last != 0;
}

template <class T>
__device__ __host__ constexpr T CeilDiv(T a, T b) {
  return (a + b - 1) / b;
}

}  // namespace hadal::CUDA_NAMESPACE
