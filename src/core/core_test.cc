#include <gtest/gtest.h>

#include "core/dtype.h"
#include "core/tensor.h"

namespace hadal {
namespace {

TEST(DType, F16RoundTripsEveryValue) {
  for (uint32_t v = 0; v < 65536; ++v) {
    const float f = F16ToFloat(static_cast<uint16_t>(v));
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(F16ToFloat(FloatToF16(f))));
    } else {
      EXPECT_EQ(FloatToF16(f), v);
    }
  }
  EXPECT_EQ(FloatToF16(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToF16(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToF16(1.0f + 0x1p-11f), 0x3c00);  // tie to even
}

TEST(DType, F8RoundTripsEveryValueAndSaturates) {
  for (int v = 0; v < 256; ++v) {
    const float f = F8E4M3ToFloat(static_cast<uint8_t>(v));
    if (!std::isnan(f)) EXPECT_EQ(FloatToF8E4M3(f), v) << f;
  }
  EXPECT_EQ(F8E4M3ToFloat(0x7e), 448.0f);
  EXPECT_EQ(FloatToF8E4M3(1e9f), 0x7e);
  EXPECT_EQ(FloatToF8E4M3(-1e9f), 0xfe);
  EXPECT_EQ(F8E4M3ToFloat(0x38), 1.0f);
  EXPECT_EQ(FloatToF8E4M3(464.1f), 0x7e);
}

TEST(DType, Bf16RoundsToNearestEven) {
  EXPECT_EQ(FloatToBf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(FloatToBf16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(std::bit_cast<float>(0x7f800001u)))));
}

TEST(Shape, RefusesOverflow) {
  const uint64_t huge[] = {uint64_t{1} << 40, uint64_t{1} << 40};
  EXPECT_FALSE(Shape::From(huge).has_value());
  const uint64_t many[] = {1, 1, 1, 1, 1};
  EXPECT_FALSE(Shape::From(many).has_value());
  const uint64_t fine[] = {61, 576};
  EXPECT_EQ(Shape::From(fine)->ToString(), "[61, 576]");
}

TEST(Buffer, IsAlignedAndZero) {
  auto b = Buffer::Allocate(3u << 20);
  ASSERT_TRUE(b.has_value());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b->data()) % 64, 0u);
  EXPECT_EQ(static_cast<char*>(b->data())[(3u << 20) - 1], 0);
}

}  // namespace
}  // namespace hadal
