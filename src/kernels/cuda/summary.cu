// What is told of rows of logits: the 64 likeliest tokens and the mass of all (core/row_summary.h).
// First kernel: slices of a row each find their 64 by radix selection; second: a block per row
// sorts what the slices found. Sums go in the order of the slices, whose number the row's length
// fixes.
#include "core/row_summary.h"
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 256;
constexpr int kTop = RowSummary::kCandidates;
constexpr int kMostSlices = 32;
constexpr int64_t kLeastSlice = 1024;
constexpr int kFound = kMostSlices * kTop;  // sorted at once: a power of two

// Larger floats have larger keys; 0 is none: not finite.
__device__ uint32_t KeyOf(float v) {
  if (v == 0) return 0x80000000u;  // both zeros
  const uint32_t bits = __float_as_uint(v);
  if ((bits & 0x7f800000u) == 0x7f800000u) return 0;
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
__device__ float ValueOf(uint32_t key) {
  return __uint_as_float(key >> 31 != 0 ? key & 0x7fffffffu : ~key);
}

__device__ __host__ int64_t SlicesOf(int64_t vocab) {
  const int64_t n = CeilDiv(vocab, kLeastSlice);
  return n < kMostSlices ? n : kMostSlices;
}

struct SliceSum {
  float most, mass;
};

// The key that the last of the kTop largest has, and how many of those equal to it are taken.
__device__ void SelectKey(const uint32_t* keys, int n, int* bins, uint32_t* key, int* taken) {
  uint32_t prefix = 0;
  int left = kTop;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = static_cast<int>(threadIdx.x); i < 256; i += kThreads) bins[i] = 0;
    __syncthreads();
    const uint32_t above = shift == 24 ? 0 : ~0u << (shift + 8);
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) {
      if (keys[i] != 0 && (keys[i] & above) == prefix) {
        atomicAdd(&bins[keys[i] >> shift & 255], 1);
      }
    }
    __syncthreads();
    int bin = 255;
    while (bin > 0 && bins[bin] < left) left -= bins[bin--];
    prefix |= static_cast<uint32_t>(bin) << shift;
    __syncthreads();
  }
  *key = prefix;
  *taken = left;
}

__global__ void SliceKernel(const float* logits, int64_t vocab, const float* temperatures,
                            uint64_t* found, SliceSum* sums) {
  LetNextBegin();
  WaitForInputs();
  const int64_t row = blockIdx.x, slice = blockIdx.y, slices = gridDim.y;
  const int64_t per_slice = CeilDiv(vocab, slices), first = slice * per_slice;
  const int n = static_cast<int>(min(per_slice, vocab - first));
  char* memory = SharedMemory();
  auto* scratch = reinterpret_cast<float*>(memory);
  auto* bins = reinterpret_cast<int*>(scratch + kWarp);
  int* count = bins + 256;
  auto* keys = reinterpret_cast<uint32_t*>(count + 4);
  const float* from = logits + row * vocab + first;
  float most = -INFINITY;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) {
    keys[i] = KeyOf(from[i]);
    if (keys[i] != 0) most = fmaxf(most, from[i]);
  }
  most = BlockMax(most, scratch);
  const float temperature = temperatures[row];
  float mass = 0;
  if (temperature > 0) {
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) {
      if (keys[i] != 0) mass += expf((from[i] - most) / temperature);
    }
  }
  mass = BlockSum(mass, scratch);
  if (threadIdx.x == 0) {
    sums[row * slices + slice] = {most, mass};
    *count = 0;
  }

  uint32_t last;
  int equal;
  SelectKey(keys, n, bins, &last, &equal);
  uint64_t* to = found + (row * slices + slice) * kTop;
  for (int i = static_cast<int>(threadIdx.x); i < kTop; i += kThreads) to[i] = 0;
  __syncthreads();
  const auto entry = [&](int i) {
    return uint64_t{keys[i]} << 32 | ~static_cast<uint32_t>(first + i);
  };
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) {
    if (keys[i] > last) to[atomicAdd(count, 1)] = entry(i);
  }
  __syncthreads();
  if (threadIdx.x >= kWarp || last == 0) return;
  // Of equal ones the first: in the order of ids, by one warp.
  const int lane = static_cast<int>(threadIdx.x);
  int at = *count;
  for (int base = 0; base < n && equal > 0; base += kWarp) {
    const bool same = base + lane < n && keys[base + lane] == last;
    const unsigned all = __ballot_sync(~0u, same);
    const int before = __popc(all & ((1u << lane) - 1));
    if (same && before < equal) to[at + before] = entry(base + lane);
    const int now = min(__popc(all), equal);
    at += now;
    equal -= now;
  }
}

