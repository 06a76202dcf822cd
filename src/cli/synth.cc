// hadal synth: a model of a published shape with random weights.
#include "convert/synth.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/stop_signals.h"
#include "cli/terminal.h"
#include "convert/convert.h"
#include "tokenizer/utf8.h"

namespace hadal::cli {
namespace {

// --format wins; otherwise the type's only format, and for types of both the name of the output.
Result<FileFormat> FormatFor(const SynthCommand& command, const TypeChoice& type) {
  if (command.format == "gguf") return FileFormat::kGguf;
  if (command.format == "safetensors") return FileFormat::kSafetensors;
  if (!command.format.empty()) {
    return FailField(ErrorCode::kInvalidArgument, "format",
                     "format is '{}'; gguf and safetensors are possible", command.format);
  }
  return type.both_formats ? FormatOfPath(command.out) : type.only;
}

Status Run(const Shared& shared, const SynthCommand& command, const StopSignals& signals) {
  HADAL_TRY(const PublishedShape shape, FindShape(command.shape));
  SynthOptions options;
  HADAL_TRY(options.type, ParseTypeChoice(command.type));
  HADAL_TRY(options.format, FormatFor(command, options.type));
  options.stop = &signals.stopped();
  options.layers = command.layers;
  options.seed = command.seed;
  options.threads = ThreadsOf(shared.config);
  uint64_t bytes = 0;
  const auto bar = ProgressBar(shared.T("writing", "写入中"));
  options.progress = [&](uint64_t done, uint64_t all) {
    bytes = all;
    if (bar) bar(done, all);
  };
  const TimePoint start = Now();
  HADAL_OK(Synthesise(shape, command.out, options));
  const double seconds = Seconds(Now() - start);
  if (shared.json) {
    fmt::print("{}\n", nlohmann::json{{"path", RepairUtf8(command.out)},
                                      {"shape", shape.name},
                                      {"type", options.type.name},
                                      {"tensor_bytes", bytes},
                                      {"seconds", seconds}}
                           .dump());
  } else {
    fmt::print("{}: {} {}, {:.2f} GB, {:.1f} s\n", command.out, shape.title, options.type.name,
               static_cast<double>(bytes) / 1e9, seconds);
  }
  return {};
}

}  // namespace

int Synth(const Shared& shared, const SynthCommand& command) {
  const StopSignals signals;
  const Status status = Run(shared, command, signals);
  if (status) return 0;
  const int failed = signals.Report(shared, status.error());
  const std::string& field = status.error().field;
  const bool usage = status.error().code == ErrorCode::kInvalidArgument && field != "out";
  return usage ? 2 : failed;  // of shape, type, format and layers
}

std::string ShapeNames() {
  std::string all;
  for (const PublishedShape& s : PublishedShapes()) {
    all += (all.empty() ? "" : ", ") + std::string(s.name);
  }
  return all;
}

}  // namespace hadal::cli
