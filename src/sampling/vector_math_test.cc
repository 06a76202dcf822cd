#include "sampling/vector_math.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace hadal {
namespace {

TEST(VectorMath, ExpAgreesWithTheLibraryToTwoUlp) {
  EXPECT_EQ(ExpNonPositive(0.0f), 1.0f);
  for (int i = 0; i <= 870000; ++i) {
    const float x = -static_cast<float>(i) * 1e-4f;
    const double exact = std::exp(double{x});
    ASSERT_NEAR(ExpNonPositive(x) / exact, 1.0, 2.4e-7) << x;
  }
}

TEST(VectorMath, ExpOfWhatIsFarBelowIsZero) {
  EXPECT_EQ(ExpNonPositive(-87.1f), 0.0f);
  EXPECT_EQ(ExpNonPositive(-1e30f), 0.0f);
  EXPECT_EQ(ExpNonPositive(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(ExpNonPositive(std::numeric_limits<float>::quiet_NaN()), 0.0f);
}

TEST(VectorMath, RowsOfEveryLengthGiveTheSameAsPlainLoops) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal(0, 5);
  for (size_t n = 1; n < 1200; n += n < 40 ? 1 : 97) {
    std::vector<float> row(n), out(n);
    for (float& v : row) v = normal(rng);
    const float max = *std::max_element(row.begin(), row.end());
    EXPECT_EQ(MaxOf(row), max);
    double sum = 0;
    for (const float v : row) sum += std::exp(0.5 * (double{v} - max));
    EXPECT_NEAR(ExpAndSum(row, max, 0.5f, out.data()) / sum, 1.0, 1e-6) << n;
    double heavy = 0;
    for (const float v : out) heavy += v >= 0.25f ? v : 0;
    EXPECT_NEAR(SumFrom(out, 0.25f) / heavy, 1.0, 1e-6) << n;
  }
}

TEST(VectorMath, WhatIsNotFiniteIsTakenOut) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> row(40, -2.0f);
  row[3] = std::numeric_limits<float>::quiet_NaN();
  row[20] = kInf;
  row[39] = std::numeric_limits<float>::quiet_NaN();
  row[38] = 7;
  EXPECT_EQ(SanitizeAndMax(row), 7.0f);
  for (const size_t i : {3, 20, 39}) EXPECT_EQ(row[i], -kInf);
  EXPECT_EQ(row[0], -2.0f);
}

}  // namespace
}  // namespace hadal
