#include "cli/machine_limits.h"

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "core/tensor.h"
#include "kernels/peak.h"

namespace hadal::cli {
namespace {

// Reads every cache line; the result keeps the compiler from dropping the loop.
uint64_t ReadAll(const uint64_t* p, size_t n) {
  uint64_t a = 0, b = 0, c = 0, d = 0;
  for (size_t i = 0; i + 32 <= n; i += 32) {
    for (size_t j = 0; j < 32; j += 4)
      a ^= p[i + j], b ^= p[i + j + 1], c ^= p[i + j + 2], d ^= p[i + j + 3];
  }
  return a ^ b ^ c ^ d;
}

Result<double> MeasureRead(ThreadPool& pool) {
  constexpr size_t kBytes = size_t{1} << 30;  // larger than any last-level cache in use today
  constexpr int kSlices = 256, kRounds = 3;
  HADAL_TRY(const Buffer buffer, Buffer::Allocate(kBytes));
  std::memset(buffer.data(), 1, kBytes);
  std::vector<uint64_t> sums(kSlices);
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const TimePoint start = Now();
    pool.ForEach(kSlices, [&](int task, int) {
      const size_t words = kBytes / 8 / kSlices;
      const auto* base = static_cast<const uint64_t*>(buffer.data());
      sums[static_cast<size_t>(task)] = ReadAll(base + static_cast<size_t>(task) * words, words);
    });
    best = std::max(best, static_cast<double>(kBytes) / Seconds(Now() - start));
  }
  return best;
}

double MeasureFlops(ThreadPool& pool, Isa isa, WeightFormat format) {
  constexpr int kRounds = 5;
  constexpr int64_t kRepeats = 2'000'000;
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const TimePoint start = Now();
    std::vector<double> operations(static_cast<size_t>(pool.size()));
    pool.ForEach(pool.size(), [&](int task, int) {
      operations[static_cast<size_t>(task)] = PeakOperations(isa, format, kRepeats);
    });
    double all = 0;
    for (double o : operations) all += o;
    best = std::max(best, all / Seconds(Now() - start));
  }
  return best;
}

}  // namespace

Result<MachineLimits> MeasureLimits(Isa isa, WeightFormat format, int threads) {
  ThreadPool pool(threads);
  MachineLimits limits;
  HADAL_TRY(limits.read_bytes_per_second, MeasureRead(pool));
  limits.flops_per_second = MeasureFlops(pool, isa, format);
  return limits;
}

}  // namespace hadal::cli
