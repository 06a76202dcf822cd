#include "core/tensor.h"

#include <sys/mman.h>

namespace hadal {

Result<Shape> Shape::From(std::span<const uint64_t> dims) {
  if (dims.size() > kMaxRank) {
    return Fail(ErrorCode::kBadFile, "a tensor has {} dimensions; at most {} are supported",
                dims.size(), kMaxRank);
  }
  Shape shape;
  uint64_t elements = 1;
  for (uint64_t d : dims) {
    if (d > (uint64_t{1} << 62) || __builtin_mul_overflow(elements, d, &elements) ||
        elements > (uint64_t{1} << 62)) {
      return Fail(ErrorCode::kBadFile, "a tensor shape overflows (dimension {})", d);
    }
    shape.dims_[static_cast<size_t>(shape.rank_++)] = static_cast<int64_t>(d);
  }
  return shape;
}

std::string Shape::ToString() const {
  std::string out = "[";
  for (int i = 0; i < rank_; ++i) out += fmt::format("{}{}", i ? ", " : "", (*this)[i]);
  return out + "]";
}

Result<Buffer> Buffer::Allocate(size_t bytes) {
  constexpr size_t kHuge = 2u << 20;
  Buffer buffer;
  buffer.size_ = bytes;
  if (bytes == 0) return buffer;
  const size_t mapped = bytes >= kHuge ? (bytes + kHuge - 1) & ~(kHuge - 1) : bytes;
  // Only whole huge pages can be huge: older kernels do not align mappings by themselves.
  const size_t spare = bytes >= kHuge ? kHuge : 0;
  void* p =
      mmap(nullptr, mapped + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return Fail(ErrorCode::kOutOfMemory, "allocating {} bytes failed", bytes);
  if (spare > 0) {
    auto* begin = static_cast<std::byte*>(p);
    std::byte* aligned = begin + (kHuge - reinterpret_cast<uintptr_t>(p) % kHuge) % kHuge;
    if (aligned > begin) munmap(begin, static_cast<size_t>(aligned - begin));
    if (aligned < begin + spare) {
      munmap(aligned + mapped, static_cast<size_t>(begin + spare - aligned));
    }
    p = aligned;
    madvise(p, mapped, MADV_HUGEPAGE);
  }
  buffer.data_ = std::unique_ptr<void, Unmap>(p, Unmap{mapped});
  return buffer;
}

void Buffer::Unmap::operator()(void* p) const { munmap(p, size); }

}  // namespace hadal
