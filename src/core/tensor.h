// Shape, Tensor (a view) and Buffer (an owner). Row-major, last dimension contiguous.
// A Tensor never outlives the Buffer or mapping it looks at; the owner is named where it is made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "core/dtype.h"

namespace hadal {

class Shape {
 public:
  static constexpr int kMaxRank = 4;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    CHECK(dims.size() <= kMaxRank);
    for (int64_t d : dims) dims_[static_cast<size_t>(rank_++)] = d;
  }
  static Result<Shape> From(
      std::span<const uint64_t> dims);  // kBadFile: rank > 4 or > 2^62 elements

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[static_cast<size_t>(i)];
    return n;
  }
  bool operator==(const Shape&) const = default;
  std::string ToString() const;  // "[61, 576]"

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// A typed view of memory. For weights in a mapping the bytes are read-only and may be unaligned.
struct Tensor {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  float* f32() const {
    CHECK(dtype == DType::kF32);
    return static_cast<float*>(data);
  }
  size_t bytes() const { return static_cast<size_t>(shape.elements()) * SizeOf(dtype); }
};

// Owned, 64-byte aligned host memory, zero on creation. Large buffers ask for huge pages.
class Buffer {
 public:
  Buffer() = default;
  static Result<Buffer> Allocate(size_t bytes);  // kOutOfMemory
  void* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Unmap {
    size_t size;
    Unmap() : size(0) {}
    explicit Unmap(size_t n) : size(n) {}
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Unmap> data_;
  size_t size_ = 0;
};

}  // namespace hadal
