// Heads on their way from their projection to attention: normed, rotated and stored in one kernel,
// a warp per row and head. Limit: the heads' bytes over the memory's bandwidth.
#include "kernels/cuda/cache_values.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kWarps = 4;

// What the host finds out about a part.
struct Part {
  HeadPart p;
  int begin = 0, end = 0;  // of a head's values those that change or are stored
  bool quads = false;      // every four of them are aligned wherever they are read or written
};
struct Parts {
  Part part[HeadParts::kMost];
  uint32_t heads = 0, all = 0;  // of a row, of all rows
  int most = 0;                 // floats that a head needs
};

// A head in the warp's shared memory, and the lane's part of the sum of its squares.
__device__ float TakeHead(const Part& part, const float* from, int lane, float* values) {
  float sum = 0;
  if (part.quads) {
    for (int i = part.begin + lane * 4; i < part.end; i += kWarp * 4) {
      const float4 v = *reinterpret_cast<const float4*>(from + i);
      *reinterpret_cast<float4*>(values + i) = v;
      sum = fmaf(v.w, v.w, fmaf(v.z, v.z, fmaf(v.y, v.y, fmaf(v.x, v.x, sum))));
    }
  } else {
    for (int i = part.begin + lane; i < part.end; i += kWarp) {
      values[i] = from[i];
      sum = fmaf(from[i], from[i], sum);
    }
  }
  return sum;
}

__device__ void StoreHead(const Part& part, int64_t row, int64_t head, int lane,
                          const float* values, const int32_t* slots) {
  const HeadPart& p = part.p;
  const bool stored = p.cache.data != nullptr;
  if (stored && p.cache.form == CacheForm::kFp8) {
    return StoreColumns(p.cache, slots[row], static_cast<int>(p.at + head * p.head_dim),
                        static_cast<int>(p.head_dim), values, lane, kWarp);
  }
  const int64_t at = stored ? slots[row] * p.cache.width + p.at + head * p.head_dim
                            : (row * p.heads + head) * p.head_dim;
  const bool rounded = stored && p.cache.form == CacheForm::kBf16;
  float* floats = rounded ? nullptr : (stored ? static_cast<float*>(p.cache.data) : p.x) + at;
  uint16_t* halves = rounded ? static_cast<uint16_t*>(p.cache.data) + at : nullptr;
  if (part.quads) {
    for (int i = part.begin + lane * 4; i < part.end; i += kWarp * 4) {
      const float4 v = *reinterpret_cast<const float4*>(values + i);
      if (rounded) {
        *reinterpret_cast<uint2*>(halves + i) = {PackBf16(v.x, v.y), PackBf16(v.z, v.w)};
      } else {
        *reinterpret_cast<float4*>(floats + i) = v;
      }
    }
    return;
  }
  for (int i = part.begin + lane; i < part.end; i += kWarp) {
    if (rounded) {
      halves[i] = FloatToBf16(values[i]);
    } else {
      floats[i] = values[i];
    }
  }
}

__global__ void HeadsKernel(const __grid_constant__ Parts parts, const int32_t* positions,
                            const int32_t* slots) {
  LetNextBegin();
  WaitForInputs();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const uint32_t warp = threadIdx.x / kWarp, task = blockIdx.x * kWarps + warp;
  if (task >= parts.all) return;
  const int64_t row = task / parts.heads;
  int64_t head = task % parts.heads;
  int at = 0;
  while (head >= parts.part[at].p.heads) head -= parts.part[at++].p.heads;
  const Part& part = parts.part[at];
  const HeadPart& p = part.p;
  float* values =
      reinterpret_cast<float*>(SharedMemory()) + warp * static_cast<uint32_t>(parts.most);
  const float sum = TakeHead(part, p.x + (row * p.heads + head) * p.head_dim, lane, values);
  __syncwarp();
  if (p.norm != nullptr) {
    const float mean = WarpSum(sum) / static_cast<float>(p.head_dim);
    const float scale = 1.0f / sqrtf(mean + p.eps);
    for (int i = lane; i < part.end; i += kWarp) values[i] = values[i] * scale * p.norm[i];
    __syncwarp();
  }
  const auto half = static_cast<int>(p.rope.dims / 2), offset = static_cast<int>(p.rope.offset);
  const int64_t angles = half > 0 ? int64_t{positions[row]} * half : 0;
  for (int pair = lane; pair < half; pair += kWarp) {
    const int a = offset + (p.rope.adjacent ? 2 * pair : pair);
    const int b = p.rope.adjacent ? a + 1 : a + half;
    const float c = p.cos[angles + pair], d = p.sin[angles + pair];
    const float first = values[a], second = values[b];
    values[a] = first * c - second * d;
    values[b] = second * c + first * d;
  }
  __syncwarp();
  StoreHead(part, row, head, lane, values, slots);
}

bool Aligned(const void* p, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

Part PartOf(const HeadPart& p) {
  Part part;
  part.p = p;
  // What is neither normed nor stored only turns.
  const bool whole = p.norm != nullptr || p.cache.data != nullptr;
  part.begin = whole ? 0 : static_cast<int>(p.rope.offset);
  part.end = static_cast<int>(whole ? p.head_dim : p.rope.offset + p.rope.dims);
  part.quads = Aligned(p.x, 16) && p.head_dim % 4 == 0 && part.begin % 4 == 0 && part.end % 4 == 0;
  if (p.cache.data != nullptr) {
    part.quads = part.quads && Aligned(p.cache.data, 16) && p.cache.width % 4 == 0 && p.at % 4 == 0;
  }
  return part;
}

}  // namespace

void PrepareHeads(Stream& s, const HeadParts& heads, int64_t rows, const int32_t* positions,
                  const int32_t* slots) {
  Parts parts;
  for (int i = 0; i < heads.n; ++i) {
    const HeadPart& p = heads.part[i];
    parts.part[i] = PartOf(p);
    parts.heads += static_cast<uint32_t>(p.heads);
    const int floats = CeilDiv(static_cast<int>(p.head_dim), 4) * 4;
    parts.most = parts.most > floats ? parts.most : floats;
  }
  parts.all = parts.heads * static_cast<uint32_t>(rows);
  Launch(s, dim3(CeilDiv<unsigned>(parts.all, kWarps)), kWarps * kWarp,
         sizeof(float) * static_cast<size_t>(kWarps * parts.most), HeadsKernel, parts, positions,
         slots);
}

}  // namespace hadal::CUDA_NAMESPACE
