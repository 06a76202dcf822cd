#include "cli/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>

namespace hadal::cli {
namespace {

constexpr size_t kWorkSpace = size_t{512} << 20;

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

// What the cgroup uses and cannot drop.
size_t CgroupUse() {
  const size_t used = ReadNumber("/sys/fs/cgroup/memory.current");
  if (used == std::numeric_limits<size_t>::max()) return 0;
  std::ifstream file("/sys/fs/cgroup/memory.stat");
  std::string key;
  size_t droppable = 0;
  for (size_t bytes = 0; file >> key >> bytes;) {
    if (key == "active_file" || key == "inactive_file") droppable += bytes;
  }
  return used - std::min(used, droppable);
}

}  // namespace

size_t AvailableMemory() {
  const size_t limit = std::min(ReadNumber("/sys/fs/cgroup/memory.max"),
                                ReadNumber("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  const size_t used = CgroupUse();
  return std::min(MemAvailable(), limit > used ? limit - used : 0);
}

Result<size_t> WeightMemory(const Config& config) {
  if (config.cpu.weight_memory != "auto") {
    HADAL_TRY(const int64_t bytes, ParseBytes(config.cpu.weight_memory));
    return static_cast<size_t>(bytes);
  }
  const size_t available = AvailableMemory();
  size_t reserved = available / 10;
  if (config.engine.kv_memory != "auto") {
    HADAL_TRY(const int64_t kv, ParseBytes(config.engine.kv_memory));
    reserved = static_cast<size_t>(kv);
  }
  reserved += kWorkSpace;
  return available - std::min(available, reserved);
}

Result<LoadOptions::HostExperts> HostExpertsOf(const Config& config) {
  LoadOptions::HostExperts experts;
  HADAL_TRY(experts.layers, ParseCpuExperts(config.cuda.cpu_experts));
  HADAL_TRY(const int64_t reserve, ParseBytes(config.cuda.reserve));
  experts.spare = static_cast<size_t>(reserve);
  if (config.engine.kv_memory != "auto") {
    HADAL_TRY(const int64_t cache, ParseBytes(config.engine.kv_memory));
    experts.cache = static_cast<size_t>(cache);
  }
  if (config.cpu.weight_memory != "auto") {
    HADAL_TRY(const int64_t bytes, ParseBytes(config.cpu.weight_memory));
    experts.memory = static_cast<size_t>(bytes);
  } else {
    const size_t available = AvailableMemory();
    experts.memory = available - std::min(available, kWorkSpace);
  }
  return experts;
}

Result<MemoryPlan> PlanMemory(const Config& config, const Model& model, const Backend& backend) {
  const int64_t per_token = model.kv_layout().BytesPerToken(backend.kv_dtype());
  const int64_t block_bytes = per_token * config.engine.block_tokens;
  MemoryPlan plan;
  plan.weight_bytes = model.info().resident_bytes;
  plan.file_bytes = model.info().file_bytes;
  plan.available_bytes = AvailableMemory();
  if (const auto free = backend.FreeBytes()) {
    HADAL_TRY(const int64_t reserve, ParseBytes(config.cuda.reserve));
    plan.on_card = true;
    plan.available_bytes = *free - std::min(*free, static_cast<size_t>(reserve));
  }
  const double share = plan.on_card ? 1 : 0.4;
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
    const auto cap = static_cast<int64_t>(share * static_cast<double>(plan.available_bytes));
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

std::string Describe(const Shared& shared, const MemoryPlan& plan) {
  const auto gb = [](size_t b) { return static_cast<double>(b) / 1e9; };
  const char* sizes = shared.T(
      "weights {:.3f} GB, KV cache {:.3f} GB = {} tokens (context {}), {:.1f} GB available{}",
      "权重 {:.3f} GB，KV 缓存 {:.3f} GB = {} 个 token（上下文 {}），可用 {:.1f} GB{}");
  std::string text = fmt::format(
      fmt::runtime(sizes), gb(plan.weight_bytes), gb(plan.kv_bytes), plan.kv_tokens, plan.context,
      gb(plan.available_bytes),
      plan.on_card
          ? shared.T(" on the GPU beside weights and work space", "（GPU，已除去权重与工作区）")
          : "");
  if (plan.file_bytes == 0) return text;
  const char* in_file = shared.T(
      "\n{:.3f} GB of weights do not fit into cpu.weight_memory: they are read from the file at "
      "every use, which is slow; the file must not be changed",
      "\n{:.3f} GB 权重超出 cpu.weight_memory：每次使用都从文件读取，速度较慢；请勿改动该文件");
  return text + fmt::format(fmt::runtime(in_file), gb(plan.file_bytes));
}

std::string DescribeExperts(const Shared& shared, const ExpertSplit& split) {
  if (split.layers == 0) return "";
  const auto gb = [](size_t b) { return static_cast<double>(b) / 1e9; };
  const char* text = shared.T(
      "routed experts: {:.3f} GB of {} layers on the GPU, {:.3f} GB of {} layers in host memory, "
      "computed by the CPU",
      "路由专家：{1} 层共 {0:.3f} GB 位于 GPU，{3} 层共 {2:.3f} GB 位于主机内存并由 CPU 计算");
  return fmt::format(fmt::runtime(text), gb(split.bytes), split.layers - split.host_layers,
                     gb(split.host_bytes), split.host_layers);
}

}  // namespace hadal::cli
