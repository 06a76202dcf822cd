#include "server/http/http_front.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "access/sha256.h"
#include "base/version.h"
#include "observability/gpu_monitor.h"
#include "server/http/completion_timer.h"
#include "server/http/error_response.h"
#include "server/http/openai_response.h"
#include "server/http/page.h"
#include "server/http/request_id.h"
#include "server/http/route_table.h"
#include "server/stats_readings.h"
#include "server/work_queue.h"

namespace hadal::server {
namespace {

using RequestPtr = std::shared_ptr<const HttpRequest>;
using WriterPtr = std::shared_ptr<ResponseWriter>;

constexpr std::string_view kJson = "application/json";

std::string RequestIdOf(const HttpRequest& request) {
  const std::string_view sent = request.headers.Get("X-Request-Id");
  return IsAcceptableRequestId(sent) ? std::string(sent) : "req-" + NewUuid();
}

PresentedKeys KeysOf(const HttpRequest& request) {
  const auto value = [&](std::string_view name) -> std::optional<std::string_view> {
    const std::string* found = request.headers.Find(name);
    if (found == nullptr) return std::nullopt;
    return *found;
  };
  return {.authorization = value("Authorization"),
          .x_api_key = value("x-api-key"),
          .api_key = value("api-key")};
}

Status CheckContentType(const HttpRequest& request) {
  std::string_view type = request.headers.Get("Content-Type");
  type = type.substr(0, type.find(';'));
  type = type.substr(0, type.find_last_not_of(" \t") + 1);
  if (!EqualsIgnoreCase(type, kJson)) {
    return FailField(ErrorCode::kUnsupportedMediaType, "content-type",
                     "the Content-Type is not application/json");
  }
  const std::string_view encoding = request.headers.Get("Content-Encoding");
  if (!encoding.empty() && !EqualsIgnoreCase(encoding, "identity")) {
    return FailField(ErrorCode::kUnsupportedMediaType, "content-encoding",
                     "compressed bodies are not read; send the body as it is");
  }
  return {};
}

constexpr double kMaxRequestTimeout = 30 * 86400;

Status CheckRequestTimeout(double seconds) {
  if (seconds >= 0 && seconds <= kMaxRequestTimeout) return {};
  return FailField(ErrorCode::kBadConfig, "server.request_timeout_s",
                   "a request timeout of {} s; it must be 0 (none) to {} s", seconds,
                   kMaxRequestTimeout);
}

std::string VersionBody() {
  return ToLine({{"version", Version()}, {"commit", Commit()}, {"compiler", Compiler()}});
}

}  // namespace

class HttpFront::Impl {
 public:
  Impl(HttpFrontOptions options, ChatService& service, Metrics& metrics, AccessLog* access_log)
      : options_(std::move(options)),
        service_(service),
        metrics_(metrics),
        access_log_(access_log),
        context_{metrics, access_log, options_.stream,
                 [this](std::unique_ptr<ChatService::Session> session) {
                   timer_.Retire(std::move(session));
                 }} {}
  ~Impl() { Stop(); }

  Status Start();
  int port() const { return server_->port(); }
  void Drain();
  bool WaitIdle(Duration timeout);
  void Stop();

 private:
  struct Call {  // one request while it is being routed
    RequestPtr request;
    WriterPtr writer;
    AccessRecord record;
    TimePoint arrival;
    std::string tenant;
    Dialect dialect = Dialect::kOpenAi;
    const Route* route = nullptr;
  };
  struct Work {  // one request for the workers
    RequestPtr request;
    const Route* route = nullptr;
    std::string tenant;
    std::shared_ptr<Completion> completion;
  };

  Status ReadModels();
  std::string OnRefusal(const Error& error, std::string_view path);
  void OnRequest(RequestPtr request, WriterPtr writer);
  void Answer(Call call, const RouteMatch& match);
  void Reply(Call& call, int status, std::string_view content_type, std::string body);
  void Refuse(Call& call, const Error& error, std::string_view allow = {});
  void Log(Call& call, int status);
  void SendPage(Call& call);
  std::string MetricsPage() const;
  void QueueWork(Call call);
  void DoWork(const Work& work);
  Status CallService(const Work& work);
  Status Submit(const Work& work);
  Status SetDeadline(TimePoint arrival, api::Request& request) const;

