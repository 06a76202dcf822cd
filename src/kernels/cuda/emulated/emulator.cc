#include "kernels/cuda/emulated/emulator.h"

#include <algorithm>
#include <array>
#include <boost/context/detail/fcontext.hpp>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <utility>
#include <vector>

#include "base/check.h"

#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define HADAL_FIBER_ASAN 1
#endif

namespace hadal::cuda_emulated {

dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace {

namespace context = boost::context::detail;

constexpr int kLanes = 32;
constexpr size_t kStackBytes = 64 * 1024;
constexpr size_t kSharedAlignment = 1024, kChunk = 16;

struct Warp {
  int arrived = 0;
  uint64_t passed = 0;  // barriers
  alignas(64) std::byte values[2][kLanes * kExchangeStride];
};

struct Copy {
  void* to;
  const void* from;
  bool valid;
  int group;
};

struct Product {
  std::function<void()> finish;
  int group;
};

struct Fiber {
  std::unique_ptr<std::byte[]> stack;
  context::fcontext_t at = nullptr;
  unsigned thread = 0;
  bool done = false;
  // What it waits for: a count of barriers that must have passed.
  const uint64_t* waits_for = nullptr;
  uint64_t until = 0;
  std::vector<Copy> copies;
  std::vector<const Fiber**> filled;  // by copies, not yet fenced: chunks of Block::unfenced
  int groups = 0;                     // committed
  std::vector<Product> products;
  int product_groups = 0;
  bool fenced = false;  // products may be given
  bool waits() const { return waits_for != nullptr && *waits_for < until; }
};

struct Barrier {
  int arrived = 0;
  uint64_t passed = 0;
};
// Fills of a place by the copy engine, one after another.
struct Fills {
  int64_t expected = 0, asked = 0;            // bytes of the fill under way
  uint64_t whole = 0;                         // fills that have been asked for whole
  std::vector<std::function<void()>> copies;  // that have not arrived
};
struct AlignedDelete {
  void operator()(char* p) const { ::operator delete[](p, std::align_val_t{kSharedAlignment}); }
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  int threads = 0, arrived = 0;
  uint64_t passed = 0;
  std::array<Barrier, 16> named;
  std::map<const void*, Fills> fills;
  std::unique_ptr<char[], AlignedDelete> shared;
  std::vector<const Fiber*> unfenced;  // of a chunk of shared memory: whose copy filled it
  const std::function<void()>* kernel = nullptr;
  Fiber* running = nullptr;
  context::fcontext_t scheduler = nullptr;
  std::mt19937 random{1};
#ifdef HADAL_FIBER_ASAN
  const void* scheduler_stack = nullptr;
  size_t scheduler_stack_bytes = 0;
#endif
};

Block& block() {
  static Block b;
  return b;
}

void ToScheduler(bool for_ever) {
  Block& b = block();
#ifdef HADAL_FIBER_ASAN
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(for_ever ? nullptr : &fake, b.scheduler_stack,
                                 b.scheduler_stack_bytes);
#else
  (void)for_ever;
#endif
  const context::transfer_t back = context::jump_fcontext(b.scheduler, nullptr);
#ifdef HADAL_FIBER_ASAN
  __sanitizer_finish_switch_fiber(fake, &b.scheduler_stack, &b.scheduler_stack_bytes);
#endif
  b.scheduler = back.fctx;
}

void Begin(context::transfer_t from) {
  Block& b = block();
#ifdef HADAL_FIBER_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &b.scheduler_stack, &b.scheduler_stack_bytes);
#endif
  b.scheduler = from.fctx;
  (*b.kernel)();
  b.running->done = true;
  ToScheduler(true);
}

void Resume(Fiber& fiber) {
  Block& b = block();
  b.running = &fiber;
  threadIdx = dim3(fiber.thread);
#ifdef HADAL_FIBER_ASAN
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack.get(), kStackBytes);
#endif
  fiber.at = context::jump_fcontext(fiber.at, nullptr).fctx;
#ifdef HADAL_FIBER_ASAN
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Wait(const uint64_t* passed, uint64_t until) {
  Fiber& me = *block().running;
  me.waits_for = passed;
  me.until = until;
  while (me.waits()) ToScheduler(false);
}

int LanesOf(size_t warp) {
  return std::min(kLanes, block().threads - static_cast<int>(warp) * kLanes);
}

void RunBlock() {
  Block& b = block();
  b.arrived = 0;
  for (Warp& warp : b.warps) warp.arrived = 0;
  for (Barrier& barrier : b.named) barrier.arrived = 0;
  b.fills.clear();
  for (Fiber& f : b.fibers) {
    f.done = false;
    f.waits_for = nullptr;
    f.copies.clear();
    f.filled.clear();
    f.groups = 0;
    f.products.clear();
    f.product_groups = 0;
    f.fenced = false;
#ifdef HADAL_FIBER_ASAN
    __asan_unpoison_memory_region(f.stack.get(), kStackBytes);  // frames that never returned
#endif
    f.at = context::make_fcontext(f.stack.get() + kStackBytes, kStackBytes, Begin);
  }
  std::vector<Fiber*> order;
  for (Fiber& f : b.fibers) order.push_back(&f);
  while (!order.empty()) {
    std::shuffle(order.begin(), order.end(), b.random);
    bool ran = false;
    for (Fiber* f : order) {
      if (f->waits()) continue;
      Resume(*f);
      ran = true;
    }
    CHECK(ran);  // a thread waits at a barrier that others do not reach
    std::erase_if(order, [](const Fiber* f) { return f->done; });
  }
  CHECK(b.arrived == 0);
}

}  // namespace

void RunGrid(const dim3& grid, int threads, size_t shared, const std::function<void()>& kernel) {
  Block& b = block();
  CHECK(threads >= 1 && threads <= 1024 && b.running == nullptr);
  b.threads = threads;
  b.kernel = &kernel;
  while (b.fibers.size() < static_cast<size_t>(threads)) {
    Fiber& f = b.fibers.emplace_back();
    f.stack = std::make_unique<std::byte[]>(kStackBytes);
  }
  b.fibers.resize(static_cast<size_t>(threads));
  for (size_t i = 0; i < b.fibers.size(); ++i) b.fibers[i].thread = static_cast<unsigned>(i);
  b.warps.resize(static_cast<size_t>((threads + kLanes - 1) / kLanes));
  gridDim = grid;
  blockDim = dim3(static_cast<unsigned>(threads));
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        b.shared.reset(new (std::align_val_t{kSharedAlignment}) char[shared]);
        b.unfenced.assign((shared + kChunk - 1) / kChunk, nullptr);
        std::memset(b.shared.get(), 0xff, shared);
        blockIdx = dim3(x, y, z);
        RunBlock();
      }
    }
  }
  b.running = nullptr;
}

