// Owns: reading what transformers computed for a checkpoint, and measuring how far logits are from
// it. Tests only. Thread rule: free functions.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "formats/safetensors.h"

namespace hadal {

struct Golden {
  std::vector<int32_t> ids;     // [T]
  std::vector<float> logits;    // [T, vocab]
  std::vector<int32_t> greedy;  // what greedy decoding goes on with
  std::vector<float> margin;    // top 1 minus top 2, per greedy token
  std::vector<float> hidden;    // [layers + 1, T, hidden], may be empty
};

template <class T>
std::vector<T> ReadGoldenTensor(const SafetensorsFile& file, std::string_view name) {
  const SafetensorsTensor* tensor = file.Find(name);
  if (tensor == nullptr) return {};
  const auto bytes = file.bytes(*tensor);
  std::vector<T> out(bytes.size() / sizeof(T));
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
  return out;
}

// Fails the test when the file cannot be read or lacks what every golden has.
inline Golden ReadGolden(const std::filesystem::path& directory) {
  Golden golden;
  const auto file = SafetensorsFile::Open(directory / "expected.safetensors");
  if (!file) {
    ADD_FAILURE() << file.error().message;
    return golden;
  }
  golden.ids = ReadGoldenTensor<int32_t>(**file, "ids");
  golden.logits = ReadGoldenTensor<float>(**file, "logits");
  golden.greedy = ReadGoldenTensor<int32_t>(**file, "greedy");
  golden.margin = ReadGoldenTensor<float>(**file, "greedy_margin");
  golden.hidden = ReadGoldenTensor<float>(**file, "hidden");
  EXPECT_FALSE(golden.ids.empty());
  EXPECT_FALSE(golden.logits.empty());
  EXPECT_FALSE(golden.greedy.empty());
  EXPECT_EQ(golden.margin.size(), golden.greedy.size());
  return golden;
}

// The relative L2 error that so many percent of the rows stay within; infinity for wrong sizes.
inline double RelativeError(std::span<const float> got, const Golden& golden, size_t percent) {
  EXPECT_EQ(got.size(), golden.logits.size());
  if (got.size() != golden.logits.size() || golden.ids.empty()) return INFINITY;
  const size_t rows = golden.ids.size(), vocab = got.size() / rows;
  std::vector<double> errors;
  for (size_t r = 0; r < rows; ++r) {
    double difference = 0, norm = 0;
    for (size_t i = r * vocab; i < (r + 1) * vocab; ++i) {
      const double want = golden.logits[i], d = got[i] - want;
      difference += d * d;
      norm += want * want;
    }
    const double error = std::sqrt(difference / norm);
    errors.push_back(std::isnan(error) ? INFINITY : error);  // NaN has no place in an order
  }
  std::sort(errors.begin(), errors.end());
  return errors[std::min(rows - 1, rows * percent / 100)];
}

}  // namespace hadal
