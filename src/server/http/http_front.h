// Owns: the OpenAI-compatible HTTP front end: routes, keys, request ids, the workers that parse and
// submit, the timer of keep-alives, access records. Sees the model only through ChatService.
//
//   auto front = HttpFront::Start(options, service, metrics, &access_log);
//   ... on SIGTERM: front->Drain(); front->WaitIdle(limit); front->Stop();
//
// Thread rule: every method from any thread. The service, metrics and log must outlive it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "access/api_keys.h"
#include "base/error.h"
#include "net/http_server.h"
#include "observability/access_log.h"
#include "observability/metrics.h"
#include "server/http/completion.h"
#include "server/http/openai_request.h"
#include "server/json_body.h"
#include "service/chat_service.h"

namespace hadal::server {

struct HttpFrontOptions {
  HttpServerOptions server;  // host is 127.0.0.1 unless set; error_body is ours
  ApiKeys keys;
  std::map<std::string, std::string> model_aliases;  // alias -> served name
  bool refuse_unknown_fields = false;
  SamplingDefaults sampling_defaults;  // of requests that leave the fields out
  JsonLimits json;
  StreamPolicy stream;
  int n_workers = 4;
  size_t max_waiting_requests = 256;  // received, not yet parsed; more are a 429
  // From a completion's arrival to its last token; 0: none. One that takes longer ends with
  // kTimeout: a 408 when it is not streamed, else an error event.
  double request_timeout_s = 0;
};

class HttpFront {
 public:
  // kBadConfig: an address beyond loopback without a key, an alias of a model not served, a value
  // out of its range (request timeout, sampling defaults).
  static Result<std::unique_ptr<HttpFront>> Start(HttpFrontOptions options, ChatService& service,
                                                  Metrics& metrics, AccessLog* access_log);
  ~HttpFront();

  int port() const;
  // /ready answers 503 at once, new completions are refused, running ones go on.
  void Drain();
  // True when nothing runs any more and every answer has left.
  bool WaitIdle(Duration timeout);
  // Ends what still runs with an error event, closes all connections, joins all threads.
  // Idempotent.
  void Stop();

 private:
  class Impl;
  explicit HttpFront(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hadal::server
