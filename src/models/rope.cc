#include "models/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "formats/llama3_rope.h"

namespace hadal {
namespace {

constexpr int64_t kMaxTableBytes = int64_t{256} << 20;
constexpr int64_t kFirstTableBytes = int64_t{2} << 20;  // ready at once: 4096 of 128 dimensions

// The dimension whose pair turns `rotations` times over the original context.
double DimensionOf(double rotations, const RopeConfig& rope, int64_t dims) {
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const double wavelength = original / (rotations * 2 * std::numbers::pi);
  return static_cast<double>(dims) * std::log(wavelength) / (2 * std::log(rope.theta));
}

// Low frequencies are interpolated (divided by factor), high ones kept, with a linear ramp between.
void ApplyYarn(const RopeConfig& rope, int64_t dims, std::vector<double>& inv) {
  const auto last = static_cast<double>(dims - 1);
  const double low = std::clamp(std::floor(DimensionOf(rope.beta_fast, rope, dims)), 0.0, last);
  double high = std::clamp(std::ceil(DimensionOf(rope.beta_slow, rope, dims)), 0.0, last);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inv.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    inv[i] = inv[i] / rope.factor * ramp + inv[i] * (1 - ramp);
  }
}

}  // namespace

std::vector<double> InverseFrequencies(const RopeConfig& rope, int64_t dims) {
  std::vector<double> inv(static_cast<size_t>(dims / 2));
  for (size_t i = 0; i < inv.size(); ++i) {
    inv[i] = std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(dims));
  }
  const bool llama3 = rope.type == RopeType::kLlama3;
  const auto divisors = llama3 ? Llama3Divisors(rope, dims) : rope.frequency_divisors;
  CHECK(divisors.empty() || divisors.size() == inv.size());
  for (size_t i = 0; i < divisors.size(); ++i) inv[i] /= divisors[i];
  switch (rope.type) {
    case RopeType::kDefault:
    case RopeType::kLlama3:
      break;
    case RopeType::kLinear:
      for (double& f : inv) f /= rope.factor;
      break;
    case RopeType::kYarn:
      ApplyYarn(rope, dims, inv);
      break;
  }
  return inv;
}

Result<Rope> Rope::Build(const RopeConfig& config, int64_t dims, RopePairing pairing,
                         int64_t positions, Backend& backend) {
  if (dims < 2 || dims % 2 != 0 || dims > 65536) {
    return Fail(ErrorCode::kUnsupportedModel,
                "rotary embedding over {} dimensions; it must be an even number from 2 to 65536",
                dims);
  }
  if (!(config.theta > 1)) {
    return FailField(ErrorCode::kUnsupportedModel, "rope_theta",
                     "rope_theta is {}; it must be above 1", config.theta);
  }
  const int64_t row_bytes = dims * static_cast<int64_t>(sizeof(float));  // cos and sin
  Rope rope;
  rope.backend_ = &backend;
  rope.inverse_frequencies_ = InverseFrequencies(config, dims);
  rope.scale_ = config.CosSinFactor();
  rope.positions_ = std::clamp<int64_t>(positions, 1, kMaxTableBytes / row_bytes);
  rope.table_ = {static_cast<int>(dims), pairing, nullptr, nullptr};
  HADAL_OK(rope.Reserve(std::clamp<int64_t>(kFirstTableBytes / row_bytes, 1, rope.positions_)));
  return rope;
}

Status Rope::Reserve(int64_t n) {
  CHECK(n <= positions_);
  if (n <= ready_) return {};
  const int64_t rows = std::min(positions_, std::max(n, 2 * ready_));
  std::vector<float> cos, sin;
  cos.reserve(static_cast<size_t>(rows) * inverse_frequencies_.size());
  sin.reserve(static_cast<size_t>(rows) * inverse_frequencies_.size());
  for (int64_t p = 0; p < rows; ++p) {
    for (double f : inverse_frequencies_) {
      const double angle = static_cast<double>(p) * f;
      cos.push_back(static_cast<float>(std::cos(angle) * scale_));
      sin.push_back(static_cast<float>(std::sin(angle) * scale_));
    }
  }
  HADAL_TRY(auto cos_memory, backend_->Upload(cos));
  HADAL_TRY(auto sin_memory, backend_->Upload(sin));
  cos_ = std::move(cos_memory);
  sin_ = std::move(sin_memory);
  table_.cos = static_cast<const float*>(cos_->data());
  table_.sin = static_cast<const float*>(sin_->data());
  ready_ = rows;
  return {};
}

}  // namespace hadal
