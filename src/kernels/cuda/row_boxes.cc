#include "kernels/cuda/row_boxes.h"

#include <cuda_runtime_api.h>

#include "kernels/cuda/stream.h"

namespace hadal::cuda {

RowBoxes BoxesOf(Stream& s, const void* data, int64_t columns, int64_t row_bytes) {
  RowBoxes boxes = {};
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  s.Check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                           cudaEnableDefault, &result));
#else
  s.Check(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result));
#endif
  if (result != cudaDriverEntryPointSuccess) s.Check(cudaErrorNotSupported);
  if (s.error != cudaSuccess) return boxes;
  constexpr cuuint64_t kRows = uint64_t{1} << 31;  // who asks for a box knows that it is there
  const auto blocks = static_cast<cuuint64_t>(columns / 64);
  const cuuint64_t sizes[3] = {64, kRows, blocks};
  const cuuint64_t strides[2] = {static_cast<cuuint64_t>(row_bytes), 128};
  const cuuint32_t box[3] = {64, 8, static_cast<cuuint32_t>(blocks)}, each[3] = {1, 1, 1};
  const auto encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
  const CUresult encoded =
      encode(&boxes, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<void*>(data), sizes, strides,
             box, each, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (encoded != CUDA_SUCCESS) s.Check(cudaErrorInvalidValue);
  return boxes;
}

}  // namespace hadal::cuda
