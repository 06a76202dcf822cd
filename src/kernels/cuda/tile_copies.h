// Owns: rows that the card's copy engine brings to shared memory (TMA, sm_90): boxes of eight whole
// rows of bf16, their columns in blocks of 64: of each block eight rows of 128 bytes, laid as
// wgmma.h wants its operands, then the next block. A barrier in shared memory passes once for each
// fill, when all bytes of it are there. Their order:
//
//   one thread: InitFills(barriers, n); a barrier of the block
//   one warp, for fill i of a place whose readers are done:
//     one lane: ExpectFill(barrier, bytes); __syncwarp(); CopyBox(...) for all boxes
//   whoever reads it: AwaitFill(barrier, i)
//
// Only .cu files include this.
#pragma once

#include "kernels/cuda/row_boxes.h"
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
// Rows row .. row + 7, to a multiple of 1024 bytes.
__device__ inline void CopyBox(const RowBoxes& from, int row, FillBarrier* barrier, void* to) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3, %2}], [%4];" ::"r"(SharedAddress(to)),
      "l"(&from), "r"(0), "r"(row), "r"(SharedAddress(barrier))
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
