// Owns: boxes that the card's copy engine brings to shared memory (TMA, sm_90): rows of 64 values
// of bf16, one after another, laid as wgmma.h wants its operands. A barrier in shared memory passes
// once for each fill, when all bytes of it are there. Their order:
//
//   one thread: InitFills(barriers, n); a barrier of the block
//   one thread, for fill i of a place whose readers are done: ExpectFill(barrier, bytes);
//     CopyBox(...) for all boxes
//   whoever reads it: AwaitFill(barrier, i)
//
// Only .cu files include this.
#pragma once

#include "kernels/cuda/box_map.h"
#include "kernels/cuda/wgmma.h"

namespace hadal::CUDA_NAMESPACE {
using FillBarrier = uint64_t;
}  // namespace hadal::CUDA_NAMESPACE

#ifdef HADAL_CUDA_EMULATED
#include "kernels/cuda/emulated/tile_copies.h"
#else

namespace hadal::cuda {

__device__ inline void InitFills(FillBarrier* barriers, int n) {
#if __CUDA_ARCH__ >= 900
  for (int i = 0; i < n; ++i) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(SharedAddress(barriers + i)));
  }
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
__device__ inline void ExpectFill(FillBarrier* barrier, int bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(barrier)),
      "r"(bytes)
      : "memory");
#endif
}
// The box at these coordinates, to a multiple of 1024 bytes.
__device__ inline void CopyBox(const BoxMap& from, FillBarrier* barrier, void* to, int c0, int c1,
                               int c2) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3, %4}], [%5];" ::"r"(SharedAddress(to)),
      "l"(&from), "r"(c0), "r"(c1), "r"(c2), "r"(SharedAddress(barrier))
      : "memory");
#endif
}
__device__ inline void CopyBox(const BoxMap& from, FillBarrier* barrier, void* to, int c0, int c1,
                               int c2, int c3, int c4) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3, %4, %5, %6}], [%7];" ::"r"(SharedAddress(to)),
      "l"(&from), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4), "r"(SharedAddress(barrier))
      : "memory");
#endif
}
__device__ inline void AwaitFill(FillBarrier* barrier, int fill) {
#if __CUDA_ARCH__ >= 900
  uint32_t done = 0;
  do {
    asm volatile(
        "{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, "
        "p; }"
        : "=r"(done)
        : "r"(SharedAddress(barrier)), "r"(fill & 1)
        : "memory");
  } while (done == 0);
#endif
}

}  // namespace hadal::cuda
#endif
