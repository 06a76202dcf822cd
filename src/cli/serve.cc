// hadal serve: the composition root: configuration, model, service, HTTP front end, signals.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "base/clock.h"
#include "base/version.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "server/http/http_front.h"

namespace hadal::cli {
namespace {

Duration ToDuration(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

Result<server::HttpFrontOptions> FrontOptions(const Config& config) {
  const auto& s = config.server;
  server::HttpFrontOptions options;
  options.server.host = s.host == "localhost" ? "127.0.0.1" : s.host;
  options.server.port = static_cast<int>(s.port);
  options.server.tls_certificate = s.tls_cert;
  options.server.tls_key = s.tls_key;
  options.server.allowed_hosts = s.hosts;
  HttpLimits& limits = options.server.limits;
  limits.body_bytes = static_cast<size_t>(s.max_body_bytes);
  limits.header_bytes = static_cast<size_t>(s.max_header_bytes);
  limits.connections = static_cast<size_t>(s.max_connections);
  limits.header_timeout = ToDuration(s.header_timeout_s);
  limits.body_timeout = ToDuration(s.body_timeout_s);
  limits.idle_timeout = ToDuration(s.idle_timeout_s);
  limits.write_stall_timeout = ToDuration(s.write_stall_timeout_s);
  options.stream.stall_timeout = ToDuration(s.write_stall_timeout_s);
  options.refuse_unknown_fields = s.unknown_fields == "refuse";
  std::vector<ApiKeyEntry> keys;
  for (const std::string& key : s.api_keys) {
    ApiKeyEntry entry;
    entry.key = key;
    keys.push_back(std::move(entry));
  }
  HADAL_TRY(options.keys, ApiKeys::Create(keys));
  return options;
}

Result<std::unique_ptr<AccessLog>> OpenAccessLog(const std::string& where) {
  if (where == "off") return std::unique_ptr<AccessLog>();
  if (where == "stderr") return std::make_unique<AccessLog>(STDERR_FILENO);
  return AccessLog::Open(where);
}

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

// Waits up to limit for everything to finish; a second signal cuts it short.
bool WaitForDrain(server::HttpFront& front, const sigset_t& signals, Duration limit) {
  const TimePoint end = Now() + limit;
  while (Now() < end) {
    if (front.WaitIdle(std::chrono::milliseconds(20))) return true;
    const timespec at_once{};
    if (sigtimedwait(&signals, nullptr, &at_once) > 0) return false;
  }
  return front.WaitIdle(Duration::zero());
}

Status Run(const Shared& shared, const sigset_t& signals) {
  const Config& config = shared.config;
  const TimePoint start = Now();
  HADAL_TRY(auto options, FrontOptions(config));
  HADAL_TRY(const auto log, OpenAccessLog(config.server.access_log));
  HADAL_TRY(const auto assembly, Assemble(config, true));
  Metrics metrics;
  const bool tls = !config.server.tls_cert.empty();
  const std::string host = options.server.host;
  HADAL_TRY(auto front,
            server::HttpFront::Start(std::move(options), *assembly->service, metrics, log.get()));
  fmt::print("hadal {}: {} on {}\n{}\nlistening on {}://{}:{} ({:.2f} s after start)\n", Version(),
             ModelName(config), assembly->loaded.backend->description(), Describe(assembly->plan),
             tls ? "https" : "http", host.find(':') == std::string::npos ? host : "[" + host + "]",
             front->port(), Seconds(Now() - start));
  std::fflush(stdout);

  int signal = 0;
  sigwait(&signals, &signal);
  fmt::print("{}\n", shared.T("draining: new requests are refused, running answers finish",
                              "正在退出：拒绝新请求，等待进行中的回答完成"));
  std::fflush(stdout);
  front->Drain();
  const bool clean = WaitForDrain(*front, signals, ToDuration(config.server.drain_timeout_s));
  if (!clean)
    fmt::print("{}\n", shared.T("stopped before all answers were done", "部分回答未完成即停止"));
  front->Stop();
  return {};
}

}  // namespace

int Serve(const Shared& shared) {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread starts: all inherit it
  const Status status = Run(shared, signals);
  return status ? 0 : PrintError(shared, status.error());
}

}  // namespace hadal::cli
