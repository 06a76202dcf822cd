// For the tests of this folder on a real card: everything the test allocates lies in page-locked
// memory that the card can read and write, so that vectors may be given to operations. Linked into
// cuda_test only.
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory_resource>
#include <mutex>
#include <new>
#include <vector>

namespace hadal::kernels_test {

std::vector<float> ReadFloats(const void* from, size_t n) {
  std::vector<float> floats(n);
  if (cudaMemcpy(floats.data(), from, n * sizeof(float), cudaMemcpyDefault) != cudaSuccess)
    return {};
  return floats;
}

}  // namespace hadal::kernels_test

namespace {

constexpr size_t kArenaBytes = size_t{2} << 30;
constexpr size_t kHeader = 64;

thread_local bool t_inside = false;  // of the arena's own allocations

struct Arena {
  char* begin = nullptr;
  std::pmr::monotonic_buffer_resource* upstream = nullptr;
  std::pmr::synchronized_pool_resource* pool = nullptr;

  Arena() {
    void* memory = nullptr;
    if (cudaHostAlloc(&memory, kArenaBytes, cudaHostAllocDefault) != cudaSuccess) return;
    begin = static_cast<char*>(memory);
    upstream = ::new (std::malloc(sizeof *upstream))
        std::pmr::monotonic_buffer_resource(begin, kArenaBytes, std::pmr::null_memory_resource());
    pool = ::new (std::malloc(sizeof *pool)) std::pmr::synchronized_pool_resource(
        {.max_blocks_per_chunk = 16, .largest_required_pool_block = size_t{64} << 20}, upstream);
  }
  bool Has(const void* p) const {
    const auto* c = static_cast<const char*>(p);
    return begin != nullptr && c >= begin && c < begin + kArenaBytes;
  }
};

Arena& TheArena() {
  static Arena arena;
  return arena;
}

void* Take(size_t bytes) {
  if (t_inside) return std::malloc(bytes);
  t_inside = true;
  Arena& arena = TheArena();
  void* p = nullptr;
  if (arena.pool == nullptr) {
    p = std::malloc(bytes);
  } else {
    auto* block = static_cast<size_t*>(arena.pool->allocate(bytes + kHeader, kHeader));
    *block = bytes;
    p = reinterpret_cast<char*>(block) + kHeader;
  }
  t_inside = false;
  return p;
}

void Give(void* p) {
  if (p == nullptr) return;
  if (t_inside || !TheArena().Has(p)) return std::free(p);
  t_inside = true;
  char* block = static_cast<char*>(p) - kHeader;
  TheArena().pool->deallocate(block, *reinterpret_cast<size_t*>(block) + kHeader, kHeader);
  t_inside = false;
}

}  // namespace

void* operator new(size_t bytes) { return Take(bytes); }
void* operator new[](size_t bytes) { return Take(bytes); }
void operator delete(void* p) noexcept { Give(p); }
void operator delete[](void* p) noexcept { Give(p); }
void operator delete(void* p, size_t) noexcept { Give(p); }
void operator delete[](void* p, size_t) noexcept { Give(p); }
