// What the card can do at most, measured: reading memory, and a large product of bf16 noise.
#include <algorithm>
#include <random>

#include "base/clock.h"
#include "kernels/cuda/cuda_backend.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

constexpr int kRounds = 10;

// Seconds of the fastest of several rounds.
template <class F>
Result<double> Fastest(Device& device, const F& enqueue) {
  double best = 0;
  for (int i = 0; i < kRounds; ++i) {
    HADAL_OK(device.Synchronise());
    const TimePoint start = Now();
    enqueue();
    HADAL_OK(device.Synchronise());
    const double seconds = Seconds(Now() - start);
    best = i == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

}  // namespace

Result<double> CudaBackend::MeasureRead() {
  const DeviceInfo info = device_->info();
  // Far larger than any L2, so that the launch is a small part of the time.
  const size_t bytes = info.emulated ? size_t{1} << 16 : std::min(info.free / 2, size_t{8} << 30);
  HADAL_TRY(const auto memory, Allocate(bytes));
  HADAL_TRY(const auto sums,
            Allocate(static_cast<size_t>(ReadSums(info.processors)) * sizeof(uint32_t)));
  HADAL_TRY(const double seconds, Fastest(*device_, [&] {
              ReadMemory(device_->stream(), memory->data(), static_cast<int64_t>(bytes),
                         info.processors, static_cast<uint32_t*>(sums->data()));
            }));
  return static_cast<double>(bytes) / seconds;
}

Result<double> CudaBackend::MeasureProduct() {
  const int64_t n = device_->info().emulated ? 128 : 8192;
  std::vector<float> noise(static_cast<size_t>(n * n));
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> values(-1, 1);
  for (float& v : noise) v = values(random);
  HADAL_TRY(const auto floats, Upload(noise));
  const size_t bytes = static_cast<size_t>(n * n) * 2;
  HADAL_TRY(const auto w, Allocate(bytes));
  HADAL_TRY(const auto out, Allocate(2 * bytes));
  RoundValues(device_->stream(), static_cast<const float*>(floats->data()), n * n,
              static_cast<uint16_t*>(w->data()));
  const Matrix m{Form::kBf16, static_cast<const uint8_t*>(w->data()), n, n, 0};
  HADAL_TRY(const double seconds, Fastest(*device_, [&] {
              MultiplyTiles(device_->stream(), m, static_cast<const uint16_t*>(w->data()), n,
                            {static_cast<float*>(out->data()), n, nullptr});
            }));
  return 2.0 * static_cast<double>(n * n) * static_cast<double>(n) / seconds;
}

Result<BackendLimits> CudaBackend::MeasureLimits() {
  BackendLimits limits;
  HADAL_TRY(limits.read_bytes_per_second, MeasureRead());
  HADAL_TRY(limits.flops_per_second, MeasureProduct());
  return limits;
}

}  // namespace hadal::CUDA_NAMESPACE
