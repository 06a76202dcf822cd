// Owns: the front end's one timer thread: it ticks every live completion a few times per second and
// destroys the service's sessions that completions gave up. Destroying a session waits for a
// callback that is running, so it happens neither in a callback nor on an event loop. Thread rule:
// every method from any thread; Stop once nothing retires sessions any more.
#pragma once

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "server/http/completion.h"
#include "service/chat_service.h"

namespace hadal::server {

class CompletionTimer {
 public:
  CompletionTimer();
  ~CompletionTimer() { Stop(); }

  void Watch(const std::shared_ptr<Completion>& completion);  // until its last owner lets go
  void Retire(std::unique_ptr<ChatService::Session> session);
  std::vector<std::shared_ptr<Completion>> Live();
  void Stop();  // destroys what was retired, then joins; idempotent

 private:
  void Run();
  std::vector<std::shared_ptr<Completion>> LiveLocked();

  std::mutex mutex_;  // guards the four below
  std::condition_variable wake_;
  std::list<std::weak_ptr<Completion>> live_;
  std::vector<std::unique_ptr<ChatService::Session>> retired_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace hadal::server
