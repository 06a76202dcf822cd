#include "formats/gguf.h"

#include <gmock/gmock.h>

#include "formats/testing_files.h"
#include "formats/testing_gguf.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<GgufHeader> Parse(std::string_view bytes, const GgufLimits& limits = {}) {
  return ParseGgufHeader(AsBytes(bytes), limits);
}

// What is said of bytes that must be refused as damaged.
std::string Refusal(std::string_view bytes, const GgufLimits& limits = {}) {
  const auto header = Parse(bytes, limits);
  if (header) return "accepted";
  EXPECT_EQ(header.error().code, ErrorCode::kBadFile) << header.error().message;
  EXPECT_THAT(header.error().message, HasSubstr("byte "));
  return header.error().message;
}
std::string Refusal(const GgufBytes& bytes, const GgufLimits& limits = {}) {
  return Refusal(bytes.Build(), limits);
}

// Two tensors: 2 x 3 floats, and a row of 64 weights as Q8_0 (68 bytes).
GgufBytes TwoTensors() {
  GgufBytes out;
  out.Text("general.architecture", "llama").U32("llama.block_count", 2);
  out.Tensor("token_embd.weight", {3, 2}, 0, 0).Tensor("output.weight", {64}, 8, 32);
  out.Data(Raw<float>({1, 2, 3, 4, 5, 6})).Data(std::string(8, '\0'));
  out.Data(std::string(68, 'q'));
  return out;
}

TEST(Gguf, TensorsHaveTheOutermostDimensionFirstAndTheirBytes) {
  for (uint32_t version : {2u, 3u}) {
    GgufBytes made = TwoTensors();
    made.version = version;
    const std::string bytes = made.Build();
    const auto header = Parse(bytes);
    ASSERT_TRUE(header) << header.error().message;
    EXPECT_EQ(header->version, version);
    EXPECT_EQ(header->data_begin % 32, 0u);
    ASSERT_EQ(header->tensors.size(), 2u);
    const GgufTensor& first = header->tensors[0];
    EXPECT_EQ(first.name, "token_embd.weight");
    EXPECT_EQ(first.shape, (Shape{2, 3}));
    EXPECT_EQ(first.type, TensorType(DType::kF32));
    EXPECT_EQ(bytes.substr(first.begin, first.end - first.begin), Raw<float>({1, 2, 3, 4, 5, 6}));
    const GgufTensor& second = header->tensors[1];
    EXPECT_EQ(second.type, TensorType(QuantType::kQ8_0));
    EXPECT_EQ(second.begin, header->data_begin + 32);
    EXPECT_EQ(bytes.substr(second.begin, second.end - second.begin), std::string(68, 'q'));
  }
}

TEST(Gguf, EveryValueTypeIsRead) {
  GgufBytes made;
  made.Pair("u8", 0, LittleEndian<uint8_t>(200)).Pair("i8", 1, LittleEndian<int8_t>(-5));
  made.Pair("u16", 2, LittleEndian<uint16_t>(60000)).Pair("i16", 3, LittleEndian<int16_t>(-6));
  made.U32("u32", 4000000000u).Pair("i32", 5, LittleEndian<int32_t>(-7));
  made.Pair("f32", 6, LittleEndian(0.5f)).Pair("bool", 7, "\x01").Text("text", "deep");
  made.Pair("u64", 10, LittleEndian<uint64_t>(INT64_MAX));
  made.Pair("i64", 11, LittleEndian<int64_t>(INT64_MIN)).Pair("f64", 12, LittleEndian(0.1));
  made.Array("texts", 8, 2, GgufText("a") + GgufText(""));
  made.Array("ints", 1, 2, std::string("\x01\xff")).Array("reals", 6, 1, LittleEndian(2.0f));
  made.Array("bools", 7, 2, std::string("\0\1", 2)).Array("none", 8, 0, "");
  const auto header = Parse(made.Build());
  ASSERT_TRUE(header) << header.error().message;
  const GgufMetadata& m = header->metadata;
  EXPECT_EQ(m.Int("u8"), 200);
  EXPECT_EQ(m.Int("i8"), -5);
  EXPECT_EQ(m.Int("u16"), 60000);
  EXPECT_EQ(m.Int("i16"), -6);
  EXPECT_EQ(m.Int("u32"), 4000000000);
  EXPECT_EQ(m.Int("i32"), -7);
  EXPECT_EQ(m.Real("f32"), 0.5);
  EXPECT_EQ(m.Bool("bool"), true);
  EXPECT_EQ(*m.Text("text"), "deep");
  EXPECT_EQ(m.Int("u64"), INT64_MAX);
  EXPECT_EQ(m.Int("i64"), INT64_MIN);
  EXPECT_EQ(m.Real("f64"), 0.1);
  EXPECT_THAT(*m.Texts("texts"), ElementsAre("a", ""));
  EXPECT_THAT(*m.Ints("ints"), ElementsAre(1, -1));
  EXPECT_THAT(*m.Reals("reals"), ElementsAre(2.0));
  EXPECT_THAT(std::get<std::vector<uint8_t>>(m.Find("bools")->data), ElementsAre(0, 1));
  EXPECT_THAT(*m.Texts("none"), ElementsAre());
  EXPECT_EQ(m.pairs().size(), 17u);
  EXPECT_EQ(m.pairs()[2].first, "u16");
  EXPECT_EQ(m.pairs()[2].second.element, GgufType::kU16);
}

