#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/testing_files.h"

namespace hadal {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Result<SafetensorsHeader> Parse(std::string_view bytes, const SafetensorsLimits& limits = {}) {
  return ParseSafetensorsHeader(AsBytes(bytes), limits);
}

// The message of a refusal; fails the test when the file is accepted.
std::string Refusal(std::string_view bytes, const SafetensorsLimits& limits = {}) {
  const auto header = Parse(bytes, limits);
  if (header) {
    ADD_FAILURE() << "accepted: " << bytes.substr(0, 200);
    return "";
  }
  EXPECT_EQ(header.error().code, ErrorCode::kBadFile);
  return header.error().message;
}

std::string RefusalOf(std::string_view header, std::string_view data = "") {
  return Refusal(SafetensorsBytes(header, data));
}

const std::string kGood = SafetensorsBytes(
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I8","shape":[3],"data_offsets":[8,11]},)"
    R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}  )",
    "01234567abc");

TEST(Safetensors, ReadsNamesShapesRangesAndMetadata) {
  const auto header = Parse(kGood);
  ASSERT_TRUE(header.has_value()) << header.error().message;
  ASSERT_EQ(header->tensors.size(), 2u);
  EXPECT_EQ(header->tensors[0].name, "a");
  EXPECT_EQ(header->tensors[0].dtype->weight, DType::kF32);
  EXPECT_EQ(header->tensors[0].shape, (Shape{2, 1}));
  EXPECT_EQ(header->tensors[0].begin, header->data_begin);
  EXPECT_EQ(header->tensors[1].name, "b");
  EXPECT_EQ(header->tensors[1].end, kGood.size());
  EXPECT_EQ(header->metadata.at("format"), "pt");
}

TEST(Safetensors, RefusesTruncationAtEveryByte) {
  for (size_t n = 0; n < kGood.size(); ++n) {
    EXPECT_FALSE(Parse(kGood.substr(0, n)).has_value()) << "first " << n << " bytes accepted";
  }
  EXPECT_TRUE(Parse(kGood).has_value());
}

TEST(Safetensors, SaysWhereATruncatedFileEnds) {
  EXPECT_THAT(Refusal(kGood.substr(0, 5)), HasSubstr("truncated at byte 5"));
  EXPECT_THAT(Refusal(kGood.substr(0, 20)), HasSubstr("but the file has 20 bytes"));
  EXPECT_THAT(Refusal(kGood.substr(0, kGood.size() - 1)),
              AllOf(HasSubstr("'b'"), HasSubstr(std::to_string(kGood.size() - 1))));
}

TEST(Safetensors, RefusesAHeaderOfTwoToThe63) {
  EXPECT_THAT(Refusal(LengthBytes(uint64_t{1} << 63) + "{}"), HasSubstr("9223372036854775808"));
  EXPECT_THAT(Refusal(LengthBytes(~uint64_t{0}) + "{}"), HasSubstr("18446744073709551615"));
  SafetensorsLimits unlimited;
  unlimited.max_header_bytes = ~uint64_t{0};
  EXPECT_THAT(Refusal(LengthBytes(uint64_t{1} << 63) + "{}", unlimited), HasSubstr("100000000"));
}

TEST(Safetensors, RefusesAHeaderLongerThanTheFile) {
  EXPECT_THAT(Refusal(LengthBytes(3) + "{}"), HasSubstr("bytes 8 to 11"));
}

TEST(Safetensors, RefusesAHeaderAboveTheLimitGiven) {
  SafetensorsLimits limits;
  limits.max_header_bytes = 16;
  EXPECT_THAT(Refusal(kGood, limits), HasSubstr("at most 16 is allowed"));
}

TEST(Safetensors, AcceptsAFileWithoutTensors) {
  EXPECT_TRUE(Parse(SafetensorsBytes("{}")).has_value());
}

TEST(Safetensors, RefusesOverlap) {
  EXPECT_THAT(RefusalOf(R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},)"
                        R"("b":{"dtype":"I8","shape":[4],"data_offsets":[2,6]}})",
                        "012345"),
              AllOf(HasSubstr("'b'"), HasSubstr("overlaps 'a'"), HasSubstr("expected")));
}

TEST(Safetensors, RefusesTwoTensorsOnTheSameBytes) {
  EXPECT_THAT(RefusalOf(R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},)"
                        R"("b":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})",
                        "0123"),
              HasSubstr("overlaps"));
}

TEST(Safetensors, RefusesAGapAndNamesBothPlaces) {
  const std::string header = R"({"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},)"
                             R"("b":{"dtype":"I8","shape":[2],"data_offsets":[3,5]}})";
  const uint64_t data = 8 + header.size();
  EXPECT_THAT(RefusalOf(header, "01234"),
              HasSubstr(fmt::format("begins at byte {} of the file, expected {}: there is a gap",
                                    data + 3, data + 2)));
}

