// hadal convert: a model in another form or type.
#include "convert/convert.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/stop_signals.h"
#include "cli/terminal.h"
#include "tokenizer/utf8.h"

namespace hadal::cli {
namespace {

Status Run(const Shared& shared, const ConvertCommand& command, const TypeChoice& type,
           const StopSignals& signals) {
  hadal::ConvertOptions options;
  options.stop = &signals.stopped();
  options.type = type;
  options.threads = ThreadsOf(shared.config);
  options.progress = ProgressBar(shared.T("converting", "转换中"));
  const TimePoint start = Now();
  HADAL_TRY(const auto made, Converter::Start(command.in, command.out, options));
  const uint64_t bytes = made->file_bytes();
  HADAL_OK(made->Finish());
  for (const std::string& note : made->notes()) fmt::print(stderr, "hadal: {}\n", note);
  const double seconds = Seconds(Now() - start);
  if (shared.json) {
    fmt::print("{}\n", nlohmann::json{{"path", RepairUtf8(command.out)},
                                      {"type", options.type.name},
                                      {"file_bytes", bytes},
                                      {"seconds", seconds}}
                           .dump());
  } else {
    fmt::print("{}: {}, {:.2f} GB, {:.1f} s\n", command.out, options.type.name,
               static_cast<double>(bytes) / 1e9, seconds);
  }
  return {};
}

}  // namespace

int Convert(const Shared& shared, const ConvertCommand& command) {
  const auto type = ParseTypeChoice(command.type);
  if (!type) {
    PrintError(shared, type.error());
    return 2;  // the command line itself is wrong
  }
  const StopSignals signals;
  const Status status = Run(shared, command, *type, signals);
  if (status) return 0;
  const int failed = signals.Report(shared, status.error());
  return status.error().field == "type" ? 2 : failed;  // a type that the output cannot have
}

std::string TypeNames() {
  std::string all;
  for (const TypeChoice& c : TypeChoices()) all += (all.empty() ? "" : ", ") + c.name;
  return all;
}

}  // namespace hadal::cli
