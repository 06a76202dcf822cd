// Owns: host memory through which weights go to the card, slice by slice: while some are copied the
// next is made.
// Must not know forms or sources.
// Use: HADAL_TRY(uint8_t* slice, upload.Take(n)); ... make it ... upload.Send(to, n);
// Thread rule: one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

namespace hadal::CUDA_NAMESPACE {

class WeightUpload {
 public:
  static constexpr size_t kSliceBytes = size_t{16} << 20;

  explicit WeightUpload(Device& device) : device_(device) {}
  ~WeightUpload() { Finish(); }
  WeightUpload(const WeightUpload&) = delete;
  WeightUpload& operator=(const WeightUpload&) = delete;

  // Memory for a slice, once what it held before is on the card; kOutOfMemory.
  Result<uint8_t*> Take(size_t bytes);
  // Starts to copy what Take gave last. An error of the copy is Device::Synchronise's.
  void Send(void* to, size_t bytes);
  // Waits for all copies and gives the memory back; what they were since the last call.
  LinkUse Finish();

 private:
  struct Slot {
    uint8_t* data = nullptr;
    size_t size = 0;
    std::unique_ptr<TimedCopy> copy;
  };
  Status Grow(Slot& slot, size_t bytes);

  Device& device_;
  Slot slots_[4];
  size_t last_ = 0;  // taken last
  LinkUse used_;
};

}  // namespace hadal::CUDA_NAMESPACE