TEST(Gguf, ALookupOfAnotherKindIsEmpty) {
  GgufBytes made;
  made.U32("n", 3).Text("t", "x");
  const auto header = Parse(made.Build());
  ASSERT_TRUE(header);
  const GgufMetadata& m = header->metadata;
  EXPECT_EQ(m.Real("n"), 3.0);
  EXPECT_EQ(m.Text("n"), nullptr);
  EXPECT_EQ(m.Int("t"), std::nullopt);
  EXPECT_EQ(m.Int("absent"), std::nullopt);
  EXPECT_EQ(m.Find("absent"), nullptr);
  EXPECT_EQ(m.Ints("n"), nullptr);
}

TEST(Gguf, AFileCutAnywhereIsRefused) {
  const std::string whole = TwoTensors().Build();
  ASSERT_TRUE(Parse(whole));
  for (size_t n = 0; n < whole.size(); ++n) {
    const std::string cut = whole.substr(0, n);  // a copy of its own, so that ASan sees an overrun
    EXPECT_NE(Refusal(std::string_view(cut.data(), cut.size())), "accepted") << n;
  }
}

TEST(Gguf, OtherFilesVersionsAndByteOrdersAreNamed) {
  EXPECT_THAT(Refusal("GGML00000000000000000000"),
              HasSubstr("byte 0: the file begins with 'GGML'"));
  GgufBytes made;
  made.version = 1;
  EXPECT_THAT(Refusal(made), HasSubstr("version 1"));
  made.version = 4;
  EXPECT_THAT(Refusal(made), HasSubstr("version is 4; 2 and 3 are read"));
  made.version = 0x03000000;
  EXPECT_THAT(Refusal(made), HasSubstr("big-endian"));
}

