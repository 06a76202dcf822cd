// Owns: random weights as stored bytes, made directly in the type they are stored in: random codes
// and a scale that gives the decoded values the wanted mean and deviation.
// Rows are a pure function of (seed, tensor name, row): the same whatever the threads and slices.
// Must not know models. Thread rule: immutable; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "quant/quant_type.h"

namespace hadal {

class RandomTensor {
 public:
  // Block types must be encodable; mean is 0 for them and for F8_E4M3.
  RandomTensor(uint64_t seed, std::string_view name, double mean, double deviation);

  // Rows [row0, row0 + n) of `cols` weights each, as a file stores them. F8_E4M3 codes are worth
  // their value times the scale of their block below.
  void Rows(const TensorType& type, int64_t row0, int64_t n, int64_t cols, std::byte* out) const;

  // Row `row` of the scales of an F8_E4M3 matrix, one per block.
  void Fp8Scales(int64_t row, int64_t n, float* out) const;

 private:
  void Row(const TensorType& type, int64_t row, int64_t cols, std::byte* out) const;

  uint64_t key_;
  float mean_, deviation_;
};

}  // namespace hadal