TEST(Safetensors, RefusesAGapBeforeTheFirstTensorAndBytesAfterTheLast) {
  EXPECT_THAT(RefusalOf(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}})", "01"),
              HasSubstr("gap after 'the header'"));
  EXPECT_THAT(RefusalOf(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}})", "01"),
              HasSubstr("the data ends at byte"));
}

TEST(Safetensors, RefusesAShapeThatDoesNotFillItsRange) {
  EXPECT_THAT(RefusalOf(R"({"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,8]}})", "01234567"),
              AllOf(HasSubstr("'w'"), HasSubstr("needs 4 x 4 bytes"), HasSubstr("hold 8")));
  EXPECT_THAT(RefusalOf(R"({"w":{"dtype":"I64","shape":[2305843009213693952],)"
                        R"("data_offsets":[0,0]}})"),
              HasSubstr("needs"));  // 2^61 x 8 bytes wraps to 0
}

TEST(Safetensors, RefusesAShapeWhoseProductOverflows) {
  EXPECT_THAT(RefusalOf(R"({"w":{"dtype":"I8","shape":[4294967296,4294967296],)"
                        R"("data_offsets":[0,0]}})"),
              HasSubstr("overflows"));
}

TEST(Safetensors, RefusesRangesOutsideTheFileAndBackwards) {
  EXPECT_THAT(RefusalOf(R"({"w":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}})", "0"),
              HasSubstr("truncated at byte"));
  EXPECT_THAT(RefusalOf(R"({"w":{"dtype":"I8","shape":[1],"data_offsets":[2,1]}})", "01"),
              HasSubstr("run backwards"));
  EXPECT_THAT(RefusalOf(R"({"w":{"dtype":"I8","shape":[1],)"
                        R"("data_offsets":[18446744073709551615,18446744073709551615]}})",
                        "0"),
              HasSubstr("beyond the 1 bytes"));
}

