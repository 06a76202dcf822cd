#include "quant/quant_type.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>

namespace hadal {
namespace {

using testing::HasSubstr;

struct Published {
  std::string_view name;
  int gguf_id, elements, bytes;
};
// As GGUF's documentation and ggml's headers give them.
constexpr Published kPublished[] = {
    {"q4_0", 2, 32, 18},    {"q4_1", 3, 32, 20},    {"q5_0", 6, 32, 22},
    {"q5_1", 7, 32, 24},    {"q8_0", 8, 32, 34},    {"q2_k", 10, 256, 84},
    {"q3_k", 11, 256, 110}, {"q4_k", 12, 256, 144}, {"q5_k", 13, 256, 176},
    {"q6_k", 14, 256, 210}, {"iq4_nl", 20, 32, 18}, {"iq4_xs", 23, 256, 136},
    {"mxfp4", 39, 32, 17},
};
constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBf16, DType::kF8E4M3,
                             DType::kI8,  DType::kI32, DType::kI64,  DType::kU8};

std::vector<TensorType> AllTypes() {
  std::vector<TensorType> all(std::begin(kDTypes), std::end(kDTypes));
  for (int i = 0; i < kQuantTypes; ++i) all.push_back(static_cast<QuantType>(i));
  return all;
}

TEST(QuantType, EveryPublishedTypeHasItsNumberAndSizes) {
  for (const Published& p : kPublished) {
    const auto type = QuantTypeOfGguf(static_cast<uint32_t>(p.gguf_id));
    ASSERT_TRUE(type.has_value()) << p.name;
    const QuantTraits& t = TraitsOf(*type);
    EXPECT_EQ(p.name, t.name);
    EXPECT_EQ(p.elements, t.elements) << p.name;
    EXPECT_EQ(p.bytes, t.bytes) << p.name;
  }
  EXPECT_EQ(std::size(kPublished) + 1, static_cast<size_t>(kQuantTypes));  // and U4Z
}

TEST(QuantType, U4ZIsInNoFile) {
  EXPECT_EQ(-1, GgufIdOf(QuantType::kU4Z));
  EXPECT_EQ(19, RowBytes(QuantType::kU4Z, 32));
}

TEST(QuantType, NamesAndNumbersOfTypesAreDistinct) {
  std::set<std::string_view> names;
  std::map<int32_t, std::string_view> ids;
  for (const TensorType& type : AllTypes()) {
    EXPECT_TRUE(names.insert(NameOf(type)).second) << NameOf(type);
    const int32_t id = GgufIdOf(type);
    if (id >= 0) {
      EXPECT_TRUE(ids.emplace(id, NameOf(type)).second) << NameOf(type) << " and " << ids[id];
    }
  }
}

TEST(QuantType, EveryNameIsReadInEitherCase) {
  for (const TensorType& type : AllTypes()) {
    std::string upper(NameOf(type));
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    for (const std::string& name : {std::string(NameOf(type)), upper}) {
      const auto parsed = ParseTensorType(name);
      ASSERT_TRUE(parsed.has_value()) << name;
      EXPECT_EQ(type, *parsed) << name;
    }
  }
}

TEST(QuantType, AnUnknownNameIsAnsweredWithTheListOfNames) {
  const auto parsed = ParseTensorType("q4_2");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(ErrorCode::kInvalidArgument, parsed.error().code);
  EXPECT_THAT(parsed.error().message, HasSubstr("'q4_2'"));
  for (const TensorType& type : AllTypes()) {
    EXPECT_THAT(parsed.error().message, HasSubstr(std::string(NameOf(type))));
  }
}

TEST(QuantType, GgufNumbersLeadBackToTheirTypes) {
  for (const TensorType& type : AllTypes()) {
    const int32_t id = GgufIdOf(type);
    if (id < 0) continue;
    const auto back = TensorTypeOfGguf(static_cast<uint32_t>(id));
    ASSERT_TRUE(back.has_value()) << NameOf(type);
    EXPECT_EQ(type, *back);
    EXPECT_FALSE(GgufTypeName(static_cast<uint32_t>(id)).empty()) << NameOf(type);
  }
}

TEST(QuantType, TypesThatAreNotReadHaveANameForMessages) {
  for (const uint32_t id : {4u, 5u, 9u, 15u, 16u, 19u, 29u, 34u, 40u}) {
    EXPECT_FALSE(TensorTypeOfGguf(id).has_value()) << id;
    EXPECT_FALSE(GgufTypeName(id).empty()) << id;
  }
  for (const uint32_t id : {31u, 38u, 1000u, 0xffffffffu}) {
    EXPECT_FALSE(TensorTypeOfGguf(id).has_value()) << id;
    EXPECT_EQ("", GgufTypeName(id));
  }
}

// The exact size in 128 bits, -1 where there is none.
__int128 ExactBytes(const TensorType& type, int64_t rows, int64_t cols) {
  __int128 elements = 1, bytes = 0;
  if (const auto* plain = std::get_if<DType>(&type)) {
    bytes = static_cast<__int128>(SizeOf(*plain));
  } else {
    elements = TraitsOf(std::get<QuantType>(type)).elements;
    bytes = TraitsOf(std::get<QuantType>(type)).bytes;
  }
  if (rows < 0 || cols < 0 || cols % elements != 0) return -1;
  const __int128 row = cols / elements * bytes;  // below 2^67
  if (rows != 0 && row > std::numeric_limits<int64_t>::max() / rows) return -1;
  return row * rows;
}

TEST(QuantType, BytesAreExactOrRefusedForAnyShape) {
  std::mt19937_64 random(3);
  int refused = 0, exact = 0;
  for (int i = 0; i < 200'000; ++i) {
    const auto all = AllTypes();
    const TensorType type = all[random() % all.size()];
    const auto any = [&] { return static_cast<int64_t>(random() >> random() % 64); };
    const int64_t rows = any(), cols = random() % 2 ? any() : any() / 512 * 256;
    const __int128 expected = ExactBytes(type, rows, cols);
    ASSERT_EQ(static_cast<int64_t>(expected), BytesOf(type, rows, cols))
        << NameOf(type) << " " << rows << " x " << cols;
    (expected < 0 ? refused : exact)++;
  }
  EXPECT_GT(refused, 10'000);
  EXPECT_GT(exact, 10'000);
}

TEST(QuantType, ARowOfBlocksHasTheBytesOfItsBlocks) {
  for (int i = 0; i < kQuantTypes; ++i) {
    const QuantTraits& t = TraitsOf(static_cast<QuantType>(i));
    EXPECT_EQ(7 * t.bytes, RowBytes(t.type, 7 * t.elements));
    EXPECT_EQ(35 * t.bytes, BytesOf(t.type, 5, 7 * t.elements));
    EXPECT_EQ(-1, BytesOf(t.type, 5, t.elements / 2));
    EXPECT_EQ(0, BytesOf(t.type, 0, t.elements));
  }
}

}  // namespace
}  // namespace hadal
