// Makes the backend of this build's namespace.
#include "kernels/cuda/cuda_backend.h"

namespace hadal {

namespace CUDA_NAMESPACE {

// That the binary has code for the card: one small kernel runs. Else kGpuNotInBuild.
static Status TryKernel(Device& device) {
  HADAL_TRY(void* data, device.Allocate(sizeof(float)));
  Add(device.stream(), static_cast<float*>(data), static_cast<const float*>(data), 1);
  const Status status = device.Synchronise();
  device.Free(data);
  return status;
}

}  // namespace CUDA_NAMESPACE

#ifdef HADAL_CUDA_EMULATED
Result<std::unique_ptr<Backend>> NewEmulatedCudaBackend(const CudaBackendOptions& options) {
#else
Result<std::unique_ptr<Backend>> NewCudaBackend(const CudaBackendOptions& options) {
#endif
  HADAL_TRY(auto device, CUDA_NAMESPACE::OpenDevice(options.device));
  HADAL_OK(CUDA_NAMESPACE::TryKernel(*device));
  return std::make_unique<CUDA_NAMESPACE::CudaBackend>(options, std::move(device));
}

}  // namespace hadal
