// What encoding costs, and what it does with awkward values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "quant/codec.h"

namespace hadal {
namespace {

using Floats = std::vector<float>;

// About normal with deviation 0.02, from integers only: the same on every machine.
Floats Gaussian(size_t n, unsigned seed) {
  std::mt19937 random(seed);
  Floats out(n);
  for (float& v : out) {
    int64_t sum = 0;
    for (int i = 0; i < 12; ++i) sum += static_cast<int64_t>(random());
    v = static_cast<float>(static_cast<double>(sum - 6 * (int64_t{1} << 32)) * 0x1p-32 * 0.02);
  }
  return out;
}

std::vector<std::byte> Encode(QuantType type, const Floats& x) {
  std::vector<std::byte> out(static_cast<size_t>(RowBytes(type, static_cast<int64_t>(x.size()))));
  EncodeBlocks(type, x.data(), static_cast<int64_t>(x.size()), out.data());
  return out;
}

Floats RoundTrip(QuantType type, const Floats& x) {
  Floats out(x.size());
  DecodeBlocks(type, Encode(type, x).data(), static_cast<int64_t>(x.size()), out.data());
  return out;
}

double RelativeError(const Floats& x, const Floats& y) {
  double error = 0.0, power = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += std::pow(static_cast<double>(y[i]) - x[i], 2);
    power += std::pow(static_cast<double>(x[i]), 2);
  }
  return std::sqrt(error / power);
}

// The plain rule with exact scales: `steps` equal steps over the range of each `n` weights, which
// for symmetric types is made symmetric.
Floats EqualSteps(const Floats& x, size_t n, int steps, bool symmetric) {
  Floats out(x.size());
  for (size_t begin = 0; begin < x.size(); begin += n) {
    const auto [low, high] =
        std::minmax_element(x.begin() + static_cast<std::ptrdiff_t>(begin),
                            x.begin() + static_cast<std::ptrdiff_t>(begin + n));
    const float reach = std::max(-*low, *high);
    const float origin = symmetric ? 0.0f : std::min(*low, 0.0f);
    const float step = symmetric ? reach / static_cast<float>(steps / 2)
                                 : (*high - origin) / static_cast<float>(steps);
    for (size_t i = begin; i < begin + n; ++i) {
      out[i] = origin + step * std::nearbyint((x[i] - origin) / step);
    }
  }
  return out;
}

struct Quality {
  QuantType type;
  double bound;  // relative RMS error on normal weights
  size_t sub_block;
  int steps;
  bool symmetric;
};
constexpr Quality kQualities[] = {
    {QuantType::kQ4_0, 0.0820, 32, 15, true},  {QuantType::kQ5_0, 0.0405, 32, 31, true},
    {QuantType::kQ8_0, 0.0054, 32, 254, true}, {QuantType::kQ4_K, 0.0712, 32, 15, false},
    {QuantType::kQ5_K, 0.0352, 32, 31, false}, {QuantType::kQ6_K, 0.0172, 16, 63, true},
};

class Encodable : public testing::TestWithParam<Quality> {
 protected:
  QuantType type() const { return GetParam().type; }
};

TEST_P(Encodable, KeepsNormalWeightsWithinTheErrorOfItsType) {
  const Floats x = Gaussian(256 * 1000, 11);
  const double error = RelativeError(x, RoundTrip(type(), x));
  RecordProperty("relative_rms_error", std::to_string(error));
  EXPECT_LT(error, GetParam().bound);
  EXPECT_GT(error, GetParam().bound / 1.1);  // a bound that is far away says nothing
}

// The stored scales are rounded to f16 and six or eight bits, the plain rule's here are exact.
TEST_P(Encodable, LosesLessThanEqualStepsOverTheRange) {
  const Floats x = Gaussian(256 * 200, 12);
  const Quality& q = GetParam();
  const double plain = RelativeError(x, EqualSteps(x, q.sub_block, q.steps, q.symmetric));
  RecordProperty("plain_relative_rms_error", std::to_string(plain));
  const double ours = RelativeError(x, RoundTrip(type(), x));
  EXPECT_LT(ours, type() == QuantType::kQ8_0 ? plain * 1.001 : plain);
}

TEST_P(Encodable, ZerosStayZero) {
  for (const float y : RoundTrip(type(), Floats(512, 0.0f))) EXPECT_EQ(0.0f, y);
  for (const float y : RoundTrip(type(), Floats(512, -0.0f))) EXPECT_EQ(0.0f, y);
}

TEST_P(Encodable, ConstantsStayTheSameToF16Precision) {
  for (const float c : {0.37f, -0.37f, 1.0f, -1.0f, 999.0f, -999.0f}) {
    for (const float y : RoundTrip(type(), Floats(256, c))) {
      EXPECT_NEAR(y, c, std::fabs(c) * 0x1p-10f) << c;
    }
  }
}

// The scale is then an f16 with fewer than eleven bits.
TEST_P(Encodable, SmallConstantsKeepAFewBits) {
  for (const float c : {1e-2f, -1e-2f}) {
    for (const float y : RoundTrip(type(), Floats(256, c))) {
      EXPECT_NEAR(y, c, std::fabs(c) * 0x1p-8f) << c;
    }
  }
}

TEST_P(Encodable, OneLargeWeightAmongZerosIsKept) {
  for (size_t at : {0u, 17u, 255u}) {
    Floats x(256, 0.0f);
    x[at] = 3.0f;
    const Floats y = RoundTrip(type(), x);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y[i], x[i], 3.0f * 0x1p-10f) << i;
  }
}

