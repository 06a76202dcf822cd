#include "convert/random_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "quant/codec.h"

namespace hadal {
namespace {

constexpr int64_t kRows = 96, kCols = 1024;

std::vector<std::byte> Stored(const RandomTensor& random, const TensorType& type,
                              int64_t cols = kCols) {
  std::vector<std::byte> bytes(static_cast<size_t>(BytesOf(type, kRows, cols)));
  random.Rows(type, 0, kRows, cols, bytes.data());
  return bytes;
}

std::vector<float> Decoded(const TensorType& type, const std::vector<std::byte>& bytes) {
  std::vector<float> out(static_cast<size_t>(kRows * kCols));
  if (const auto* quant = std::get_if<QuantType>(&type)) {
    DecodeBlocks(*quant, bytes.data(), kRows * kCols, out.data());
    return out;
  }
  const auto dtype = std::get<DType>(type);
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t half = 0;
    if (dtype == DType::kF32) std::memcpy(&out[i], bytes.data() + 4 * i, 4);
    if (dtype == DType::kF8E4M3) out[i] = F8E4M3ToFloat(static_cast<uint8_t>(bytes[i]));
    if (dtype != DType::kBf16 && dtype != DType::kF16) continue;
    std::memcpy(&half, bytes.data() + 2 * i, 2);
    out[i] = dtype == DType::kBf16 ? Bf16ToFloat(half) : F16ToFloat(half);
  }
  return out;
}

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};
Moments MomentsOf(const std::vector<float>& values) {
  Moments m;
  for (const float v : values) m.mean += v;
  m.mean /= static_cast<double>(values.size());
  for (const float v : values) {
    m.deviation += (v - m.mean) * (v - m.mean);
    m.largest = std::max<double>(m.largest, std::fabs(v));
  }
  m.deviation = std::sqrt(m.deviation / static_cast<double>(values.size()));
  return m;
}

const std::vector<TensorType> kTypes = {DType::kF32,      DType::kBf16,     DType::kF16,
                                        QuantType::kQ8_0, QuantType::kQ4_0, QuantType::kQ5_0,
                                        QuantType::kQ4_K, QuantType::kQ5_K, QuantType::kQ6_K};

TEST(RandomWeights, DecodedValuesHaveTheWantedMeanAndDeviationInEveryType) {
  constexpr double kDeviation = 0.02;
  const RandomTensor random(7, "blk.0.attn_q.weight", 0, kDeviation);
  for (const TensorType& type : kTypes) {
    const Moments m = MomentsOf(Decoded(type, Stored(random, type)));
    EXPECT_NEAR(m.mean, 0, kDeviation / 50) << NameOf(type);
    EXPECT_NEAR(m.deviation / kDeviation, 1, 0.02) << NameOf(type);
    EXPECT_LT(m.largest, 8 * kDeviation) << NameOf(type);
    EXPECT_GT(m.largest, 1.9 * kDeviation) << NameOf(type);
  }
}

TEST(RandomWeights, PlainTypesCanHaveAMean) {
  const RandomTensor random(7, "blk.0.attn_norm.weight", 1, 0.05);
  const Moments m = MomentsOf(Decoded(DType::kF32, Stored(random, DType::kF32)));
  EXPECT_NEAR(m.mean, 1, 0.002);
  EXPECT_NEAR(m.deviation, 0.05, 0.002);
}

TEST(RandomWeights, Fp8CodesTimesTheirScalesHaveTheWantedDeviation) {
  const RandomTensor random(7, "w", 0, 0.02);
  std::vector<float> values = Decoded(DType::kF8E4M3, Stored(random, DType::kF8E4M3));
  std::vector<float> scales(kCols / 128);
  for (int64_t r = 0; r < kRows; ++r) {
    random.Fp8Scales(r / 128, kCols / 128, scales.data());
    for (int64_t c = 0; c < kCols; ++c) {
      values[static_cast<size_t>(r * kCols + c)] *= scales[static_cast<size_t>(c / 128)];
    }
  }
  const Moments m = MomentsOf(values);
  EXPECT_NEAR(m.mean, 0, 0.0005);
  EXPECT_NEAR(m.deviation, 0.02, 0.003);
  EXPECT_TRUE(std::isfinite(m.largest));
}

// Rows made one by one, in any order, are those made at once.
TEST(RandomWeights, RowsDoNotDependOnHowTheyAreSliced) {
  const RandomTensor random(3, "blk.1.ffn_up.weight", 0, 1);
  for (const TensorType& type : kTypes) {
    const std::vector<std::byte> whole = Stored(random, type);
    std::vector<std::byte> rows(whole.size());
    const int64_t bytes = BytesOf(type, 1, kCols);
    for (int64_t r = kRows - 1; r >= 0; --r) {
      random.Rows(type, r, 1, kCols, rows.data() + r * bytes);
    }
    EXPECT_EQ(whole, rows) << NameOf(type);
  }
}

TEST(RandomWeights, AnotherSeedNameOrRowGivesOtherWeights) {
  const auto row = [](uint64_t seed, const char* name, int64_t at) {
    std::vector<std::byte> bytes(static_cast<size_t>(BytesOf(QuantType::kQ4_K, 1, kCols)));
    RandomTensor(seed, name, 0, 1).Rows(QuantType::kQ4_K, at, 1, kCols, bytes.data());
    return bytes;
  };
  EXPECT_EQ(row(1, "a", 0), row(1, "a", 0));
  EXPECT_NE(row(1, "a", 0), row(2, "a", 0));
  EXPECT_NE(row(1, "a", 0), row(1, "b", 0));
  EXPECT_NE(row(1, "a", 0), row(1, "a", 1));
}

TEST(RandomWeights, OddColumnsOfPlainTypesStayInsideTheirRows) {
  const RandomTensor random(3, "x", 0, 1);
  for (const TensorType& type : {TensorType(DType::kF32), TensorType(DType::kBf16),
                                 TensorType(DType::kF16), TensorType(DType::kF8E4M3)}) {
    const auto bytes = static_cast<size_t>(BytesOf(type, 1, 37));
    std::vector<std::byte> out(bytes + 8, std::byte{0xab});
    random.Rows(type, 0, 1, 37, out.data());
    for (size_t i = bytes; i < out.size(); ++i) EXPECT_EQ(out[i], std::byte{0xab}) << NameOf(type);
  }
}

}  // namespace
}  // namespace hadal
