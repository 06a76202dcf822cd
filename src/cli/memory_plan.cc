#include "cli/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>

namespace hadal::cli {
namespace {

size_t ReadNumber(const char* path) {
  std::ifstream file(path);
  size_t value = 0;
  return file >> value ? value : std::numeric_limits<size_t>::max();  // "max": no limit
}

size_t MemAvailable() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (size_t kib = 0; file >> key >> kib >> unit;) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return size_t{1} << 30;
}

}  // namespace

size_t AvailableMemory() {
  const size_t limit = std::min(ReadNumber("/sys/fs/cgroup/memory.max"),
                                ReadNumber("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  size_t used = ReadNumber("/sys/fs/cgroup/memory.current");
  if (used == std::numeric_limits<size_t>::max()) used = 0;
  return std::min(MemAvailable(), limit > used ? limit - used : 0);
}

Result<MemoryPlan> PlanMemory(const Config& config, const Model& model, DType kv_dtype) {
  constexpr double kShare = 0.4;
  const auto per_token = model.kv_layout().BytesPerToken(static_cast<int64_t>(SizeOf(kv_dtype)));
  const int64_t block_bytes = per_token * config.engine.block_tokens;
  MemoryPlan plan;
  plan.weight_bytes = model.info().resident_bytes;
  plan.available_bytes = AvailableMemory();
  plan.context = model.info().context;
  if (config.engine.context > plan.context) {
    return FailField(ErrorCode::kBadConfig, "engine.context",
                     "engine.context = {} is beyond the model's {} positions",
                     config.engine.context, plan.context);
  }
  if (config.engine.context > 0) plan.context = config.engine.context;

  const int64_t blocks_per_context =
      (plan.context + config.engine.block_tokens - 1) / config.engine.block_tokens;
  int64_t bytes = 0;
  if (config.engine.kv_memory == "auto") {
    const auto cap = static_cast<int64_t>(kShare * static_cast<double>(plan.available_bytes));
    bytes = std::min(blocks_per_context * config.engine.max_sequences * block_bytes, cap);
  } else {
    HADAL_TRY(bytes, ParseBytes(config.engine.kv_memory));
  }
  const int64_t blocks = std::min<int64_t>(
      bytes / block_bytes, std::numeric_limits<int32_t>::max() / config.engine.block_tokens);
  if (blocks < 1) {
    return FailField(ErrorCode::kOutOfMemory, "engine.kv_memory",
                     "{} bytes for the KV cache hold not even one block of {} tokens ({} bytes); "
                     "{} bytes are available",
                     bytes, config.engine.block_tokens, block_bytes, plan.available_bytes);
  }
  plan.kv_blocks = static_cast<int32_t>(blocks);
  plan.kv_tokens = blocks * config.engine.block_tokens;
  plan.kv_bytes = static_cast<size_t>(blocks * block_bytes);
  if (plan.kv_bytes > plan.available_bytes) {
    return FailField(ErrorCode::kOutOfMemory, "engine.kv_memory",
                     "the KV cache of {} bytes does not fit the {} bytes available; lower "
                     "engine.kv_memory, engine.context or engine.max_sequences",
                     plan.kv_bytes, plan.available_bytes);
  }
  return plan;
}

std::string Describe(const MemoryPlan& plan) {
  const auto gb = [](size_t b) { return static_cast<double>(b) / 1e9; };
  return fmt::format(
      "weights {:.3f} GB, KV cache {:.3f} GB = {} tokens (context {}), {:.1f} GB available",
      gb(plan.weight_bytes), gb(plan.kv_bytes), plan.kv_tokens, plan.context,
      gb(plan.available_bytes));
}

}  // namespace hadal::cli
