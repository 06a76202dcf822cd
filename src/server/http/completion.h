// Owns: one completion request from its arrival to its last byte: the response writer, the
// service's session, the dialect's writer, the clock of its latencies and its access record.
//
// Events come on a thread of the service, OnClientGone on a server thread, Tick on the front end's
// timer: a mutex puts them in order. The service's session is never destroyed here, because its
// destructor waits for a running callback: it is given to `retire`, which destroys it elsewhere.
// Thread rule: every method from any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "net/response_writer.h"
#include "observability/access_log.h"
#include "observability/metrics.h"
#include "server/http/openai_response.h"
#include "service/chat_service.h"

namespace hadal::server {

struct StreamPolicy {
  Duration keep_alive = std::chrono::seconds(10);     // silence before a comment is sent
  Duration stall_timeout = std::chrono::seconds(30);  // a client that reads nothing for so long
  size_t backlog_bytes = 4u << 20;                    // kept for a client that reads slowly
};

// What outlives every completion: the front end's.
struct CompletionContext {
  Metrics& metrics;
  AccessLog* access_log;  // may be null
  StreamPolicy policy;
  std::function<void(std::unique_ptr<ChatService::Session>)> retire;
};

class Completion {
 public:
  Completion(const CompletionContext& context, std::shared_ptr<ResponseWriter> writer,
             AccessRecord record, TimePoint arrival);

  // Once the request is valid, before it is submitted. A stream that stays silent from here on for
  // StreamPolicy::keep_alive gets its 200 and comments.
  void Begin(const OpenAiRequest& request);
  // The outcome of ChatService::Submit. Events may have come, and ended, before.
  void Attach(std::unique_ptr<ChatService::Session> session);
  // Ends the request with an error; status and headers if nothing was sent yet, else an event.
  void Fail(const Error& error, double retry_after_seconds = 1);

  void OnEvent(api::Event event);
  void OnClientGone();
  void Tick(TimePoint now);

  bool ended() const;
  void SetInputHash(std::string sha256_hex);
  const std::string& request_id() const { return request_id_; }
  TimePoint arrival() const { return arrival_; }

 private:
  void StartStream();
  void WriteEvent(std::string_view data);
  bool FlushBacklog();
  void Measure(const api::Delta& delta);
  void EndWithError(const Error& error, double retry_after_seconds);
  void EndStalled();
  void Record(int status);
  void Close();
  void End(int status);  // both
  void Retire();

  const CompletionContext& context_;
  const TimePoint arrival_;
  const std::string request_id_;
  mutable std::mutex mutex_;  // guards all below
  std::shared_ptr<ResponseWriter> writer_;
  std::unique_ptr<ChatService::Session> session_;
  AccessRecord record_;
  std::optional<StreamWriter> stream_;
  std::optional<ResponseCollector> whole_;
  bool stream_started_ = false;
  bool ended_ = false;
  bool cut_ = false;     // the client must see that the answer is not whole
  std::string backlog_;  // framed events that the connection did not take yet
  bool finish_after_backlog_ = false;
  TimePoint last_progress_;  // of bytes handed over
  std::map<int, TimePoint> last_token_;
};

}  // namespace hadal::server
