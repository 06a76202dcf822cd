// A ChatService whose answers a test writes event by event. Knows no model.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "service/chat_service.h"

namespace hadal::server {

class ScriptedService : public ChatService {
 public:
  struct Stream {
    std::mutex mutex;  // held while the callback runs, and by the session's destructor
    OnEvent on_event;
    bool gone = false;
    api::Request request;
  };

  std::vector<ModelCard> models() const override {
    return {{.name = "demo", .architecture = "fake", .context = 4096, .created = 7, .chat = true}};
  }
  Result<std::unique_ptr<Session>> Submit(const api::Request& request, OnEvent on_event) override {
    auto stream = std::make_shared<Stream>();
    std::unique_lock lock(mutex_);
    if (draining_) return Fail(ErrorCode::kUnavailable, "draining");
    if (refusal) return tl::make_unexpected(*refusal);
    stream->on_event = std::move(on_event);
    stream->request = request;
    const size_t index = streams_.size();  // another worker may submit after the unlock
    streams_.push_back(stream);
    changed_.notify_all();
    lock.unlock();
    if (on_submit) on_submit(*this, index);
    return std::make_unique<FakeSession>(*this, stream);
  }
  Result<PromptView> Render(const api::Request& request) override {
    if (refusal) return tl::make_unexpected(*refusal);
    std::lock_guard lock(mutex_);
    rendered.push_back(request);
    PromptView view;
    view.pieces = {{"<bos>", 0}, {"hello", std::nullopt}};
    view.ids = {0, 7, 8};
    view.max_tokens = 4093;
    return view;
  }
  // One id a byte.
  Result<std::vector<int32_t>> Tokenize(std::string_view, std::string_view text) const override {
    return std::vector<int32_t>(text.begin(), text.end());
  }
  Result<std::string> Detokenize(std::string_view, std::span<const int32_t> ids) const override {
    return std::string(ids.begin(), ids.end());
  }
  ServiceStats stats() const override { return reported; }
  std::optional<Error> failure() const override { return refusal; }
  double RetryAfterSeconds() const override { return 6.5; }
  void Drain() override {
    std::lock_guard lock(mutex_);
    draining_ = true;
  }
  bool WaitIdle(std::chrono::milliseconds timeout) override {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [this] { return ended_ == streams_.size(); });
  }

  // The i-th submitted request, once it is there.
  std::shared_ptr<Stream> Wait(size_t i) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return streams_.size() > i; });
    return streams_[i];
  }
  api::Request RequestOf(size_t i) { return Wait(i)->request; }
  size_t submitted() const {
    std::lock_guard lock(mutex_);
    return streams_.size();
  }
  // False when the session is gone. Done and Failed end the stream.
  bool Emit(size_t i, api::Event event) {
    auto stream = Wait(i);
    const bool last =
        std::holds_alternative<api::Done>(event) || std::holds_alternative<api::Failed>(event);
    {
      std::lock_guard lock(stream->mutex);
      if (stream->gone) return false;
      stream->on_event(std::move(event));
      if (last) stream->gone = true;
    }
    if (last) CountEnd(/*cancelled=*/false);
    return true;
  }
  // Waits, with a limit far beyond what any machine needs, until n sessions were cancelled.
  bool WaitCancelled(size_t n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return cancelled_ >= n; });
  }
  size_t cancelled() const {
    std::lock_guard lock(mutex_);
    return cancelled_;
  }

  std::optional<Error> refusal;  // set before the server starts
  ServiceStats reported;
  std::vector<api::Request> rendered;
  std::function<void(ScriptedService&, size_t)> on_submit;  // answers from within Submit

 private:
  class FakeSession : public Session {
   public:
    FakeSession(ScriptedService& service, std::shared_ptr<Stream> stream)
        : service_(service), stream_(std::move(stream)) {}
    ~FakeSession() override {
      bool cancels = false;
      {
        std::lock_guard lock(stream_->mutex);
        cancels = !std::exchange(stream_->gone, true);
        stream_->on_event = nullptr;
      }
      if (cancels) service_.CountEnd(/*cancelled=*/true);
    }
    int64_t prompt_tokens() const override { return 5; }

   private:
    ScriptedService& service_;
    std::shared_ptr<Stream> stream_;
  };

  void CountEnd(bool cancelled) {
    std::lock_guard lock(mutex_);
    ++ended_;
    if (cancelled) ++cancelled_;
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Stream>> streams_;
  size_t ended_ = 0, cancelled_ = 0;
  bool draining_ = false;
};

inline api::Delta ContentDelta(std::string text, int choice = 0) {
  api::Delta delta;
  delta.choice = choice;
  delta.content = std::move(text);
  delta.n_tokens = 1;
  return delta;
}
inline api::Done DoneWith(int64_t prompt, int64_t completion, int64_t cached) {
  return {{.prompt_tokens = prompt,
           .completion_tokens = completion,
           .reasoning_tokens = 0,
           .cached_tokens = cached}};
}
// Submit answers at once with `text` and stop.
inline void AnswerWith(ScriptedService& service, std::string text) {
  service.on_submit = [text = std::move(text)](ScriptedService& s, size_t i) {
    s.Emit(i, ContentDelta(text));
    s.Emit(i, api::Finished{});
    s.Emit(i, DoneWith(5, 1, 4));
  };
}

}  // namespace hadal::server