TEST(Safetensors, RefusesMoreTensorsThanTheLimit) {
  std::string header = "{";
  for (int i = 0; i <= 100'000; ++i) {
    header += fmt::format(R"("t{}":{{"dtype":"I8","shape":[0],"data_offsets":[0,0]}},)", i);
  }
  header.back() = '}';
  EXPECT_THAT(Refusal(SafetensorsBytes(header)), HasSubstr("more than 100000 tensors"));
  SafetensorsLimits limits;
  limits.max_tensors = 100'001;
  const auto parsed = Parse(SafetensorsBytes(header), limits);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(parsed->tensors.size(), 100'001u);
}

TEST(Safetensors, RefusesNamesThatAreTooLongEmptyOrTwice) {
  EXPECT_THAT(RefusalOf("{\"" + std::string(513, 'n') + "\":{}}"), HasSubstr("513 bytes"));
  EXPECT_THAT(RefusalOf(R"({"":{}})"), HasSubstr("empty tensor name"));
  EXPECT_THAT(RefusalOf(R"({"a":{"dtype":"I8","shape":[0],"data_offsets":[0,0]},)"
                        R"("a":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}})"),
              HasSubstr("'a' stands twice"));
  EXPECT_THAT(RefusalOf(R"({"__metadata__":{"k":"v","k":"v"}})"), HasSubstr("twice"));
  EXPECT_THAT(RefusalOf(R"({"__metadata__":{},"__metadata__":{}})"), HasSubstr("twice"));
}

TEST(Safetensors, RefusesWhatIsNotAHeaderAndNamesTheByte) {
  EXPECT_THAT(RefusalOf(""), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(RefusalOf("[]"), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(RefusalOf("{} x"), AllOf(HasSubstr("header at byte 12"), HasSubstr("JSON")));
  EXPECT_THAT(RefusalOf(R"({"a":)"), HasSubstr("not valid JSON"));
  EXPECT_THAT(RefusalOf("{\"\xff\":{}}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(RefusalOf(R"({"a":7})"), HasSubstr("a number where none may stand"));
  EXPECT_THAT(RefusalOf(R"({"a":null})"), HasSubstr("a null"));
  EXPECT_THAT(RefusalOf(R"({"a":[]})"), HasSubstr("an array"));
  EXPECT_THAT(RefusalOf(R"({"__metadata__":{"k":1}})"), HasSubstr("a number"));
}

TEST(Safetensors, RefusesTensorsWithPartsMissingRepeatedOrStrange) {
  EXPECT_THAT(RefusalOf(R"({"a":{}})"), HasSubstr("'a' has no 'dtype'"));
  EXPECT_THAT(RefusalOf(R"({"a":{"dtype":"I8"}})"), HasSubstr("no 'shape'"));
  EXPECT_THAT(RefusalOf(R"({"a":{"dtype":"I8","shape":[]}})"), HasSubstr("no 'data_offsets'"));
  EXPECT_THAT(RefusalOf(R"({"a":{"dtype":"I8","dtype":"I8"}})"), HasSubstr("may not stand there"));
  EXPECT_THAT(RefusalOf(R"({"a":{"shape":[],"shape":[]}})"), HasSubstr("may not stand there"));
  EXPECT_THAT(RefusalOf(R"({"a":{"data_offsets":[0]}})"), HasSubstr("must be 2"));
  EXPECT_THAT(RefusalOf(R"({"a":{"shape":[1,1,1,1,1]}})"), HasSubstr("5 dimensions"));
  EXPECT_THAT(RefusalOf(R"({"a":{"shape":[-1]}})"), HasSubstr("negative number -1"));
  EXPECT_THAT(RefusalOf(R"({"a":{"shape":[1.5]}})"), HasSubstr("'1.5'"));
  EXPECT_THAT(RefusalOf(R"({"a":{"shape":[18446744073709551616]}})"), HasSubstr("unsigned 64"));
  EXPECT_THAT(RefusalOf(R"({"a":{"dtype":"Q9"}})"), HasSubstr("unknown dtype 'Q9'"));
}

TEST(Safetensors, ADeepHeaderIsRefusedAtTheFirstLevelTooMany) {
  std::string deep = R"({"a":{"shape":)" + std::string(1'000'000, '[');
  EXPECT_THAT(RefusalOf(deep), AllOf(HasSubstr("byte 24"), HasSubstr("an array where none")));
}

TEST(Safetensors, KnowsDTypesThatNoWeightMayHave) {
  const auto header =
      Parse(SafetensorsBytes(R"({"m":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", "x"));
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->tensors[0].dtype->name, "BOOL");
  EXPECT_FALSE(header->tensors[0].dtype->weight.has_value());
}

TEST(Safetensors, ControlBytesOfANameDoNotReachTheMessage) {
  const std::string message = RefusalOf(R"({"a\u001b[2J":{}})");
  EXPECT_THAT(message, HasSubstr("\\x1b[2J"));
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

TEST(SafetensorsFile, ErrorsBeginWithThePath) {
  const TestDirectory dir;
  const auto file = SafetensorsFile::Open(dir.Write("bad.safetensors", "abc"));
  ASSERT_FALSE(file.has_value());
  EXPECT_THAT(file.error().message, HasSubstr("bad.safetensors: truncated at byte 3"));
}

TEST(SafetensorsWriter, WhatIsWrittenIsReadBack) {
  const TestDirectory dir;
  const std::vector<float> logits = {1.5f, -2.0f, 3.25f, 0.0f, 1e-9f, 7.0f};
  const std::vector<int64_t> ids = {5, -6};
  const std::vector<TensorToWrite> tensors = {
      {"logits", DType::kF32, Shape{2, 3}, std::as_bytes(std::span(logits))},
      {"ids \"quoted\" ｜", DType::kI64, Shape{2}, std::as_bytes(std::span(ids))},
      {"nothing", DType::kBf16, Shape{0, 8}, {}}};
  ASSERT_TRUE(WriteSafetensors(dir / "out.safetensors", tensors, {{"model", "demo"}}).has_value());
  const auto file = SafetensorsFile::Open(dir / "out.safetensors");
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ((*file)->metadata().at("model"), "demo");
  const auto* t = (*file)->Find("logits");
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->shape, (Shape{2, 3}));
  EXPECT_EQ(t->begin % 64, 0u);
  EXPECT_EQ(std::memcmp((*file)->bytes(*t).data(), logits.data(), 24), 0);
  EXPECT_EQ((*file)->Find("ids \"quoted\" ｜")->dtype->name, "I64");
  EXPECT_EQ((*file)->Find("absent"), nullptr);
}

TEST(SafetensorsWriter, RefusesNamesTwiceAndBytesThatDoNotFit) {
  const TestDirectory dir;
  const std::vector<float> one = {1.0f};
  const auto bytes = std::as_bytes(std::span(one));
  const auto refused = [&](std::vector<TensorToWrite> tensors) {
    const auto status = WriteSafetensors(dir / "x.safetensors", tensors);
    return !status && status.error().code == ErrorCode::kInvalidArgument &&
           !std::filesystem::exists(dir / "x.safetensors");
  };
  EXPECT_TRUE(refused({{"a", DType::kF32, Shape{1}, bytes}, {"a", DType::kF32, Shape{1}, bytes}}));
  EXPECT_TRUE(refused({{"a", DType::kF32, Shape{2}, bytes}}));
  EXPECT_TRUE(refused({{"__metadata__", DType::kF32, Shape{1}, bytes}}));
  EXPECT_TRUE(refused({{"\xff", DType::kF32, Shape{1}, bytes}}));
}

}  // namespace
}  // namespace hadal