char* SharedMemory() { return block().shared.get(); }

void SyncBlock() {
  Block& b = block();
  const uint64_t next = b.passed + 1;
  if (++b.arrived == b.threads) {
    b.arrived = 0;
    b.passed = next;
  } else {
    Wait(&b.passed, next);
  }
}

namespace {

// Waits until all lanes of the warp are here; the last one calls `combine`.
void JoinWarp(Warp& warp, int lanes, void (*combine)(std::byte*), std::byte* values) {
  const uint64_t next = warp.passed + 1;
  if (++warp.arrived < lanes) return Wait(&warp.passed, next);
  if (combine != nullptr) combine(values);
  warp.arrived = 0;
  warp.passed = next;
}

}  // namespace

void SyncWarp() {
  Block& b = block();
  const size_t w = b.running->thread / kLanes;
  JoinWarp(b.warps[w], LanesOf(w), nullptr, nullptr);
}

// Two sets of values take turns: whoever writes the next but one has seen all lanes read this one.
const std::byte* Exchange(const void* value, size_t bytes, void (*combine)(std::byte*)) {
  Block& b = block();
  CHECK(bytes <= kExchangeStride);
  const size_t thread = b.running->thread, w = thread / kLanes;
  Warp& warp = b.warps[w];
  std::byte* values = warp.values[warp.passed % 2];
  std::memcpy(values + thread % kLanes * kExchangeStride, value, bytes);
  JoinWarp(warp, LanesOf(w), combine, values);
  return values;
}