// Sorts kFound entries, largest first.
__device__ void Sort(uint64_t* entries) {
  for (int size = 2; size <= kFound; size *= 2) {
    for (int step = size / 2; step > 0; step /= 2) {
      for (int i = static_cast<int>(threadIdx.x); i < kFound / 2; i += kThreads) {
        const int a = i / step * step * 2 + i % step, b = a + step;
        const bool descending = (a & size) == 0;
        if ((entries[a] < entries[b]) == descending) {
          const uint64_t v = entries[a];
          entries[a] = entries[b];
          entries[b] = v;
        }
      }
      __syncthreads();
    }
  }
}

__global__ void SummaryKernel(const uint64_t* found, const SliceSum* sums, int slices,
                              const float* temperatures, RowSummary* out) {
  LetNextBegin();
  WaitForInputs();
  const int64_t row = blockIdx.x;
  auto* entries = reinterpret_cast<uint64_t*>(SharedMemory());
  for (int i = static_cast<int>(threadIdx.x); i < kFound; i += kThreads) {
    entries[i] = i < slices * kTop ? found[row * slices * kTop + i] : 0;
  }
  __syncthreads();
  Sort(entries);
  RowSummary& summary = out[row];
  for (int i = static_cast<int>(threadIdx.x); i < kTop; i += kThreads) {
    summary.ids[i] = static_cast<TokenId>(~static_cast<uint32_t>(entries[i]));
    summary.values[i] = ValueOf(static_cast<uint32_t>(entries[i] >> 32));
  }
  if (threadIdx.x != 0) return;
  int n = 0;
  while (n < kTop && entries[n] != 0) ++n;
  summary.n = n;
  const float temperature = temperatures[row];
  float mass = 0;
  if (temperature > 0 && n > 0) {
    const float most = ValueOf(static_cast<uint32_t>(entries[0] >> 32));
    for (int i = 0; i < slices; ++i) {
      const SliceSum s = sums[row * slices + i];
      if (s.mass > 0) mass = fmaf(s.mass, expf((s.most - most) / temperature), mass);
    }
  }
  summary.mass = mass;
}

}  // namespace

int64_t SummarySpace(int64_t rows, int64_t vocab) {
  const int64_t slices = rows * SlicesOf(vocab);
  return slices *
         (kTop * static_cast<int64_t>(sizeof(uint64_t)) + static_cast<int64_t>(sizeof(SliceSum)));
}

void Summarise(Stream& s, const float* logits, int64_t rows, int64_t vocab,
               const float* temperatures, void* space, RowSummary* out) {
  const int64_t slices = SlicesOf(vocab);
  auto* found = static_cast<uint64_t*>(space);
  auto* sums = reinterpret_cast<SliceSum*>(found + rows * slices * kTop);
  const auto shared = static_cast<size_t>(kWarp + 256 + 4 + CeilDiv(vocab, slices)) * 4;
  Launch(s, dim3(static_cast<unsigned>(rows), static_cast<unsigned>(slices)), kThreads, shared,
         SliceKernel, logits, vocab, temperatures, found, sums);
  Launch(s, dim3(static_cast<unsigned>(rows)), kThreads, kFound * sizeof(uint64_t), SummaryKernel,
         found, sums, static_cast<int>(slices), temperatures, out);
}

}  // namespace hadal::CUDA_NAMESPACE
