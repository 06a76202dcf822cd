#include "observability/gpu_monitor.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <iterator>

#include "observability/nvml_types.h"

namespace hadal {
namespace {

using nvml::Device;
using nvml::MemoryInfo;
using nvml::PciInfo;
using nvml::Utilisation;
constexpr int kSuccess = 0;
constexpr unsigned kClockSm = 1, kClockMemory = 2, kTemperatureGpu = 0;

constexpr std::pair<uint64_t, const char*> kThrottleReasons[] = {
    {0x1, "idle"},     {0x2, "application_clocks"}, {0x4, "power"},
    {0x8, "hardware"}, {0x10, "sync_boost"},        {0x20, "thermal_software"},
    {0x40, "thermal"}, {0x80, "power_brake"},       {0x100, "display_clocks"}};

}  // namespace

struct GpuMonitor::Calls {
  void* library = nullptr;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int) = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*by_index)(unsigned, Device*) = nullptr;
  int (*name)(Device, char*, unsigned) = nullptr;
  int (*pci)(Device, PciInfo*) = nullptr;
  int (*utilisation)(Device, Utilisation*) = nullptr;
  int (*memory)(Device, MemoryInfo*) = nullptr;
  int (*power)(Device, unsigned*) = nullptr;
  int (*power_limit)(Device, unsigned*) = nullptr;
  int (*temperature)(Device, unsigned, unsigned*) = nullptr;
  int (*clock)(Device, unsigned, unsigned*) = nullptr;
  int (*throttle)(Device, unsigned long long*) = nullptr;

  ~Calls() {
    if (library != nullptr) dlclose(library);
  }
  template <class F>
  bool Find(F& to, const char* symbol) {
    to = reinterpret_cast<F>(dlsym(library, symbol));
    return to != nullptr;
  }
  // Whether all that every driver of the last years has is there.
  bool FindAll() {
    Find(throttle, "nvmlDeviceGetCurrentClocksThrottleReasons");
    return Find(init, "nvmlInit_v2") && Find(shutdown, "nvmlShutdown") &&
           Find(error_string, "nvmlErrorString") && Find(count, "nvmlDeviceGetCount_v2") &&
           Find(by_index, "nvmlDeviceGetHandleByIndex_v2") && Find(name, "nvmlDeviceGetName") &&
           Find(pci, "nvmlDeviceGetPciInfo_v3") &&
           Find(utilisation, "nvmlDeviceGetUtilizationRates") &&
           Find(memory, "nvmlDeviceGetMemoryInfo") && Find(power, "nvmlDeviceGetPowerUsage") &&
           Find(power_limit, "nvmlDeviceGetEnforcedPowerLimit") &&
           Find(temperature, "nvmlDeviceGetTemperature") && Find(clock, "nvmlDeviceGetClockInfo");
  }

  GpuFacts Read(unsigned index, Device device) const {
    GpuFacts f;
    f.index = static_cast<int>(index);
    std::array<char, 96> text = {};
    if (name(device, text.data(), text.size() - 1) == kSuccess) f.name = text.data();
    PciInfo at = {};
    if (pci(device, &at) == kSuccess) {
      at.bus_id[sizeof at.bus_id - 1] = 0;
      f.pci = at.bus_id;
    }
    Utilisation busy = {};
    if (utilisation(device, &busy) == kSuccess) {
      f.utilisation = busy.gpu / 100.0;
      f.memory_utilisation = busy.memory / 100.0;
    }
    MemoryInfo bytes = {};
    if (memory(device, &bytes) == kSuccess) {
      f.memory_used = static_cast<double>(bytes.used);
      f.memory_total = static_cast<double>(bytes.total);
    }
    unsigned value = 0;
    if (power(device, &value) == kSuccess) f.power = value / 1000.0;
    if (power_limit(device, &value) == kSuccess) f.power_limit = value / 1000.0;
    if (temperature(device, kTemperatureGpu, &value) == kSuccess) f.temperature = value;
    if (clock(device, kClockSm, &value) == kSuccess) f.sm_clock = value * 1e6;
    if (clock(device, kClockMemory, &value) == kSuccess) f.memory_clock = value * 1e6;
    unsigned long long reasons = 0;
    if (throttle != nullptr && throttle(device, &reasons) == kSuccess) {
      for (const auto& [bit, reason] : kThrottleReasons) {
        if ((reasons & bit) != 0) f.throttle_reasons.emplace_back(reason);
      }
    }
    return f;
  }
};

GpuMonitor::GpuMonitor(const char* library) {
  auto calls = std::make_unique<Calls>();
  calls->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (calls->library == nullptr) {
    reason_ = dlerror();
    return;
  }
  if (!calls->FindAll()) {
    reason_ = fmt::format("{} lacks functions that drivers have had since 2021", library);
    return;
  }
  if (const int error = calls->init(); error != kSuccess) {
    reason_ = fmt::format("{}: {}", library, calls->error_string(error));
    return;
  }
  calls_ = std::move(calls);
}

GpuMonitor::~GpuMonitor() {
  if (calls_) calls_->shutdown();
}

std::vector<GpuFacts> GpuMonitor::Read() const {
  std::vector<GpuFacts> gpus;
  unsigned n = 0;
  if (!calls_ || calls_->count(&n) != kSuccess) return gpus;
  for (unsigned i = 0; i < n; ++i) {
    Device device = nullptr;
    if (calls_->by_index(i, &device) == kSuccess) gpus.push_back(calls_->Read(i, device));
  }
  return gpus;
}

std::vector<Reading> ReadingsOf(const std::vector<GpuFacts>& gpus) {
  struct Fact {
    const char *name, *help;
    std::optional<double> GpuFacts::* value;
  };
  static constexpr Fact kFacts[] = {
      {"hadal_gpu_utilization_ratio", "Share of the last second in which kernels ran.",
       &GpuFacts::utilisation},
      {"hadal_gpu_memory_utilization_ratio", "Share of the last second in which memory was busy.",
       &GpuFacts::memory_utilisation},
      {"hadal_gpu_memory_used_bytes", "Memory of the GPU in use, by all processes.",
       &GpuFacts::memory_used},
      {"hadal_gpu_memory_total_bytes", "Memory of the GPU.", &GpuFacts::memory_total},
      {"hadal_gpu_power_watts", "Power drawn.", &GpuFacts::power},
      {"hadal_gpu_power_limit_watts", "Power limit in force.", &GpuFacts::power_limit},
      {"hadal_gpu_temperature_celsius", "Temperature of the GPU.", &GpuFacts::temperature},
      {"hadal_gpu_sm_clock_hertz", "Clock of the multiprocessors.", &GpuFacts::sm_clock},
      {"hadal_gpu_memory_clock_hertz", "Clock of the memory.", &GpuFacts::memory_clock},
  };
  std::vector<Reading> readings;
  for (const Fact& fact : kFacts) {
    for (const GpuFacts& gpu : gpus) {
      if (!(gpu.*fact.value)) continue;
      readings.push_back(
          {fact.name, fact.help, false, *(gpu.*fact.value), std::to_string(gpu.index), "gpu"});
    }
  }
  for (const GpuFacts& gpu : gpus) {
    double throttled = 0;
    for (const std::string& reason : gpu.throttle_reasons) {
      if (reason != "idle" && reason != "application_clocks") throttled = 1;
    }
    readings.push_back({"hadal_gpu_throttled", "1 while power, heat or hardware lowers the clocks.",
                        false, throttled, std::to_string(gpu.index), "gpu"});
  }
  return readings;
}

}  // namespace hadal