TEST(Gguf, CountsAreCheckedAgainstTheFileBeforeAnythingIsAllocated) {
  const std::string front = "GGUF" + LittleEndian<uint32_t>(3);
  for (uint64_t n : {uint64_t{1} << 60, uint64_t{1} << 63, ~uint64_t{0}, uint64_t{90'000}}) {
    EXPECT_THAT(Refusal(front + LittleEndian(n) + LittleEndian<uint64_t>(0)),
                HasSubstr("byte 8: the tensor count is " + std::to_string(n)));
    EXPECT_THAT(Refusal(front + LittleEndian<uint64_t>(0) + LittleEndian(n)),
                HasSubstr("byte 16: the metadata pair count is " + std::to_string(n)));
  }
  for (uint64_t n : {uint64_t{1} << 61, uint64_t{1} << 63, uint64_t{1000}}) {
    GgufBytes array;
    array.Array("a", 8, n, "");
    EXPECT_THAT(Refusal(array), HasSubstr("'a' has " + std::to_string(n) + " elements"));
    GgufBytes numbers;
    numbers.Array("a", 4, n, "");
    EXPECT_THAT(Refusal(numbers), HasSubstr("'a' has " + std::to_string(n) + " elements"));
    GgufBytes text;
    text.Pair("t", 8, LittleEndian(n));
    EXPECT_THAT(Refusal(text), HasSubstr(std::to_string(n)));
  }
}

TEST(Gguf, ValuesThatMayNotBeAreRefused) {
  EXPECT_THAT(Refusal(GgufBytes().Pair("k", 13, "v")),
              HasSubstr("value type of 'k' is 13; 0 to 12"));
  EXPECT_THAT(Refusal(GgufBytes().Array("k", 9, 1, std::string(12, '\0'))),
              HasSubstr("array of arrays"));
  EXPECT_THAT(Refusal(GgufBytes().Pair("k", 7, "\x02")), HasSubstr("a bool must be 0 or 1"));
  EXPECT_THAT(Refusal(GgufBytes().Array("k", 7, 2, "\x01\x03")), HasSubstr("'k' is 3"));
  EXPECT_THAT(Refusal(GgufBytes().Pair("k", 10, LittleEndian(uint64_t{1} << 63))),
              HasSubstr("'k' is 9223372036854775808; at most"));
  EXPECT_THAT(Refusal(GgufBytes().U32("", 1).U32("next", 1)), HasSubstr("a metadata key is empty"));
  EXPECT_THAT(Refusal(GgufBytes().U32("a\nb", 1)), HasSubstr("byte 33: a metadata key"));
  EXPECT_THAT(Refusal(GgufBytes().U32("k", 1).U32("k", 2)), HasSubstr("'k' stands twice"));
}

TEST(Gguf, LimitsHold) {
  GgufLimits limits;
  limits.max_pairs = 1;
  EXPECT_THAT(Refusal(GgufBytes().U32("a", 1).U32("b", 2), limits), HasSubstr("at most 1"));
  limits = {};
  limits.max_tensors = 1;
  EXPECT_THAT(Refusal(TwoTensors(), limits), HasSubstr("tensor count is 2; at most 1"));
  limits = {};
  limits.max_string_bytes = 3;
  EXPECT_THAT(Refusal(GgufBytes().Text("a", "four"), limits), HasSubstr("length of 4; at most 3"));
  limits = {};
  limits.max_key_bytes = 3;
  EXPECT_THAT(Refusal(GgufBytes().U32("four", 1), limits), HasSubstr("length of 4; at most 3"));
  limits = {};
  limits.max_name_bytes = 8;
  EXPECT_THAT(Refusal(TwoTensors(), limits), HasSubstr("length of 17; at most 8"));
  limits = {};
  limits.max_array_elements = 2;
  EXPECT_THAT(Refusal(GgufBytes().Array("a", 0, 3, "abc"), limits), HasSubstr("at most 2"));
  limits = {};
  limits.max_metadata_bytes = 1000;
  EXPECT_TRUE(Parse(GgufBytes().Array("a", 0, 10, std::string(10, 'x')).Build(), limits));
  EXPECT_THAT(Refusal(GgufBytes().Array("a", 0, 200, std::string(200, 'x')), limits),
              HasSubstr("more than 1000 bytes of memory"));
}

TEST(Gguf, TensorsThatCannotBeAreRefused) {
  const auto one = [](const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset,
                      std::string_view name = "w") {
    GgufBytes made;
    made.Tensor(name, ne, type, offset).Data(std::string(256, 'd'));
    return made;
  };
  ASSERT_TRUE(Parse(one({64}, 0, 0).Build()));
  EXPECT_THAT(Refusal(one({}, 0, 0)), HasSubstr("tensor 'w': its rank is 0; 1 to 4"));
  EXPECT_THAT(Refusal(one({1, 1, 1, 1, 1}, 0, 0)), HasSubstr("its rank is 5"));
  EXPECT_THAT(Refusal(one({4, 0}, 0, 0)), HasSubstr("ne[1] is 0"));
  EXPECT_THAT(Refusal(one({uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0)), HasSubstr("overflows"));
  EXPECT_THAT(Refusal(one({uint64_t{1} << 61, 2}, 27, 0)), HasSubstr("2^64"));
  EXPECT_THAT(Refusal(one({~uint64_t{0}}, 0, 0)), HasSubstr("overflows"));
  EXPECT_THAT(Refusal(one({65}, 0, 0)), HasSubstr("needs 260 bytes at offset 0"));
  EXPECT_THAT(Refusal(one({64}, 0, 32)), HasSubstr("the file ends at byte"));
  EXPECT_THAT(Refusal(one({1}, 0, ~uint64_t{31})), HasSubstr("offset is wrong"));
  EXPECT_THAT(Refusal(one({1}, 0, 4)), HasSubstr("offset 4 is not a multiple of the alignment 32"));
  EXPECT_THAT(Refusal(one({33}, 8, 0)), HasSubstr("ne[0] is 33; q8_0 needs a multiple of 32"));
  EXPECT_THAT(Refusal(one({32, 8}, 12, 0)), HasSubstr("q4_k needs a multiple of 256"));
  EXPECT_THAT(Refusal(one({4}, 0, 0, "")), HasSubstr("a tensor name is empty"));
  EXPECT_THAT(Refusal(one({4}, 0, 0, "a\x7f")), HasSubstr("0x7f"));
  EXPECT_THAT(Refusal(one({4}, 4, 0)), HasSubstr("type number 4 is no longer in use"));
  EXPECT_THAT(Refusal(one({4}, 4711, 0)), HasSubstr("type number 4711 is unknown"));
  EXPECT_THAT(Refusal(one({4}, 0, 0).Tensor("w", {4}, 0, 32)),
              HasSubstr("'w': its name stands twice"));
  EXPECT_THAT(Refusal(one({9}, 0, 0).Tensor("v", {4}, 0, 32)), HasSubstr("overlap those of 'w'"));
  EXPECT_THAT(Refusal(one({4}, 0, 0).Tensor("v", {4}, 0, 0)), HasSubstr("overlap"));
  EXPECT_TRUE(Parse(one({4}, 0, 96).Tensor("v", {4}, 0, 0).Build()));  // gaps and order are free
}

TEST(Gguf, ATypeThatIsNotReadIsNamedWithThoseThatAre) {
  for (const auto& [id, name] :
       {std::pair{19u, "IQ1_S"}, {15u, "Q8_K"}, {28u, "F64"}, {34u, "TQ1_0"}}) {
    GgufBytes made;
    made.Tensor("blk.0.ffn_up.weight", {256}, id, 0).Data(std::string(4096, 'd'));
    const auto header = Parse(made.Build());
    ASSERT_FALSE(header);
    EXPECT_EQ(header.error().code, ErrorCode::kUnsupportedModel);
    EXPECT_EQ(header.error().field, "blk.0.ffn_up.weight");
    EXPECT_THAT(header.error().message, HasSubstr(std::string("stored as ") + name));
    EXPECT_THAT(header.error().message, HasSubstr("F32, F16, Q4_0"));
  }
}

TEST(Gguf, TheAlignmentOfTheFileIsUsed) {
  GgufBytes made;
  made.alignment = 128;
  made.U32("general.alignment", 128).Tensor("a", {4}, 0, 0).Tensor("b", {4}, 0, 128);
  made.Data(std::string(144, 'd'));
  const auto header = Parse(made.Build());
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->alignment, 128u);
  EXPECT_EQ(header->data_begin % 128, 0u);
  EXPECT_EQ(header->tensors[1].begin, header->data_begin + 128);
  for (uint32_t bad : {0u, 1u, 4u, 24u, 1u << 21, 0xffffffffu}) {
    EXPECT_THAT(Refusal(GgufBytes().U32("general.alignment", bad)),
                HasSubstr("byte 49: general.alignment is " + std::to_string(bad)));
  }
  EXPECT_THAT(Refusal(GgufBytes().Text("general.alignment", "32")), HasSubstr("not an integer"));
}

TEST(Gguf, TrailingDimensionsOfOneAreKept) {
  GgufBytes made;
  made.Tensor("w", {4, 2, 1}, 0, 0).Data(std::string(32, 'd'));
  const auto header = Parse(made.Build());
  ASSERT_TRUE(header);
  EXPECT_EQ(header->tensors[0].shape, (Shape{1, 2, 4}));
}

TEST(Gguf, AVocabularyWithoutTensorsIsAFile) {
  const auto header = Parse(GgufBytes().Text("general.architecture", "llama").Build());
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_TRUE(header->tensors.empty());
}

// Any change of one byte is refused or gives tensors that lie inside the file.
TEST(Gguf, NoChangedByteEscapesTheChecks) {
  const std::string whole = TwoTensors().Build();
  for (size_t i = 0; i < whole.size(); ++i) {
    for (int v : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      std::string changed = whole;
      changed[i] = static_cast<char>(v);
      const auto header = Parse(changed);
      if (!header) continue;
      for (const GgufTensor& t : header->tensors) {
        EXPECT_LE(t.begin, t.end);
        EXPECT_LE(t.end, changed.size());
      }
    }
  }
}

TEST(GgufFile, TensorsAreReadFromTheMappingEvenWhenTheyAreUnaligned) {
  const TestDirectory dir;
  GgufBytes made;
  made.alignment = 8;
  made.U32("general.alignment", 8).Tensor("a", {1}, 0, 0).Tensor("b", {1}, 0, 8);
  made.Data(Raw<float>({1, 0, 2}));
  const auto path = dir.Write("m.gguf", made.Build());
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file) << file.error().message;
  const GgufTensor* b = (*file)->Find("b");
  ASSERT_NE(b, nullptr);
  float value = 0;
  std::memcpy(&value, (*file)->bytes(*b).data(), sizeof value);
  EXPECT_EQ(value, 2.0f);
  EXPECT_EQ((*file)->Find("c"), nullptr);
  EXPECT_EQ((*file)->total_bytes(), 8u);
  EXPECT_EQ((*file)->parts(), 1u);
  EXPECT_EQ((*file)->path(), path);
  EXPECT_FALSE((*file)->damaged());
  std::filesystem::resize_file(path, 10);
  EXPECT_TRUE((*file)->damaged());
}

TEST(GgufFile, AFileInMemoryIsReadAlike) {
  const std::string text = TwoTensors().Build();
  const auto raw = AsBytes(text);
  const auto file = GgufFile::FromMemory({raw.begin(), raw.end()});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->metadata().Int("llama.block_count"), 2);
  const auto bytes = (*file)->bytes(*(*file)->Find("output.weight"));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
            std::string(68, 'q'));
  EXPECT_FALSE((*file)->damaged());
  EXPECT_FALSE(GgufFile::FromMemory({}));
}

