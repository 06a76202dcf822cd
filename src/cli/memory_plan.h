// Owns: how much memory the cache gets, decided once at start from what is really there.
#pragma once

#include <string>

#include "base/error.h"
#include "cli/commands.h"
#include "config/config.h"
#include "kernels/backend.h"
#include "models/model.h"

namespace hadal::cli {

struct MemoryPlan {
  size_t weight_bytes = 0;
  size_t file_bytes = 0;  // of weights that are read from the file at every use
  size_t kv_bytes = 0;
  int32_t kv_blocks = 0;
  int64_t kv_tokens = 0;       // tokens the cache can hold
  int64_t context = 0;         // longest prompt plus answer of one sequence
  size_t available_bytes = 0;  // before the cache is allocated; on a GPU less cuda.reserve
  bool on_card = false;
};

// MemAvailable, cut by the cgroup's limit; pages of files that the cgroup can drop are available.
size_t AvailableMemory();

// What weights may take: cpu.weight_memory; 'auto': what is available less the KV cache, or a tenth
// where its size is 'auto' too, and less the work space.
Result<size_t> WeightMemory(const Config& config);
// Which routed experts of a model on a GPU stay with the host: cuda.cpu_experts, in at most
// cpu.weight_memory; 'auto': what is available less the work space.
Result<LoadOptions::HostExperts> HostExpertsOf(const Config& config);

// 'auto': enough for engine.max_sequences full contexts, but at most 40 % of the available memory;
// on a GPU, whose work space was taken before, all that is available.
// kRequestTooLarge-like kOutOfMemory with the numbers when not even one context fits.
Result<MemoryPlan> PlanMemory(const Config& config, const Model& model, const Backend& backend);

// "weights 13.1 MB, KV cache 0.3 GB = 262144 tokens (context 4096), 22.0 GB available", and a
// second line when weights stay in the file.
std::string Describe(const Shared& shared, const MemoryPlan& plan);
// Where the routed experts of a model on a GPU are; "" for others.
std::string DescribeExperts(const Shared& shared, const ExpertSplit& split);

}  // namespace hadal::cli
