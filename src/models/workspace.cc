#include "models/workspace.h"

namespace hadal {

Result<Workspace> Workspace::Allocate(Backend& backend, int64_t elements) {
  if (elements < 0 || elements > (int64_t{1} << 40)) {
    return Fail(ErrorCode::kOutOfMemory,
                "the workspace of one step would need {} elements; lower max_step_tokens",
                elements);
  }
  Workspace workspace;
  HADAL_TRY(workspace.memory_, backend.Allocate(static_cast<size_t>(elements) * sizeof(float)));
  return workspace;
}

Tensor Workspace::Take(const Shape& shape, DType dtype) {
  CHECK(SizeOf(dtype) == sizeof(float));
  const size_t bytes = static_cast<size_t>(Elements(shape.elements())) * sizeof(float);
  CHECK(memory_ != nullptr && bytes <= memory_->size() - used_);
  Tensor tensor{static_cast<std::byte*>(memory_->data()) + used_, dtype, shape};
  used_ += bytes;
  return tensor;
}

}  // namespace hadal