TEST_P(Encodable, WeightsBeyondTheTypeBecomeItsLargest) {
  for (const float huge : {1e9f, 1e20f, 3.4e38f}) {
    Floats x = Gaussian(512, 13);
    for (size_t i = 0; i < x.size(); i += 3) x[i] = i % 2 ? huge : -huge;
    for (const Floats& values : {x, Floats(256, huge), Floats(256, -huge)}) {
      const Floats y = RoundTrip(type(), values);
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_TRUE(std::isfinite(y[i])) << i;
        if (std::fabs(values[i]) < huge) continue;
        EXPECT_GT(std::fabs(y[i]), 4e5f) << i;
        EXPECT_EQ(std::signbit(values[i]), std::signbit(y[i])) << i;
      }
    }
  }
}

// f16 scales end at 2^-24: there the error is a few such steps, and never a blow-up.
TEST_P(Encodable, WeightsNearTheSmallestScaleStayNear) {
  for (const float size : {1e-42f, 1e-30f, 1e-9f, 3e-8f, 1e-7f, 1e-6f, 1e-5f}) {
    Floats x = Gaussian(512, 14);
    for (float& v : x) v *= size / 0.02f;
    const Floats y = RoundTrip(type(), x);
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(y[i], x[i], 0.35f * size + 0x1p-24f) << size << " at " << i;
    }
  }
}

TEST_P(Encodable, EachBlockDependsOnItsOwnWeightsOnly) {
  const Floats x = Gaussian(1024, 15);
  const auto together = Encode(type(), x);
  const auto n = static_cast<size_t>(TraitsOf(type()).elements);
  const auto bytes = static_cast<size_t>(TraitsOf(type()).bytes);
  for (size_t block = 0; block < x.size() / n; ++block) {
    const auto first = x.begin() + static_cast<std::ptrdiff_t>(block * n);
    const auto alone = Encode(type(), Floats(first, first + static_cast<std::ptrdiff_t>(n)));
    EXPECT_EQ(0, std::memcmp(alone.data(), together.data() + block * bytes, bytes)) << block;
  }
}

INSTANTIATE_TEST_SUITE_P(Quant, Encodable, testing::ValuesIn(kQualities),
                         [](const auto& param) { return std::string(NameOf(param.param.type)); });

class Idempotent : public testing::TestWithParam<QuantType> {};

TEST_P(Idempotent, WeightsThatWereStoredOnceAreStoredAgainUnchanged) {
  const Floats once = RoundTrip(GetParam(), Gaussian(256 * 400, 16));
  const Floats twice = RoundTrip(GetParam(), once);
  for (size_t i = 0; i < once.size(); ++i) {
    ASSERT_NEAR(once[i], twice[i], std::fabs(once[i]) * 0x1p-23f) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Quant, Idempotent,
                         testing::Values(QuantType::kQ4_0, QuantType::kQ5_0, QuantType::kQ8_0),
                         [](const auto& param) { return std::string(NameOf(param.param)); });

// FNV-1a of the bytes. A better search changes them on purpose; a compiler or machine must not.
uint64_t Hash(const std::vector<std::byte>& bytes) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const std::byte b : bytes) h = (h ^ static_cast<uint8_t>(b)) * 0x100000001b3u;
  return h;
}

TEST(Encode, GivesTheSameBytesOnEveryMachine) {
  const Floats x = Gaussian(256 * 50, 17);
  EXPECT_EQ(0xdf1d70c8fc6b3cf7u, Hash(Encode(QuantType::kQ4_0, x)));
  EXPECT_EQ(0xe217785f656df0fcu, Hash(Encode(QuantType::kQ5_0, x)));
  EXPECT_EQ(0x8d6473a1b9fce611u, Hash(Encode(QuantType::kQ8_0, x)));
  EXPECT_EQ(0xfdd0b06f8e47c425u, Hash(Encode(QuantType::kQ4_K, x)));
  EXPECT_EQ(0x93810ee09d47c86au, Hash(Encode(QuantType::kQ5_K, x)));
  EXPECT_EQ(0x4a46b23a701f9e27u, Hash(Encode(QuantType::kQ6_K, x)));
}

}  // namespace
}  // namespace hadal
