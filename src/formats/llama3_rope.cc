#include "formats/llama3_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hadal {
namespace {

constexpr double kTolerance = 2e-6;  // divisors are stored as float32

// Turns of pair i of n over one token.
double Turns(double theta, size_t i, size_t n) {
  return std::pow(theta, -static_cast<double>(i) / static_cast<double>(n)) / (2 * std::numbers::pi);
}

RopeConfig Candidate(double theta, double factor, int64_t original) {
  RopeConfig rope;
  rope.type = RopeType::kLlama3;
  rope.theta = theta;
  rope.factor = factor;
  rope.original_max_position_embeddings = original;
  return rope;
}

bool Gives(const RopeConfig& rope, std::span<const double> divisors) {
  const auto computed = Llama3Divisors(rope, static_cast<int64_t>(divisors.size()) * 2);
  for (size_t i = 0; i < computed.size(); ++i) {
    if (!(std::fabs(computed[i] - divisors[i]) <= kTolerance * computed[i])) return false;
  }
  return true;
}

// The blend is linear in the turns over the original context: 1 / divisor = a + b * turns. Two
// pairs inside it give the line, and with low_freq_factor 1 the line gives the rest.
std::optional<RopeConfig> FromLine(std::span<const double> divisors, double theta, double factor) {
  std::vector<size_t> inside;
  for (size_t i = 0; i < divisors.size(); ++i) {
    if (divisors[i] > 1 + kTolerance && divisors[i] < factor * (1 - kTolerance)) {
      inside.push_back(i);
    }
  }
  if (inside.size() < 2) return std::nullopt;
  const auto smooth = [&](size_t i) { return (1 / divisors[i] - 1 / factor) / (1 - 1 / factor); };
  const size_t p = inside.front(), q = inside.back(), n = divisors.size();
  const double tp = Turns(theta, p, n), tq = Turns(theta, q, n);
  const double slope = (smooth(p) - smooth(q)) / (tp - tq);  // original / (high - low)
  const double below = slope * tp - smooth(p);               // low / (high - low)
  const double original = std::round(slope / below);
  if (!(original >= 1 && original < 0x1p31)) return std::nullopt;
  RopeConfig rope = Candidate(theta, factor, static_cast<int64_t>(original));
  rope.high_freq_factor = 1 + 1 / below;
  return rope;
}

}  // namespace

std::vector<double> Llama3Divisors(const RopeConfig& rope, int64_t dims) {
  std::vector<double> out(static_cast<size_t>(dims / 2));
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const double span = rope.high_freq_factor - rope.low_freq_factor;
  for (size_t i = 0; i < out.size(); ++i) {
    const double turns = original * Turns(rope.theta, i, out.size());
    const double smooth = std::clamp((turns - rope.low_freq_factor) / span, 0.0, 1.0);
    out[i] = 1 / ((1 - smooth) / rope.factor + smooth);
  }
  return out;
}

std::optional<RopeConfig> Llama3OfDivisors(std::span<const double> divisors, double theta) {
  if (divisors.empty() || !(theta > 1)) return std::nullopt;
  for (const double d : divisors) {
    if (!(d >= 1 - kTolerance && d < 1e6)) return std::nullopt;
  }
  const double factor = *std::ranges::max_element(divisors);
  if (factor <= 1 + kTolerance) return std::nullopt;
  // Published: 8 over 8192 tokens (Llama 3.1) and 32 over 8192 (Llama 3.2). Small models have
  // other lengths, all of them powers of two.
  for (const double f : {std::round(factor), factor}) {
    if (f < 1) continue;
    std::vector<int64_t> lengths = {8192};
    for (int64_t n = 16; n <= (int64_t{1} << 24); n *= 2) lengths.push_back(n);
    for (const int64_t original : lengths) {
      const RopeConfig rope = Candidate(theta, f, original);
      if (Gives(rope, divisors)) return rope;
    }
    const auto line = FromLine(divisors, theta, f);
    if (line && Gives(*line, divisors)) return line;
  }
  return std::nullopt;
}

}  // namespace hadal
