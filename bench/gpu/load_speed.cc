// What loading a model to a card costs: the whole, the copies, and the processor time of all
// threads, which is what making the card's layouts takes. On the emulated card (the default) the
// copies are host memory's, the rest is real. Use: load_speed MODEL [--card N] [--threads N]
// [--repeat N]
#include <fmt/format.h>
#include <time.h>

#include <charconv>
#include <cstring>

#include "base/clock.h"
#include "base/cpu_info.h"
#include "kernels/backend.h"
#include "models/model.h"

namespace hadal {
namespace {

double ProcessorSeconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

Status Measure(const char* path, bool emulated, const CudaBackendOptions& options) {
  HADAL_TRY(const auto backend,
            emulated ? NewEmulatedCudaBackend(options) : NewCudaBackend(options));
  const TimePoint start = Now();
  const double used = ProcessorSeconds();
  HADAL_TRY(const auto model, LoadModel(path, *backend, {}));
  const double seconds = Seconds(Now() - start);
  const ModelInfo& info = model->info();
  const double gb = 1e-9 * static_cast<double>(info.checkpoint_bytes);
  fmt::print("{:.2f} GB in {:.3f} s: {:.2f} GB/s; {:.3f} s of processors: {:.2f} GB/s each", gb,
             seconds, gb / seconds, ProcessorSeconds() - used, gb / (ProcessorSeconds() - used));
  fmt::print("; copied {:.2f} GB at {:.2f} GB/s\n", 1e-9 * static_cast<double>(info.link.bytes),
             1e-9 * static_cast<double>(info.link.bytes) / info.link.seconds);
  return {};
}

int Main(int argc, char** argv) {
  CudaBackendOptions options;
  options.threads = UsableCpus();
  bool emulated = true;
  int repeat = 3;
  for (int i = 2; i + 1 < argc; i += 2) {
    int value = 0;
    std::from_chars(argv[i + 1], argv[i + 1] + std::strlen(argv[i + 1]), value);
    const std::string_view name = argv[i];
    if (name == "--card") {
      options.device = value;
      emulated = false;
    } else if (name == "--threads") {
      options.threads = value;
    } else if (name == "--repeat") {
      repeat = value;
    }
  }
  if (argc < 2) {
    fmt::print(stderr, "load_speed MODEL [--card N] [--threads N] [--repeat N]\n");
    return 1;
  }
  for (int i = 0; i < repeat; ++i) {
    if (const Status s = Measure(argv[1], emulated, options); !s) {
      fmt::print(stderr, "{}\n", s.error().message);
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) { return hadal::Main(argc, argv); }
