#include "kernels/cuda/weight_upload.h"

#include <bit>
#include <iterator>
#include <utility>

namespace hadal::CUDA_NAMESPACE {

Result<uint8_t*> WeightUpload::Take(size_t bytes) {
  last_ = (last_ + 1) % std::size(slots_);
  Slot& slot = slots_[last_];
  if (slot.copy != nullptr) used_.seconds += slot.copy->Wait();
  if (slot.copy == nullptr || slot.size < bytes) {
    if (const Status grown = Grow(slot, bytes); !grown) {
      return tl::make_unexpected(grown.error().In("work space"));
    }
  }
  return slot.data;
}

// To powers of two: page-locking takes longer than copying.
Status WeightUpload::Grow(Slot& slot, size_t bytes) {
  if (slot.copy == nullptr) {
    HADAL_TRY(slot.copy, device_.NewTimedCopy());
  }
  device_.FreeHost(std::exchange(slot.data, nullptr));
  slot.size = 0;
  const size_t size = std::bit_ceil(bytes);
  HADAL_TRY(void* data, device_.AllocateHost(size));
  slot.data = static_cast<uint8_t*>(data);
  slot.size = size;
  return {};
}

void WeightUpload::Send(void* to, size_t bytes) {
  slots_[last_].copy->Start(to, slots_[last_].data, bytes);
  used_.bytes += bytes;
}

LinkUse WeightUpload::Finish() {
  for (Slot& slot : slots_) {
    if (slot.copy != nullptr) used_.seconds += slot.copy->Wait();
    device_.FreeHost(slot.data);
    slot = {};
  }
  return std::exchange(used_, {});
}

}  // namespace hadal::CUDA_NAMESPACE
