// Stands in where no nvcc was found.
#include "kernels/backend.h"

namespace hadal {

Result<std::unique_ptr<Backend>> NewCudaBackend(const CudaBackendOptions&) {
  return Fail(ErrorCode::kNoGpu, "this binary was built without CUDA");
}

}  // namespace hadal