TEST(GgufFile, AMessageNamesThePath) {
  const TestDirectory dir;
  const auto bad = GgufFile::Open(dir.Write("bad.gguf", "GGUF"));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::kBadFile);
  EXPECT_THAT(bad.error().message, HasSubstr("bad.gguf: byte 4"));
  const auto none = GgufFile::Open(dir / "none.gguf");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
}

// Part `number` of three, with one tensor of its own value.
GgufBytes Part(int number, uint32_t tensors = 3) {
  GgufBytes made;
  if (number == 0) made.Text("general.architecture", "llama");
  made.Pair("split.no", 2, LittleEndian(static_cast<uint16_t>(number)));
  made.Pair("split.count", 2, LittleEndian<uint16_t>(3));
  made.Pair("split.tensors.count", 5, LittleEndian(tensors));
  made.Tensor("t" + std::to_string(number), {1}, 0, 0);
  made.Data(Raw<float>({static_cast<float>(number)}));
  return made;
}
std::string PartName(int number) { return fmt::format("m-0000{}-of-00003.gguf", number + 1); }

TEST(GgufFile, AnyPartOfASplitOpensAll) {
  const TestDirectory dir;
  for (int i = 0; i < 3; ++i) dir.Write(PartName(i), Part(i).Build());
  for (int given = 0; given < 3; ++given) {
    const auto file = GgufFile::Open(dir / PartName(given));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ((*file)->parts(), 3u);
    EXPECT_EQ((*file)->tensors().size(), 3u);
    EXPECT_EQ(*(*file)->metadata().Text("general.architecture"), "llama");
    EXPECT_EQ((*file)->metadata().Int("split.no"), 0);
    for (int i = 0; i < 3; ++i) {
      const GgufTensor* t = (*file)->Find("t" + std::to_string(i));
      ASSERT_NE(t, nullptr);
      EXPECT_EQ(t->part, static_cast<size_t>(i));
      float value = -1;
      std::memcpy(&value, (*file)->bytes(*t).data(), sizeof value);
      EXPECT_EQ(value, static_cast<float>(i));
    }
  }
}

