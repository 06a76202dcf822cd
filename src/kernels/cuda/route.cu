// The gate of a mixture of experts of logits that are there; see route_rows.h.
#include "kernels/cuda/route_rows.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

__global__ void RouteKernel(RouterShape shape, const float* logits, Routes to) {
  LetNextBegin();
  WaitForInputs();
  RouteRow(shape, logits, blockIdx.x, to, SharedMemory());
}

}  // namespace

void Route(Stream& s, const RouterShape& shape, const float* logits, const Routes& to) {
  Launch(s, dim3(static_cast<unsigned>(shape.rows)), kWarp, RouteBytes(shape), RouteKernel, shape,
         logits, to);
}

}  // namespace hadal::CUDA_NAMESPACE
