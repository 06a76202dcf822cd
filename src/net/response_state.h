// Owns: what a ResponseWriter and its connection share: framed bytes not yet fetched by the event
// loop, and how far the response is. Calls of any number of writes between two turns of the loop
// cost one post and one system call.
// Thread rule: thread-safe, except what is marked "loop".
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "net/event_loop.h"
#include "net/http_types.h"
#include "net/output_queue.h"
#include "net/response_head.h"

namespace hadal {

class ResponseState : public std::enable_shared_from_this<ResponseState> {
 public:
  struct Options {
    bool is_head = false;  // HEAD: headers only
    bool keep_alive = true;
    int http_minor = 1;
    size_t max_queued_bytes = 0;
    std::shared_ptr<const std::atomic<bool>> draining;  // true: answer "Connection: close"
  };
  // on_data runs on the loop after bytes were added or the response ended. The state begins as if
  // one call were posted already: the connection fetches once when the handler has returned.
  ResponseState(EventLoop* loop, Options options, std::function<void()> on_data);

  void Send(int status, const Headers& headers, std::string body);
  void StartStream(int status, const Headers& headers);
  bool Write(std::string_view bytes);
  void Finish();
  void Abandon();
  void OnClose(std::function<void()> call);
  size_t queued_bytes() const { return queued_bytes_.load(std::memory_order_relaxed); }
  bool closed() const;
  bool stalled() const;

  // loop: moves the waiting bytes to *out.
  struct Progress {
    bool finished = false;    // no more bytes will come
    bool cut = false;         // abandoned in the middle: close without an end
    bool unanswered = false;  // abandoned before a byte: Send an error, then Fetch again
    bool keep_alive = false;
  };
  Progress Fetch(OutputQueue* out);
  void CountSent(size_t n) { queued_bytes_.fetch_sub(n, std::memory_order_relaxed); }  // loop
  void Detach();        // loop: the response went out whole
  void MarkStalled();   // loop, before ReportClosed: because the client did not read
  void ReportClosed();  // loop: the client is gone

 private:
  enum class Phase { kNew, kStreaming, kFinished };
  void Start(int status, const Headers& headers, ResponseFraming framing);
  void Notify();

  const Options options_;
  const std::function<void()> on_data_;  // called on the loop only; holds no owner of this
  std::atomic<size_t> queued_bytes_{0};
  mutable std::mutex mutex_;        // guards all below
  EventLoop* loop_;                 // null when the connection has let go
  std::function<void()> on_close_;  // null once the response is finished
  OutputQueue pending_;
  Phase phase_ = Phase::kNew;
  bool chunked_ = false;
  bool has_body_ = true;
  bool keep_alive_;
  bool abandoned_ = false;
  bool closed_ = false;
  bool stalled_ = false;
  bool posted_ = true;
};

}  // namespace hadal
