#include "net/response_state.h"

#include <fmt/format.h>

#include <utility>

#include "base/clock.h"

namespace hadal {

ResponseState::ResponseState(EventLoop* loop, Options options, std::function<void()> on_data)
    : options_(std::move(options)),
      on_data_(std::move(on_data)),
      loop_(loop),
      keep_alive_(options_.keep_alive) {}

// mutex_ is held by the callers of Start and Notify.
void ResponseState::Start(int status, const Headers& headers, ResponseFraming framing) {
  using Body = ResponseFraming::Body;
  if (!MayHaveBody(status)) framing.body = Body::kNone;
  if (framing.body == Body::kChunked && options_.http_minor == 0) framing.body = Body::kUntilClose;
  if (framing.body == Body::kUntilClose || options_.draining->load()) keep_alive_ = false;
  has_body_ = !options_.is_head && framing.body != Body::kNone;
  chunked_ = framing.body == Body::kChunked;
  framing.keep_alive = keep_alive_;
  framing.http_minor = options_.http_minor;
  std::string head = FormatResponseHead(status, headers, framing, UnixSeconds());
  queued_bytes_.fetch_add(head.size(), std::memory_order_relaxed);
  pending_.AppendOwned(std::move(head));
}

// Posting under the mutex is what makes the loop outlive the post: ReportClosed and Detach take it
// before the loop may go.
void ResponseState::Notify() {
  if (posted_ || loop_ == nullptr) return;
  posted_ = true;
  loop_->Post([self = shared_from_this()] { self->on_data_(); });
}

void ResponseState::Send(int status, const Headers& headers, std::string body) {
  std::function<void()> dropped;  // destroyed after the mutex is free: it may hold a writer
  std::lock_guard lock(mutex_);
  if (closed_ || phase_ != Phase::kNew) return;
  Start(status, headers, {.body = ResponseFraming::Body::kLength, .length = body.size()});
  if (has_body_) {
    queued_bytes_.fetch_add(body.size(), std::memory_order_relaxed);
    pending_.AppendOwned(std::move(body));
  }
  phase_ = Phase::kFinished;
  std::swap(dropped, on_close_);
  Notify();
}

void ResponseState::StartStream(int status, const Headers& headers) {
  std::lock_guard lock(mutex_);
  if (closed_ || phase_ != Phase::kNew) return;
  Start(status, headers, {.body = ResponseFraming::Body::kChunked});
  phase_ = Phase::kStreaming;
  Notify();
}

bool ResponseState::Write(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  if (closed_ || phase_ != Phase::kStreaming) return false;
  if (bytes.empty() || !has_body_) return true;
  size_t queued = queued_bytes();
  // One write larger than the whole bound is let through when nothing waits, or it never would be.
  if (queued > 0 && queued + bytes.size() > options_.max_queued_bytes) return false;
  size_t before = pending_.bytes();
  if (chunked_) {
    char head[24];
    char* end = fmt::format_to_n(head, sizeof head, "{:x}\r\n", bytes.size()).out;
    pending_.Append(std::string_view(head, static_cast<size_t>(end - head)));
  }
  pending_.Append(bytes);
  if (chunked_) pending_.Append("\r\n");
  queued_bytes_.fetch_add(pending_.bytes() - before, std::memory_order_relaxed);
  Notify();
  return true;
}

void ResponseState::Finish() {
  std::function<void()> dropped;
  std::lock_guard lock(mutex_);
  if (closed_ || phase_ != Phase::kStreaming) return;
  if (chunked_ && has_body_) {
    pending_.Append("0\r\n\r\n");
    queued_bytes_.fetch_add(5, std::memory_order_relaxed);
  }
  phase_ = Phase::kFinished;
  std::swap(dropped, on_close_);
  Notify();
}

void ResponseState::Abandon() {
  std::function<void()> dropped;
  std::lock_guard lock(mutex_);
  if (closed_ || phase_ == Phase::kFinished) return;
  abandoned_ = true;
  std::swap(dropped, on_close_);
  Notify();
}

void ResponseState::OnClose(std::function<void()> call) {
  {
    std::lock_guard lock(mutex_);
    if (phase_ == Phase::kFinished) return;
    if (!closed_) {
      std::swap(on_close_, call);
      return;  // what call held before is destroyed by the caller's frame, without the mutex
    }
  }
  if (call) call();
}

bool ResponseState::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

bool ResponseState::stalled() const {
  std::lock_guard lock(mutex_);
  return stalled_;
}

void ResponseState::MarkStalled() {
  std::lock_guard lock(mutex_);
  stalled_ = true;
}

ResponseState::Progress ResponseState::Fetch(OutputQueue* out) {
  std::lock_guard lock(mutex_);
  posted_ = false;
  out->TakeAll(&pending_);
  return {.finished = phase_ == Phase::kFinished,
          .cut = abandoned_ && phase_ == Phase::kStreaming,
          .unanswered = abandoned_ && phase_ == Phase::kNew,
          .keep_alive = keep_alive_};
}

void ResponseState::Detach() {
  std::lock_guard lock(mutex_);
  loop_ = nullptr;
}

void ResponseState::ReportClosed() {
  std::function<void()> on_close;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    loop_ = nullptr;
    pending_.Clear();
    std::swap(on_close, on_close_);
  }
  if (on_close) on_close();
}

}  // namespace hadal