void JoinNamed(int barrier, int threads, bool waits) {
  CHECK(barrier >= 1 && barrier < 16 && threads % kLanes == 0 && threads <= block().threads);
  Barrier& b = block().named[static_cast<size_t>(barrier)];
  const uint64_t next = b.passed + 1;
  if (++b.arrived == threads) {
    b.arrived = 0;
    b.passed = next;
  } else if (waits) {
    Wait(&b.passed, next);
  }
}

namespace {

// Null outside of shared memory.
const Fiber** UnfencedAt(const void* p) {
  Block& b = block();
  const auto at = static_cast<size_t>(static_cast<const char*>(p) - b.shared.get()) / kChunk;
  return at < b.unfenced.size() ? &b.unfenced[at] : nullptr;
}

}  // namespace

void FenceCopies() {
  Fiber& me = *block().running;
  for (const Fiber** chunk : me.filled) {
    if (*chunk == &me) *chunk = nullptr;
  }
  me.filled.clear();
}

void CheckFenced(const void* shared) {
  const Fiber** of = UnfencedAt(shared);
  CHECK(of != nullptr && *of == nullptr);
}

void CopyLater(void* to, const void* from, bool valid) {
  CHECK(reinterpret_cast<uintptr_t>(to) % 16 == 0);
  CHECK(!valid || reinterpret_cast<uintptr_t>(from) % 16 == 0);
  Fiber& me = *block().running;
  me.copies.push_back({to, from, valid, me.groups});
}

void CommitCopies() { ++block().running->groups; }

void WaitForCopies(int pending_groups) {
  Fiber& me = *block().running;
  std::erase_if(me.copies, [&](const Copy& c) {
    if (c.group >= me.groups - pending_groups) return false;
    if (c.valid) {
      std::memcpy(c.to, c.from, 16);
    } else {
      std::memset(c.to, 0, 16);
    }
    if (const Fiber** chunk = UnfencedAt(c.to)) {
      *chunk = &me;
      me.filled.push_back(chunk);
    }
    return true;
  });
}

void FenceProducts() { block().running->fenced = true; }

void ProductLater(std::function<void()> finish) {
  Fiber& me = *block().running;
  CHECK(me.fenced);
  me.products.push_back({std::move(finish), me.product_groups});
}

void CommitProducts() { ++block().running->product_groups; }

void WaitForProducts(int pending_groups) {
  Fiber& me = *block().running;
  me.fenced = false;
  std::erase_if(me.products, [&](const Product& p) {
    if (p.group >= me.product_groups - pending_groups) return false;
    p.finish();
    return true;
  });
}

void InitFill(const void* barrier) {
  CHECK(reinterpret_cast<uintptr_t>(barrier) % 8 == 0);
  CHECK(block().fills.try_emplace(barrier).second);
}

namespace {

Fills& FillsAt(const void* barrier) {
  const auto at = block().fills.find(barrier);
  CHECK(at != block().fills.end());
  return at->second;
}

}  // namespace

void ExpectBytes(const void* barrier, int bytes) {
  Fills& f = FillsAt(barrier);
  CHECK(f.expected == 0 && f.copies.empty());  // what is under way has been waited for
  f.expected = bytes;
}

void BringBytes(const void* barrier, int bytes, std::function<void()> copy) {
  Fills& f = FillsAt(barrier);
  f.asked += bytes;
  CHECK(f.asked <= f.expected);
  if (DrawBit()) {
    copy();
  } else {
    f.copies.push_back(std::move(copy));
  }
  if (f.asked < f.expected) return;
  f.asked = f.expected = 0;
  ++f.whole;
}

void AwaitBytes(const void* barrier, int fill) {
  Fills& f = FillsAt(barrier);
  const auto n = static_cast<uint64_t>(fill) + 1;
  Wait(&f.whole, n);
  CHECK(f.whole == n);  // no later one has begun to overwrite it
  for (const auto& copy : f.copies) copy();
  f.copies.clear();
}

bool DrawBit() { return (block().random() & 1) != 0; }

}  // namespace hadal::cuda_emulated
