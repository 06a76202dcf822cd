// Owns: what NVIDIA's management library says of the machine's GPUs at a moment. The library comes
// with the driver and is opened at run time; without it there are simply no GPUs to tell of.
// Must not know CUDA or what the GPUs compute.
// Thread rule: Read from any thread.
//
//   const GpuMonitor monitor;
//   for (const GpuFacts& gpu : monitor.Read()) ...
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "observability/metrics.h"

namespace hadal {

// A fact that the driver does not tell of a GPU is missing.
struct GpuFacts {
  int index = 0;                                          // as nvidia-smi numbers them
  std::string name, pci;                                  // "NVIDIA H200", "00000000:19:00.0"
  std::optional<double> utilisation, memory_utilisation;  // of the last second or so, 0 .. 1
  std::optional<double> memory_used, memory_total;        // bytes
  std::optional<double> power, power_limit;               // watts
  std::optional<double> temperature;                      // degrees Celsius
  std::optional<double> sm_clock, memory_clock;           // Hz
  // Why clocks are below what was asked: "power", "thermal", "hardware", "idle", ...; none: empty.
  std::vector<std::string> throttle_reasons;
};

class GpuMonitor {
 public:
  // `library` is for tests.
  explicit GpuMonitor(const char* library = "libnvidia-ml.so.1");
  ~GpuMonitor();
  GpuMonitor(const GpuMonitor&) = delete;
  GpuMonitor& operator=(const GpuMonitor&) = delete;

  bool available() const { return calls_ != nullptr; }
  // Why not, or "": "libnvidia-ml.so.1: cannot open shared object file: ...".
  const std::string& reason() const { return reason_; }
  std::vector<GpuFacts> Read() const;

 private:
  struct Calls;
  std::unique_ptr<Calls> calls_;
  std::string reason_;
};

// For /metrics: hadal_gpu_* with the label gpu.
std::vector<Reading> ReadingsOf(const std::vector<GpuFacts>& gpus);

}  // namespace hadal
