// Makes the backend of this build's namespace.
#include "kernels/cuda/cuda_backend.h"

namespace hadal {

#ifdef HADAL_CUDA_EMULATED
Result<std::unique_ptr<Backend>> NewEmulatedCudaBackend(const CudaBackendOptions& options) {
#else
Result<std::unique_ptr<Backend>> NewCudaBackend(const CudaBackendOptions& options) {
#endif
  HADAL_TRY(auto device, CUDA_NAMESPACE::OpenDevice(options.device));
  return std::make_unique<CUDA_NAMESPACE::CudaBackend>(options, std::move(device));
}

}  // namespace hadal
