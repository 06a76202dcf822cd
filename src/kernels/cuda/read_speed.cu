// Reads memory once, as fast as the card can: what products of single rows are compared with.
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 256;
constexpr int kLoads = 8;  // of 16 bytes in flight per thread

__global__ void ReadKernel(const uint8_t* from, int64_t pieces, uint32_t* sums) {
  LetNextBegin();
  WaitForInputs();
  const int64_t step = int64_t{gridDim.x} * kThreads;
  uint32_t sum = 0;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < pieces; i += step * kLoads) {
    uint4 v[kLoads];
    for (int j = 0; j < kLoads; ++j) {
      const int64_t at = i + j * step;
      v[j] = at < pieces ? LoadOnce16(from + at * 16) : uint4{0, 0, 0, 0};
    }
    for (int j = 0; j < kLoads; ++j) sum ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
  }
  sums[int64_t{blockIdx.x} * kThreads + threadIdx.x] = sum;  // keeps the loads
}

}  // namespace

int64_t ReadSums(int processors) { return int64_t{processors} * 8 * kThreads; }

void ReadMemory(Stream& s, const void* from, int64_t bytes, int processors, uint32_t* sums) {
  Launch(s, dim3(static_cast<unsigned>(processors * 8)), kThreads, 0, ReadKernel,
         static_cast<const uint8_t*>(from), bytes / 16, sums);
}

}  // namespace hadal::CUDA_NAMESPACE
