// What every kernel adds to a step, from the card's own timestamps: a library that CUDA loads into
// hadal, recorded steps included.
//
//   CUDA_INJECTION64_PATH=$PWD/build/release/bench/libkernel_times.so \
//     hadal bench --model MODEL --device cuda --batch 1 --prompt 8 --generate 16 --repeat 1 --depth
//     512
//
// Prints, when the program ends, to KERNEL_TIMES (a file; else standard error), for every kernel
// and grid: how often, how long it ran, and its cost: from the end of what ended last before it to
// its own end, for kernels begin before the one before them has ended. KERNEL_TIMES_SKIP: the share
// of the records left out at the begin (loading, warming up).
#include <cupti.h>
#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

struct Record {
  uint64_t start, end;  // ns
  std::string kernel;
};
struct Sum {
  int count = 0;
  uint64_t duration = 0, cost = 0;  // ns
};

std::mutex g_mutex;
std::vector<Record> g_records;

// "void hadal::cuda::(anonymous namespace)::F<int>(float*)" is "F<int>".
std::string ShortName(const char* mangled) {
  int status = 0;
  char* text = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string name = status == 0 ? text : mangled;
  std::free(text);
  for (const std::string_view part : {"void ", "hadal::", "cuda::", "(anonymous namespace)::"}) {
    for (size_t at; (at = name.find(part)) != std::string::npos;) name.erase(at, part.size());
  }
  return name.substr(0, name.find('('));
}

void GiveBuffer(uint8_t** buffer, size_t* size, size_t* most_records) {
  *size = size_t{8} << 20;
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(64, *size));
  *most_records = 0;  // as many as fit
}

void TakeBuffer(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  const std::scoped_lock lock(g_mutex);
  CUpti_Activity* activity = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &activity) == CUPTI_SUCCESS) {
    if (activity->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
      const auto& k = *reinterpret_cast<const CUpti_ActivityKernel9*>(activity);
      g_records.push_back({k.start, k.end,
                           fmt::format("{} ({},{},{})x{}", ShortName(k.name), k.gridX, k.gridY,
                                       k.gridZ, k.blockX)});
    } else if (activity->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
      const auto& copy = *reinterpret_cast<const CUpti_ActivityMemcpy5*>(activity);
      g_records.push_back({copy.start, copy.end, "copy"});
    }
  }
  std::free(buffer);
}

void Print() {
  (void)cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  std::ranges::sort(g_records, {}, &Record::start);
  const char* skip = std::getenv("KERNEL_TIMES_SKIP");
  const double share = skip == nullptr ? 0.5 : std::atof(skip);
  const auto first = static_cast<size_t>(static_cast<double>(g_records.size()) * share);
  std::map<std::string, Sum> sums;
  uint64_t done = 0, total = 0;
  for (size_t i = first; i < g_records.size(); ++i) {
    const Record& r = g_records[i];
    Sum& sum = sums[r.kernel];
    ++sum.count;
    sum.duration += r.end - r.start;
    if (r.end <= done) continue;
    // Of a pause of more than 50 us the program thought.
    const uint64_t from = done == 0 || r.start > done + 50000 ? r.start : done;
    sum.cost += r.end - from;
    total += r.end - from;
    done = r.end;
  }
  std::vector<std::pair<std::string, Sum>> rows(sums.begin(), sums.end());
  std::ranges::sort(rows, std::greater(), [](const auto& row) { return row.second.cost; });
  const char* path = std::getenv("KERNEL_TIMES");
  std::FILE* out = path == nullptr ? stderr : std::fopen(path, "w");
  if (out == nullptr) return;
  fmt::print(out, "{} records, {:.0f} us\n", g_records.size() - first,
             1e-3 * static_cast<double>(total));
  for (const auto& [kernel, sum] : rows) {
    const auto each = [&](uint64_t ns) { return 1e-3 * static_cast<double>(ns) / sum.count; };
    fmt::print(
        out, "{:6d} x {:9.2f} us, cost {:9.2f} us {:5.1f} %  {}\n", sum.count, each(sum.duration),
        each(sum.cost),
        100 * static_cast<double>(sum.cost) / static_cast<double>(std::max<uint64_t>(total, 1)),
        kernel);
  }
  if (path != nullptr) std::fclose(out);
}

}  // namespace

extern "C" int InitializeInjection() {  // CUDA's name for it
  cuptiActivityRegisterCallbacks(GiveBuffer, TakeBuffer);
  cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
  cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY);
  std::atexit(Print);
  return 1;
}
