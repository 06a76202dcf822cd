// Owns: SIGINT, SIGTERM and SIGHUP while a command writes a model: the first one asks it to stop,
// so that it removes what it wrote; a second one ends the process at once.
// Must not know the command. One at a time, because a signal handler can be given no argument.
// Use: const StopSignals signals; options.stop = &signals.stopped();
//      if (signals.stopped()) return signals.exit_code();
// Thread rule: made and destroyed by one thread; stopped() may be read by any.
#pragma once

#include <signal.h>

#include <array>
#include <atomic>

#include "base/error.h"
#include "cli/commands.h"

namespace hadal::cli {

class StopSignals {
 public:
  StopSignals();
  ~StopSignals();  // the handlers that were there before come back
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  const std::atomic<bool>& stopped() const;
  int exit_code() const;  // 128 + the signal, as shells count

  // Prints why a command failed; its exit code.
  int Report(const Shared& shared, const Error& error) const;

 private:
  static constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_ = {};
};

}  // namespace hadal::cli
