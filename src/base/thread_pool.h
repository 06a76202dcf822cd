// ThreadPool: fork/join over a fixed set of threads; workers spin briefly, then sleep on a futex.
// A region ends when its tasks are done, whether or not every worker woke up in time for it.
// Thread rule: Run may be called by one thread at a time (the engine's); it takes part in the work.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace hadal {

class ThreadPool {
 public:
  // n_threads counts the caller; n_threads - 1 workers are started.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return n_threads_; }

  // Calls fn(context, task) for task in [0, n_tasks), tasks handed out in order to whoever is free.
  // Returns when all are done. No allocation. fn must not throw.
  using TaskFn = void (*)(void* context, int task, int thread);
  void Run(int n_tasks, TaskFn fn, void* context);

  // fn(task, thread), thread in [0, size()).
  template <class F>
  void ForEach(int n_tasks, F&& fn) {
    Run(
        n_tasks,
        [](void* c, int task, int thread) {
          (*static_cast<std::remove_reference_t<F>*>(c))(task, thread);
        },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 private:
  void Worker(int thread);
  void Drain(int thread);

  const int n_threads_;
  std::atomic<bool> stop_{false};
  std::atomic<uint32_t> gate_{0};  // region number, open, workers inside
  std::atomic<int> next_task_{0};
  int n_tasks_ = 0;
  TaskFn fn_ = nullptr;
  void* context_ = nullptr;
  std::vector<std::thread> workers_;
};

}  // namespace hadal
