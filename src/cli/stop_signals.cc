#include "cli/stop_signals.h"

#include <fmt/format.h>

namespace hadal::cli {
namespace {

// A signal handler can be given no argument.
std::atomic<int> g_signal{0};
std::atomic<bool> g_stopped{false};

void OnStop(int signal) {
  g_signal = signal;
  g_stopped = true;
}

}  // namespace

StopSignals::StopSignals() {
  g_signal = 0;
  g_stopped = false;
  struct sigaction action = {};
  action.sa_handler = OnStop;
  action.sa_flags = SA_RESTART | SA_RESETHAND;  // the second one ends the process
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);  // nohup
  }
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
}

const std::atomic<bool>& StopSignals::stopped() const { return g_stopped; }
int StopSignals::exit_code() const { return 128 + g_signal; }

int StopSignals::Report(const Shared& shared, const Error& error) const {
  if (error.code != ErrorCode::kCancelled || !stopped()) return PrintError(shared, error);
  if (shared.json) {
    PrintError(shared, error);
  } else {
    fmt::print(stderr, "hadal: {}\n",
               shared.T("stopped; nothing was written", "已停止；未写入任何文件"));
  }
  return exit_code();
}

}  // namespace hadal::cli
