// Owns: a few threads and a bounded queue of jobs for them: work that may take milliseconds
// (parsing, tokenising) and must stay off the event loop. Knows nothing of the jobs. Thread rule:
// every method from any thread; the destructor from none of its own.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace hadal::server {

class WorkQueue {
 public:
  WorkQueue(int n_threads, size_t max_waiting);
  ~WorkQueue();  // runs what is waiting, then joins
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // False when max_waiting jobs wait already. Jobs must not throw.
  bool Push(std::function<void()> job);
  size_t waiting() const;

 private:
  void Run();

  const size_t max_waiting_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace hadal::server
