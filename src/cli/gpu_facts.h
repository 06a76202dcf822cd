// Owns: how the machine's GPUs are told to people and to programs.
// Thread rule: free functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "observability/gpu_monitor.h"

namespace hadal::cli {

// "GPU 0: NVIDIA H200, 50.8 of 150.8 GB, 412 of 700 W, 61 C, clocks 1980 and 3201 MHz, ..."; what
// the driver does not tell is left out.
std::string Describe(const Shared& shared, const GpuFacts& gpu);
nlohmann::json ToJson(const std::vector<GpuFacts>& gpus);

}  // namespace hadal::cli
