// Owns: the memory of a step's activations, allocated once at load and handed out front to back.
// Must not know what the tensors are for.
// Use: const size_t mark = w.mark(); Tensor q = w.Take({rows, dims}); ...; w.Release(mark);
// A tensor is valid until its mark is released; its contents are whatever was there before.
// Thread rule: one thread (the engine's).
#pragma once

#include <cstdint>
#include <memory>

#include "base/check.h"
#include "base/error.h"
#include "core/tensor.h"
#include "kernels/backend.h"

namespace hadal {

class Workspace {
 public:
  Workspace() = default;
  static Result<Workspace> Allocate(Backend& backend, int64_t elements);

  // What Take of so many 4-byte elements uses up: whole cache lines.
  static constexpr int64_t Elements(int64_t n) { return (n + 15) / 16 * 16; }

  Tensor Take(const Shape& shape, DType dtype = DType::kF32);  // f32 or i32
  size_t mark() const { return used_; }
  void Release(size_t mark) { used_ = mark; }

 private:
  std::unique_ptr<Memory> memory_;
  size_t used_ = 0;  // bytes
};

}  // namespace hadal