std::string SplitRefusal(const TestDirectory& dir, ErrorCode code = ErrorCode::kBadFile) {
  const auto file = GgufFile::Open(dir / PartName(0));
  if (file) return "accepted";
  EXPECT_EQ(file.error().code, code) << file.error().message;
  return file.error().message;
}

TEST(GgufFile, PartsThatDoNotBelongTogetherAreRefused) {
  const TestDirectory dir;
  for (int i = 0; i < 2; ++i) dir.Write(PartName(i), Part(i).Build());
  EXPECT_THAT(SplitRefusal(dir, ErrorCode::kNotFound), HasSubstr("part 3 of 3 is missing"));
  dir.Write(PartName(2), Part(1).Build());
  EXPECT_THAT(SplitRefusal(dir), HasSubstr("split.no is 1"));
  dir.Write(PartName(2), Part(2, 4).Build());
  EXPECT_THAT(SplitRefusal(dir), HasSubstr("split.tensors.count 4"));
  dir.Write(PartName(2), GgufBytes().Text("general.architecture", "llama").Build());
  EXPECT_THAT(SplitRefusal(dir), HasSubstr("split.count 1"));
  dir.Write(PartName(2), Part(2).Tensor("t0", {1}, 0, 32).Data(std::string(32, 'x')).Build());
  EXPECT_THAT(SplitRefusal(dir), HasSubstr("tensor 't0' stands in part 1 too"));
  dir.Write(PartName(2), "GGUF");
  EXPECT_THAT(SplitRefusal(dir), HasSubstr("m-00003-of-00003.gguf: byte 4"));
  for (int i = 0; i < 3; ++i) dir.Write(PartName(i), Part(i, 7).Build());
  EXPECT_THAT(SplitRefusal(dir), HasSubstr("split.tensors.count is 7, but the 3 parts have 3"));
}

