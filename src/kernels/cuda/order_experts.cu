// Rows of a mixture of experts sorted by expert, on the card, so that a step can be recorded: one
// block counts them, places the experts that have rows one after another and hands out the rows'
// places. Which place of its expert a row gets may differ from run to run; no result depends on it.
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 512;

// The sum of v over the lanes below; `all` becomes that of all lanes.
__device__ int SumBelow(int v, int& all) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  int sum = v;
  for (int step = 1; step < kWarp; step *= 2) {
    const int other = __shfl_sync(~0u, sum, lane >= step ? lane - step : lane);
    if (lane >= step) sum += other;
  }
  all = __shfl_sync(~0u, sum, kWarp - 1);
  return sum - v;
}

__global__ void OrderKernel(const int32_t* experts, int rows, int n_experts, OrderSpace to) {
  LetNextBegin();
  WaitForInputs();
  auto* counts = reinterpret_cast<int*>(SharedMemory());
  int* places = counts + n_experts;
  const int thread = static_cast<int>(threadIdx.x), tile_rows = static_cast<int>(to.tile_rows);
  for (int e = thread; e < n_experts; e += kThreads) counts[e] = 0;
  __syncthreads();
  for (int i = thread; i < rows; i += kThreads) atomicAdd(&counts[experts[i]], 1);
  __syncthreads();
  if (thread < kWarp) {
    int groups = 0, placed = 0, tiles = 0;
    for (int e0 = 0; e0 < n_experts; e0 += kWarp) {
      const int e = e0 + thread, count = e < n_experts ? counts[e] : 0;
      const int of_expert = CeilDiv(count, tile_rows);
      int all_groups, all_rows, all_tiles;
      const int group = groups + SumBelow(count > 0 ? 1 : 0, all_groups);
      const int first = placed + SumBelow(count, all_rows);
      const int tile = tiles + SumBelow(of_expert, all_tiles);
      if (count > 0) {
        to.matrix[group] = e;
        to.first[group] = places[e] = first;
        for (int i = 0; i < of_expert; ++i) {
          to.tile_matrix[tile + i] = e;
          to.tile_first[tile + i] = first + i * tile_rows;
          const int end = first + (i + 1) * tile_rows;
          to.tile_end[tile + i] = min(end, first + count);
        }
      }
      groups += all_groups;
      placed += all_rows;
      tiles += all_tiles;
    }
    for (int i = groups + thread; i < to.groups; i += kWarp) to.matrix[i] = 0;
    for (int i = groups + thread; i <= to.groups; i += kWarp) to.first[i] = rows;
    for (int i = tiles + thread; i < to.tiles; i += kWarp) to.tile_matrix[i] = -1;
  }
  __syncthreads();
  for (int i = thread; i < rows; i += kThreads) to.rows[atomicAdd(&places[experts[i]], 1)] = i;
}

}  // namespace

void OrderExperts(Stream& s, const int32_t* experts, int64_t rows, int64_t n_experts,
                  const OrderSpace& to) {
  Launch(s, dim3(1), kThreads, static_cast<size_t>(n_experts) * 2 * sizeof(int), OrderKernel,
         experts, static_cast<int>(rows), static_cast<int>(n_experts), to);
}

}  // namespace hadal::CUDA_NAMESPACE
