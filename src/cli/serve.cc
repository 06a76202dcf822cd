// hadal serve: the composition root: configuration, model, service, HTTP front end, signals.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/clock.h"
#include "base/version.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/load_cost.h"
#include "formats/model_files.h"
#include "server/http/http_front.h"

namespace hadal::cli {
namespace {

Duration ToDuration(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

Result<server::HttpFrontOptions> FrontOptions(const Config& config) {
  const auto& s = config.server;
  server::HttpFrontOptions options;
  options.server.host = s.host == "localhost" ? "127.0.0.1" : s.host == "[::1]" ? "::1" : s.host;
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
  options.request_timeout_s = s.request_timeout_s;
  HADAL_TRY(const GenerationConfig generation, LoadGenerationDefaults(ModelDirectory(config)));
  options.sampling_defaults = {generation.temperature, generation.top_p, generation.top_k,
                               generation.repetition_penalty};
  if (generation.do_sample == false) options.sampling_defaults.temperature = 0;
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
  if (where == "stdout") return std::make_unique<AccessLog>(STDOUT_FILENO);
  if (where == "stderr") return std::make_unique<AccessLog>(STDERR_FILENO);
  return AccessLog::Open(where);
}

// A signal handler can be given no argument.
int g_signal_pipe[2] = {-1, -1};
std::atomic<bool> g_serving{false};

// While the model is being loaded there is nothing to finish: the process ends at once.
void OnStopSignal(int signal) {
  if (!g_serving) _exit(128 + signal);
  const char byte = static_cast<char>(signal);
  [[maybe_unused]] const ssize_t n = write(g_signal_pipe[1], &byte, 1);
}

// One signal of the pipe; false when none came within the time (-1: wait for it).
bool TakeSignal(int timeout_ms) {
  pollfd p{g_signal_pipe[0], POLLIN, 0};
  while (poll(&p, 1, timeout_ms) < 0 && errno == EINTR) {
  }
  char byte;
  return (p.revents & POLLIN) != 0 && read(g_signal_pipe[0], &byte, 1) == 1;
}

Status CatchStopSignals() {
  if (pipe2(g_signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
    return Fail(ErrorCode::kIo, "pipe2 failed: {}", std::strerror(errno));
  }
  struct sigaction action = {};
  action.sa_handler = OnStopSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  return {};
}

// Waits up to limit for everything to finish; a second signal cuts it short.
bool WaitForDrain(server::HttpFront& front, Duration limit) {
  const TimePoint end = Now() + limit;
  while (Now() < end) {
    if (front.WaitIdle(std::chrono::milliseconds(20))) return true;
    if (TakeSignal(0)) return false;
  }
  return front.WaitIdle(Duration::zero());
}

Status Run(const Shared& shared) {
  const Config& config = shared.config;
  const TimePoint start = Now();
  HADAL_OK(CatchStopSignals());
  HADAL_OK(CheckFiles(config));
  HADAL_TRY(auto options, FrontOptions(config));
  HADAL_TRY(const auto log, OpenAccessLog(config.server.access_log));
  HADAL_TRY(const auto assembly, Assemble(config, true));
  const double loaded = Seconds(Now() - start);
  HADAL_OK(ComputeOneToken(assembly->loaded));
  const double first_token = Seconds(Now() - start);
  Metrics metrics;
  const bool tls = !config.server.tls_cert.empty();
  const std::string host = options.server.host;
  HADAL_TRY(auto front,
            server::HttpFront::Start(std::move(options), *assembly->service, metrics, log.get()));
  g_serving = true;
  fmt::print("hadal {}: {} on {}\n{}\n", Version(), ModelName(config),
             assembly->loaded.backend->description(), Describe(shared, assembly->plan));
  if (const auto& why = assembly->loaded.why_no_gpu) {
    fmt::print("{}: {}\n", shared.T("no GPU is used", "未使用 GPU"), why->message);
    if (shared.language == Language::kChinese) fmt::print("{}\n", InfoOf(why->code).zh);
  }
  const std::string experts = DescribeExperts(shared, assembly->loaded.model->info().split);
  if (!experts.empty()) fmt::print("{}\n", experts);
  fmt::print("{} {:.2f} s, {} {:.2f} s {}\n", shared.T("loaded in", "加载用时"), loaded,
             shared.T("first token", "首个 token 于启动后"), first_token,
             shared.T("after start", "产生"));
  const LinkUse& link = assembly->loaded.model->info().link;
  if (link.bytes > 0) fmt::print("{}\n", Describe(shared, link, loaded));
  fmt::print(fmt::runtime(shared.T("listening on {}://{}:{} ({:.2f} s after start)\n",
                                   "正在监听 {}://{}:{}（启动后 {:.2f} 秒）\n")),
             tls ? "https" : "http", host.find(':') == std::string::npos ? host : "[" + host + "]",
             front->port(), Seconds(Now() - start));
  if (!assembly->service->models().front().chat) {
    fmt::print("{}\n", shared.T("no chat format is known for this model: only /v1/completions "
                                "answers; --chat-template FILE gives it one",
                                "该模型没有已知的对话格式：仅 /v1/completions 可用；"
                                "可用 --chat-template FILE 指定"));
  }
  std::fflush(stdout);

  while (!TakeSignal(-1)) {
  }
  fmt::print("{}\n", shared.T("draining: new requests are refused, running answers finish",
                              "正在退出：拒绝新请求，等待进行中的回答完成"));
  std::fflush(stdout);
  front->Drain();
  const bool clean = WaitForDrain(*front, ToDuration(config.server.drain_timeout_s));
  if (!clean)
    fmt::print("{}\n", shared.T("stopped before all answers were done", "部分回答未完成即停止"));
  front->Stop();
  return {};
}

}  // namespace

int Serve(const Shared& shared) {
  const Status status = Run(shared);
  return status ? 0 : PrintError(shared, status.error());
}

}  // namespace hadal::cli