TEST(GgufFile, APartUnderAnotherNameSaysWhatItMustBe) {
  const TestDirectory dir;
  for (const char* name : {"part.gguf", "m-00001-of-00004.gguf", "m-00003-of-00003.gguf"}) {
    const auto file = GgufFile::Open(dir.Write(name, Part(1).Build()));
    ASSERT_FALSE(file);
    EXPECT_THAT(file.error().message, HasSubstr("NAME-00002-of-00003.gguf"));
  }
}

TEST(GgufFile, SplitKeysOutOfRangeAreRefused) {
  const TestDirectory dir;
  GgufLimits limits;
  limits.max_splits = 2;
  dir.Write(PartName(0), Part(0).Build());
  auto file = GgufFile::Open(dir / PartName(0), limits);
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("split.count is 3; it must be 0 to 2"));
  file = GgufFile::Open(dir.Write("m.gguf", GgufBytes().U32("split.count", 3).Build()));
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("split.no is missing"));
}

TEST(GgufFile, IsGgufGoesByNameOrMagic) {
  const TestDirectory dir;
  EXPECT_TRUE(IsGguf("/nowhere/m.GGUF"));
  EXPECT_FALSE(IsGguf("/nowhere/m"));
  EXPECT_TRUE(IsGguf(dir.Write("blob", TwoTensors().Build())));
  EXPECT_FALSE(IsGguf(dir.Write("short", "GG")));
  std::filesystem::create_directory(dir / "folder.gguf");
  EXPECT_FALSE(IsGguf(dir / "folder.gguf"));
}

// Vocabularies as published, written by another program.
TEST(GgufFile, PublishedVocabulariesAreRead) {
  if (std::string_view(HADAL_REFERENCE_DIR).empty()) GTEST_SKIP() << "no HADAL_REFERENCE_DIR";
  const std::filesystem::path vocab = std::filesystem::path(HADAL_REFERENCE_DIR) / "vocab";
  for (const auto& [name, tokens] :
       {std::pair{"deepseek-coder.gguf", 32256u}, {"deepseek-llm.gguf", 102400u}}) {
    const auto file = GgufFile::Open(vocab / name);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_TRUE((*file)->tensors().empty());
    ASSERT_NE((*file)->metadata().Texts("tokenizer.ggml.tokens"), nullptr);
    EXPECT_EQ((*file)->metadata().Texts("tokenizer.ggml.tokens")->size(), tokens);
    EXPECT_EQ((*file)->metadata().Ints("tokenizer.ggml.token_type")->size(), tokens);
  }
}

}  // namespace
}  // namespace hadal
