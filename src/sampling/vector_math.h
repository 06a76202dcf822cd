// Owns: passes over a row of logits, written so that the compiler turns them into vector code on
// every CPU, with sums in an order fixed by the row's length.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

namespace hadal {

// exp(x) for x <= 0 to 2 ulp; 0 below -87 and for NaN; exactly 1 at 0.
inline float ExpNonPositive(float x) {
  constexpr float kLog2E = 1.44269504088896341f;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // high part: 10 bits
  constexpr float kRound = 12582912.0f;            // 1.5 * 2^23: adding it rounds to an integer
  const float clamped = x >= -87.0f ? x : -87.0f;  // also for NaN
  const float shifted = clamped * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * kLn2High) - n * kLn2Low;  // |r| <= ln 2 / 2
  // Taylor to r^7: the remainder is below 2^-27 there.
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  const int32_t exponent = std::bit_cast<int32_t>(shifted) << 23;  // n in the exponent's place
  const float result = std::bit_cast<float>(std::bit_cast<int32_t>(p) + exponent);
  return x >= -87.0f ? result : 0.0f;
}

constexpr size_t kSumLanes = 16;

// Replaces what is not finite by -infinity and returns the largest value.
inline float SanitizeAndMax(std::span<float> row) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  constexpr float kLargest = std::numeric_limits<float>::max();
  float lanes[kSumLanes];
  std::fill_n(lanes, kSumLanes, kLowest);
  size_t i = 0;
  for (; i + kSumLanes <= row.size(); i += kSumLanes) {
    for (size_t j = 0; j < kSumLanes; ++j) {
      const float v = std::fabs(row[i + j]) <= kLargest ? row[i + j] : kLowest;
      row[i + j] = v;
      lanes[j] = v > lanes[j] ? v : lanes[j];
    }
  }
  for (; i < row.size(); ++i) {
    row[i] = std::fabs(row[i]) <= kLargest ? row[i] : kLowest;
    lanes[0] = std::max(lanes[0], row[i]);
  }
  return *std::max_element(lanes, lanes + kSumLanes);
}

// The largest value; no NaN in the row.
inline float MaxOf(std::span<const float> row) {
  float lanes[kSumLanes];
  std::fill_n(lanes, kSumLanes, -std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + kSumLanes <= row.size(); i += kSumLanes) {
    for (size_t j = 0; j < kSumLanes; ++j) {
      lanes[j] = row[i + j] > lanes[j] ? row[i + j] : lanes[j];
    }
  }
  for (; i < row.size(); ++i) lanes[0] = std::max(lanes[0], row[i]);
  return *std::max_element(lanes, lanes + kSumLanes);
}

// out[i] = exp((row[i] - max) * scale), and their sum. scale > 0; row[i] <= max. out may be row.
inline double ExpAndSum(std::span<const float> row, float max, float scale, float* out) {
  double sum = 0;
  // Float lanes over a short stretch, double across stretches: fast, and exact to about 1e-7.
  constexpr size_t kStretch = 512;
  for (size_t begin = 0; begin < row.size(); begin += kStretch) {
    const size_t end = std::min(row.size(), begin + kStretch);
    float lanes[kSumLanes] = {};
    size_t i = begin;
    for (; i + kSumLanes <= end; i += kSumLanes) {
      for (size_t j = 0; j < kSumLanes; ++j) {
        const float e = ExpNonPositive((row[i + j] - max) * scale);
        out[i + j] = e;
        lanes[j] += e;
      }
    }
    for (; i < end; ++i) {
      out[i] = ExpNonPositive((row[i] - max) * scale);
      lanes[0] += out[i];
    }
    for (const float lane : lanes) sum += lane;
  }
  return sum;
}

// The sum of what is at least `least`; values >= 0.
inline double SumFrom(std::span<const float> values, float least) {
  double sum = 0;
  constexpr size_t kStretch = 512;
  for (size_t begin = 0; begin < values.size(); begin += kStretch) {
    const size_t end = std::min(values.size(), begin + kStretch);
    float lanes[kSumLanes] = {};
    size_t i = begin;
    for (; i + kSumLanes <= end; i += kSumLanes) {
      for (size_t j = 0; j < kSumLanes; ++j) {
        lanes[j] += values[i + j] >= least ? values[i + j] : 0.0f;
      }
    }
    for (; i < end; ++i) lanes[0] += values[i] >= least ? values[i] : 0.0f;
    for (const float lane : lanes) sum += lane;
  }
  return sum;
}

}  // namespace hadal
