// Owns: one completion request from its arrival to its last byte: the response writer, the
// service's session, the dialect's writer, the clock of its latencies and its access record. Knows
// no dialect.
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
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/response_writer.h"
#include "observability/access_log.h"
#include "observability/metrics.h"
#include "server/http/dialect.h"
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
             AccessRecord record, Dialect dialect, TimePoint arrival);

  // Once the request is valid, before it is submitted. A stream that stays silent from here on for
  // StreamPolicy::keep_alive gets its 200 and comments.
  void Begin(const std::string& model, std::unique_ptr<AnswerWriter> answer);
  // The outcome of ChatService::Submit. Events may have come before; they are written from here on.
  void Attach(std::unique_ptr<ChatService::Session> session);
  // Ends the request with an error; status and headers if nothing was sent yet, else an event.
  void Fail(const Error& error, double retry_after_seconds = 1);

  void OnEvent(api::Event event);
  // The whole answer of a call that has no events.
  void Answer(std::string body);
  void OnClientGone();
  void Tick(TimePoint now);

  bool ended() const;
  void SetInputHash(std::string sha256_hex);
  const std::string& request_id() const { return request_id_; }
  TimePoint arrival() const { return arrival_; }

 private:
  void Open();
  Headers AnswerHeaders() const;
  void StartStream();
  void Take(api::Event event);
  bool FlushBacklog();
  void Measure(int choice, int n_tokens);
  void EndWithError(const Error& error, double retry_after_seconds);
  void EndStalled();
  void Record(int status);
  void Close();
  void End(int status);  // both
  void Retire();

  const CompletionContext& context_;
  const Dialect dialect_;
  const TimePoint arrival_;
  const std::string request_id_;
  mutable std::mutex mutex_;  // guards all below
  std::shared_ptr<ResponseWriter> writer_;
  std::unique_ptr<ChatService::Session> session_;
  AccessRecord record_;
  std::unique_ptr<AnswerWriter> answer_;
  std::vector<api::Event> early_;  // came before Open
  bool open_ = false;              // events are written as they come
  std::vector<std::string> not_enforced_;
  bool stream_started_ = false;
  bool ended_ = false;
  bool cut_ = false;     // the client must see that the answer is not whole
  std::string backlog_;  // framed events that the connection did not take yet
  bool finish_after_backlog_ = false;
  TimePoint last_progress_;  // of bytes handed over
  std::map<int, TimePoint> last_token_;
};

}  // namespace hadal::server
