#include "base/thread_pool.h"

#include <chrono>

#include "base/check.h"

namespace hadal {
namespace {

// Longer than the gap between two operations of a step, much shorter than a scheduler tick.
constexpr std::chrono::microseconds kSpinFor(20);

// The gate's bits: workers inside the region, whether it may be entered, and its number.
constexpr uint32_t kInside = (1u << 10) - 1, kOpen = 1u << 10, kNext = 1u << 11;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns the first value for which stop(value): spins for a while, then sleeps.
template <class Stop>
uint32_t WaitUntil(const std::atomic<uint32_t>& gate, Stop stop) {
  uint32_t value = gate.load(std::memory_order_acquire);
  const auto end = std::chrono::steady_clock::now() + kSpinFor;
  for (int i = 1; !stop(value); ++i) {
    if (i % 64 == 0 && std::chrono::steady_clock::now() >= end) {
      gate.wait(value, std::memory_order_acquire);
    } else {
      Pause();
    }
    value = gate.load(std::memory_order_acquire);
  }
  return value;
}

}  // namespace

ThreadPool::ThreadPool(int n_threads) : n_threads_(n_threads) {
  CHECK(n_threads >= 1 && n_threads <= static_cast<int>(kInside));
  for (int i = 1; i < n_threads; ++i) workers_.emplace_back([this, i] { Worker(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  gate_.fetch_add(kNext);
  gate_.notify_all();
  for (auto& w : workers_) w.join();
}

void ThreadPool::Drain(int thread) {
  for (;;) {
    const int task = next_task_.fetch_add(1, std::memory_order_relaxed);
    if (task >= n_tasks_) return;
    fn_(context_, task, thread);
  }
}

void ThreadPool::Run(int n_tasks, TaskFn fn, void* context) {
  if (n_tasks <= 0) return;
  if (n_threads_ == 1 || n_tasks == 1) {
    for (int i = 0; i < n_tasks; ++i) fn(context, i, 0);
    return;
  }
  fn_ = fn;
  context_ = context;
  n_tasks_ = n_tasks;
  next_task_.store(0, std::memory_order_relaxed);
  gate_.store((gate_.load(std::memory_order_relaxed) + kNext) | kOpen, std::memory_order_release);
  gate_.notify_all();
  Drain(0);
  // Only workers that came in are waited for: one that has not been scheduled yet finds it closed.
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  WaitUntil(gate_, [](uint32_t g) { return (g & kInside) == 0; });
}

void ThreadPool::Worker(int thread) {
  uint32_t seen = 0;  // number of the last region met
  for (;;) {
    uint32_t g = WaitUntil(gate_, [&](uint32_t v) { return v / kNext != seen; });
    if (stop_.load()) return;
    bool inside = false;
    while ((g & kOpen) != 0 && !inside) {
      inside = gate_.compare_exchange_weak(g, g + 1, std::memory_order_acq_rel);
    }
    seen = g / kNext;
    if (!inside) continue;
    Drain(thread);
    if ((gate_.fetch_sub(1, std::memory_order_acq_rel) & (kOpen | kInside)) == 1)
      gate_.notify_all();
  }
}

}  // namespace hadal
