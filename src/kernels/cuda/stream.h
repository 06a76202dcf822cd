// A stream of the card: what launches go to. The first error stays, with the kernel whose launch
// met it; Device::Synchronise reports both.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

namespace hadal::cuda {

class TilesLibrary;  // cublaslt.cc

struct Stream {
  cudaStream_t handle = nullptr;
  cudaError_t error = cudaSuccess;
  const void* failed = nullptr;    // the kernel; null: no launch met the error
  size_t most_shared = 48 * 1024;  // bytes of shared memory that a block may have
  bool early = false;  // kernels may begin before the one before has ended (sm_90 and later)
  bool early_checked = false;
  int processors = 1;
  bool warpgroups = false;  // kernels of wgmma.h run: compute capability 9.0, code for 9.0a
  // Weights of a product from which MultiplyManyBlocks is sooner (an H100, 32 rows: equal at 12.8
  // million, 1.2 to 2 times as long at 4 to 11.5, 0.8 at 16.5).
  int64_t many_blocks_from = 12'000'000;
  int64_t launches = 0;
  bool dropping = false;  // what is enqueued is dropped: the step failed on the host
  bool tiles_sought = false;
  std::shared_ptr<TilesLibrary> tiles = nullptr;  // null where it is not installed

  void Check(cudaError_t result, const void* kernel = nullptr) {
    if (error != cudaSuccess || result == cudaSuccess) return;
    error = result;
    failed = kernel;
  }
};

}  // namespace hadal::cuda
