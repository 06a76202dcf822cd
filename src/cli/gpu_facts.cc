#include "cli/gpu_facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace hadal::cli {

std::string Describe(const Shared& shared, const GpuFacts& gpu) {
  std::vector<std::string> facts = {fmt::format("GPU {}: {}", gpu.index, gpu.name)};
  const auto of = [&](const char* en, const char* zh, std::optional<double> part,
                      std::optional<double> all, double unit, const char* name) {
    if (part && all) {
      facts.push_back(
          fmt::format("{} {:.1f} / {:.1f} {}", shared.T(en, zh), *part / unit, *all / unit, name));
    }
  };
  of("memory", "显存", gpu.memory_used, gpu.memory_total, 1e9, "GB");
  of("power", "功率", gpu.power, gpu.power_limit, 1, "W");
  if (gpu.utilisation) {
    facts.push_back(fmt::format("{} {:.0f} %", shared.T("busy", "利用率"), 100 * *gpu.utilisation));
  }
  if (gpu.temperature) facts.push_back(fmt::format("{:.0f} °C", *gpu.temperature));
  if (gpu.sm_clock && gpu.memory_clock) {
    facts.push_back(fmt::format("{} {:.0f} / {:.0f} MHz", shared.T("clocks", "频率"),
                                *gpu.sm_clock / 1e6, *gpu.memory_clock / 1e6));
  }
  if (!gpu.throttle_reasons.empty()) {
    facts.push_back(fmt::format("{} {}", shared.T("clocks held back by", "降频原因"),
                                fmt::join(gpu.throttle_reasons, ", ")));
  }
  return fmt::format("{}", fmt::join(facts, ", "));
}

nlohmann::json ToJson(const std::vector<GpuFacts>& gpus) {
  nlohmann::json all = nlohmann::json::array();
  for (const GpuFacts& gpu : gpus) {
    nlohmann::json j = {{"index", gpu.index},
                        {"name", gpu.name},
                        {"pci", gpu.pci},
                        {"throttle_reasons", gpu.throttle_reasons}};
    const std::pair<const char*, std::optional<double>> facts[] = {
        {"utilization", gpu.utilisation},
        {"memory_utilization", gpu.memory_utilisation},
        {"memory_used_bytes", gpu.memory_used},
        {"memory_total_bytes", gpu.memory_total},
        {"power_watts", gpu.power},
        {"power_limit_watts", gpu.power_limit},
        {"temperature_celsius", gpu.temperature},
        {"sm_clock_hertz", gpu.sm_clock},
        {"memory_clock_hertz", gpu.memory_clock}};
    for (const auto& [name, value] : facts) {
      if (value) j[name] = *value;
    }
    all.push_back(std::move(j));
  }
  return all;
}

}  // namespace hadal::cli
