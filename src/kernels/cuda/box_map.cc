#include "kernels/cuda/box_map.h"

#include <cuda_runtime_api.h>

#include "kernels/cuda/stream.h"

namespace hadal::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// Null: a driver without it.
Encode FindEncode(Stream& s) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  s.Check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                           cudaEnableDefault, &result));
#else
  s.Check(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result));
#endif
  return result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(found) : nullptr;
}

}  // namespace

bool MapBoxes(Stream& s, const Boxes& boxes, BoxMap& map) {
  if (s.dropping) return false;
  static const Encode encode = FindEncode(s);
  if (encode == nullptr) {
    s.Check(cudaErrorNotSupported);
    return false;
  }
  cuuint64_t sizes[Boxes::kMost] = {}, strides[Boxes::kMost] = {};
  cuuint32_t box[Boxes::kMost] = {}, each[Boxes::kMost] = {};
  for (int i = 0; i < boxes.dimensions; ++i) {
    sizes[i] = static_cast<cuuint64_t>(boxes.size[i]);
    if (i > 0) strides[i - 1] = static_cast<cuuint64_t>(boxes.next[i]);
    box[i] = static_cast<cuuint32_t>(boxes.box[i]);
    each[i] = 1;
  }
  const CUresult encoded =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, static_cast<cuuint32_t>(boxes.dimensions),
             const_cast<void*>(boxes.data), sizes, strides, box, each,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (encoded != CUDA_SUCCESS) s.Check(cudaErrorInvalidValue);
  return encoded == CUDA_SUCCESS;
}

}  // namespace hadal::cuda