  HttpFrontOptions options_;
  ChatService& service_;
  Metrics& metrics_;
  AccessLog* const access_log_;
  const GpuMonitor gpus_;
  CompletionTimer timer_;
  const CompletionContext context_;
  RequestRules rules_;
  std::atomic<bool> draining_{false};
  std::atomic<int> parsing_{0};  // completions queued or being parsed

  std::unique_ptr<WorkQueue> workers_;
  std::unique_ptr<HttpServer> server_;
};

Status HttpFront::Impl::ReadModels() {
  rules_.refuse_unknown_fields = options_.refuse_unknown_fields;
  for (const ModelCard& card : service_.models()) {
    rules_.models.emplace(card.name, card.name);
    rules_.context = card.context;
  }
  for (const auto& [alias, name] : options_.model_aliases) {
    if (!rules_.models.contains(name)) {
      return FailField(ErrorCode::kBadConfig, "models.aliases",
                       "the alias {} names the model {}, which is not served", alias, name);
    }
    rules_.models.emplace(alias, name);
  }
  return {};
}

Status HttpFront::Impl::Start() {
  HADAL_OK(CheckBindAddress(options_.server.host, options_.keys.configured()));
  HADAL_OK(CheckRequestTimeout(options_.request_timeout_s));
  HADAL_TRY(rules_.defaults, SamplingOf(options_.sampling_defaults));
  HADAL_OK(ReadModels());
  workers_ = std::make_unique<WorkQueue>(options_.n_workers, options_.max_waiting_requests);
  HttpServerOptions server = options_.server;
  server.error_body = [this](const Error& error, std::string_view path) {
    return OnRefusal(error, path);
  };
  HADAL_TRY(server_, HttpServer::Start(std::move(server), [this](RequestPtr request, WriterPtr w) {
              OnRequest(std::move(request), std::move(w));
            }));
  return {};
}

// What the HTTP server refuses before a request exists.
std::string HttpFront::Impl::OnRefusal(const Error& error, std::string_view path) {
  const int status = InfoOf(error.code).http;
  metrics_.CountRequest("(refused)", status);
  if (access_log_ != nullptr) {
    AccessRecord record;
    record.request_id = "req-" + NewUuid();
    record.status = status;
    record.error_code = ErrorCodeOf(error);
    access_log_->Write(record);
  }
  return ErrorBody(MatchRoute("", path).dialect, error);
}

void HttpFront::Impl::OnRequest(RequestPtr request, WriterPtr writer) {
  const TimePoint arrival = Now();
  const RouteMatch match = MatchRoute(request->method, request->path);
  Call call{request, std::move(writer), {}, arrival, {}, match.dialect, match.route};
  call.record.request_id = RequestIdOf(*request);
  call.record.method = request->method;
  call.record.client = request->remote_address;
  call.record.route = match.route != nullptr ? match.route->path : "(none)";
  // Keys before routes: without one, a path that exists looks like one that does not.
  if (match.path_needs_key) {
    auto caller = options_.keys.Check(KeysOf(*request));
    if (!caller) return Refuse(call, caller.error());
    call.record.key_id = caller->key_id;
    call.tenant = caller->tenant;
  }
  if (!match.path_exists) {
    return Refuse(call, {ErrorCode::kNotFound,
                         "there is no such path; see /v1/models, /v1/chat/completions, "
                         "/v1/completions",
                         {}});
  }
  if (request->method == "OPTIONS") {
    Headers headers = BaseHeaders(call.record.request_id, kJson);
    headers.Add("Allow", match.allow);
    Log(call, 204);
    return call.writer->Send(204, headers, "");
  }
  if (match.route == nullptr) {
    return Refuse(call,
                  {ErrorCode::kMethodNotAllowed,
                   fmt::format("this path answers {}, not {}", match.allow, request->method),
                   {}},
                  match.allow);
  }
  Answer(std::move(call), match);
}

void HttpFront::Impl::Answer(Call call, const RouteMatch& match) {
  switch (match.route->endpoint) {
    case Endpoint::kHealth:
      return Reply(call, 200, kJson, R"({"status":"ok"})");
    case Endpoint::kReady:
      if (draining_) {
        return Refuse(call, {ErrorCode::kUnavailable, "the server is draining", {}});
      }
      if (const auto failure = service_.failure()) return Refuse(call, *failure);
      return Reply(call, 200, kJson, R"({"status":"ready"})");
    case Endpoint::kVersion:
      return Reply(call, 200, kJson, VersionBody());
    case Endpoint::kMetrics:
      return Reply(call, 200, Metrics::ContentType(), MetricsPage());
    case Endpoint::kRead: {
      auto body = match.route->read(match.name, {rules_, service_, call.tenant});
      if (!body) return Refuse(call, body.error());
      return Reply(call, 200, kJson, std::move(*body));
    }
    case Endpoint::kCall:
    case Endpoint::kCompletion:
      return QueueWork(std::move(call));
    case Endpoint::kPage:
      return SendPage(call);
  }
}

std::string HttpFront::Impl::MetricsPage() const {
  std::vector<Reading> readings = ReadingsOf(service_.stats());
  const int64_t lost = access_log_ != nullptr ? access_log_->lost_lines() : 0;
  readings.push_back({"hadal_access_log_lost_lines_total",
                      "Lines that the access log could not write.", true,
                      static_cast<double>(lost)});
  for (Reading& reading : ReadingsOf(gpus_.Read())) readings.push_back(std::move(reading));
  return metrics_.Text(readings);
}

void HttpFront::Impl::SendPage(Call& call) {
  PageAnswer answer = AnswerPage(*call.request, call.record.request_id);
  if (answer.status == 404) {
    return Refuse(call, {ErrorCode::kNotFound, "the chat page has no such file; it is at /", {}});
  }
  Log(call, answer.status);
  call.writer->Send(answer.status, answer.headers, std::move(answer.body));
}

void HttpFront::Impl::Reply(Call& call, int status, std::string_view content_type,
                            std::string body) {
  Log(call, status);
  call.writer->Send(status, BaseHeaders(call.record.request_id, content_type), std::move(body));
}

void HttpFront::Impl::Refuse(Call& call, const Error& error, std::string_view allow) {
  call.record.error_code = ErrorCodeOf(error);
  Log(call, InfoOf(error.code).http);
  SendError(*call.writer, call.dialect, call.record.request_id, error, allow);
}

void HttpFront::Impl::Log(Call& call, int status) {
  call.record.status = status;
  call.record.seconds = Seconds(Now() - call.arrival);
  metrics_.CountRequest(call.record.route, status);
  if (access_log_ != nullptr) access_log_->Write(call.record);
}

void HttpFront::Impl::QueueWork(Call call) {
  if (draining_) {
    return Refuse(call, {ErrorCode::kUnavailable, "the server is draining; try another one", {}});
  }
  if (auto status = CheckContentType(*call.request); !status) return Refuse(call, status.error());
  auto work = std::make_shared<Work>();
  work->request = std::move(call.request);
  work->route = call.route;
  work->tenant = std::move(call.tenant);
  work->completion = std::make_shared<Completion>(context_, call.writer, std::move(call.record),
                                                  work->route->dialect, call.arrival);
  timer_.Watch(work->completion);
  call.writer->OnClose([completion = work->completion] { completion->OnClientGone(); });
  ++parsing_;
  const bool queued = workers_->Push([this, work] {
    DoWork(*work);
    --parsing_;
  });
  if (queued) return;
  --parsing_;
  work->completion->Fail({ErrorCode::kQueueFull, "too many requests wait to be read", {}},
                         service_.RetryAfterSeconds());
}

void HttpFront::Impl::DoWork(const Work& work) {
  if (work.completion->ended()) return;  // the client left while it waited
  work.completion->SetInputHash(Sha256Hex(work.request->body));
  try {
    auto status = work.route->call != nullptr ? CallService(work) : Submit(work);
    if (!status) work.completion->Fail(status.error(), service_.RetryAfterSeconds());
  } catch (const std::exception& e) {  // std::bad_alloc: this request ends, the server does not
    work.completion->Fail(
        {ErrorCode::kOutOfMemory, fmt::format("no memory for this request: {}", e.what()), {}});
  }
}

Status HttpFront::Impl::CallService(const Work& work) {
  HADAL_TRY(Json body, ParseJsonObject(work.request->body, options_.json));
  HADAL_TRY(std::string answer, work.route->call(std::move(body), {rules_, service_, work.tenant}));
  work.completion->Answer(std::move(answer));
  return {};
}

Status HttpFront::Impl::Submit(const Work& work) {
  const std::shared_ptr<Completion>& completion = work.completion;
  HADAL_TRY(Json body, ParseJsonObject(work.request->body, options_.json));
  HADAL_TRY(ParsedRequest parsed, work.route->parse(std::move(body), rules_));
  parsed.request.request_id = completion->request_id();
  parsed.request.tenant = work.tenant;
  completion->Begin(parsed.request.model, std::move(parsed.writer));
  HADAL_OK(SetDeadline(completion->arrival(), parsed.request));
  auto session = service_.Submit(
      parsed.request, [completion](api::Event event) { completion->OnEvent(std::move(event)); });
  if (!session) {
    Error error = std::move(session).error();
    if (parsed.in_client_words) error = parsed.in_client_words(std::move(error));
    return tl::make_unexpected(std::move(error));
  }
  std::vector<std::string> not_enforced = (*session)->not_enforced();
  for (std::string& field : not_enforced) {
    if (parsed.in_client_words) {
      field = parsed.in_client_words({ErrorCode::kInvalidArgument, "", field}).field;
    }
  }
  completion->Attach(std::move(*session), std::move(not_enforced));
  return {};
}

// What is left of the time since the arrival: waiting for a worker counts too.
Status HttpFront::Impl::SetDeadline(TimePoint arrival, api::Request& request) const {
  if (options_.request_timeout_s <= 0) return {};
  const double left = options_.request_timeout_s - Seconds(Now() - arrival);
  if (left <= 0) {
    return Fail(ErrorCode::kTimeout, "the request was not read within its {} s",
                options_.request_timeout_s);
  }
  request.deadline_seconds = left;
  return {};
}

void HttpFront::Impl::Drain() {
  if (draining_.exchange(true)) return;
  service_.Drain();
  server_->Drain();
}

bool HttpFront::Impl::WaitIdle(Duration timeout) {
  const TimePoint deadline = Now() + timeout;
  const auto left = [&] {
    return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Now()),
                    std::chrono::milliseconds(0));
  };
  // Requests that are being parsed have not reached the service yet.
  while (parsing_ > 0) {
    if (left().count() == 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return service_.WaitIdle(left()) && server_->WaitIdle(left());
}

void HttpFront::Impl::Stop() {
  draining_ = true;
  if (server_ != nullptr) {
    // Whoever is cut short gets to read why, if it reads at all.
    constexpr auto kLastWords = std::chrono::milliseconds(500);
    for (const auto& completion : timer_.Live()) {
      completion->Fail({ErrorCode::kUnavailable, "the server is stopping; send it again", {}});
    }
    server_->WaitIdle(kLastWords);
    server_->Stop();
  }
  workers_.reset();  // those that were being parsed see their client gone
  timer_.Stop();
}

HttpFront::HttpFront(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpFront::~HttpFront() = default;

Result<std::unique_ptr<HttpFront>> HttpFront::Start(HttpFrontOptions options, ChatService& service,
                                                    Metrics& metrics, AccessLog* access_log) {
  auto impl = std::make_unique<Impl>(std::move(options), service, metrics, access_log);
  HADAL_OK(impl->Start());
  return std::unique_ptr<HttpFront>(new HttpFront(std::move(impl)));
}

int HttpFront::port() const { return impl_->port(); }
void HttpFront::Drain() { impl_->Drain(); }
bool HttpFront::WaitIdle(Duration timeout) { return impl_->WaitIdle(timeout); }
void HttpFront::Stop() { impl_->Stop(); }

}  // namespace hadal::server
