#include "formats/weight_writer.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "formats/safetensors.h"
#include "formats/testing_files.h"
#include "formats/testing_gguf.h"

namespace hadal {
namespace {

using testing::HasSubstr;

std::string FileText(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::vector<std::string> NamesIn(const TestDirectory& dir) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

// Distinct bytes, so that a byte in another place is seen.
std::string Pattern(size_t n, size_t seed) {
  std::string out(n, '\0');
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<char>((i * 31 + seed * 7 + 1) & 0xff);
  return out;
}

std::string TextOf(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

GgufMetadata OneText(std::string_view value) {
  GgufMetadata metadata;
  metadata.Add("general.architecture", GgufValue::Text("llama"));
  metadata.Add("hadal.loss", GgufValue::Text(std::string(value)));
  return metadata;
}

const std::vector<DeclaredTensor>& TwoFloats() {
  static const std::vector<DeclaredTensor> tensors = {{"a", DType::kF32, Shape{1}},
                                                      {"b", DType::kF32, Shape{1}}};
  return tensors;
}

// The same calls for both formats.
using Maker = Result<std::unique_ptr<WeightWriter>> (*)(const std::filesystem::path&,
                                                        std::span<const DeclaredTensor>);
Result<std::unique_ptr<WeightWriter>> MakeGguf(const std::filesystem::path& path,
                                               std::span<const DeclaredTensor> tensors) {
  return NewGgufWriter(path, tensors, OneText("0123456789"));
}
Result<std::unique_ptr<WeightWriter>> MakeSafetensors(const std::filesystem::path& path,
                                                      std::span<const DeclaredTensor> tensors) {
  return NewSafetensorsWriter(path, tensors, {{"hadal.loss", "0123456789"}});
}
class WeightWriterTest : public testing::TestWithParam<Maker> {
 protected:
  std::unique_ptr<WeightWriter> Make(std::span<const DeclaredTensor> tensors) {
    auto writer = GetParam()(path_, tensors);
    EXPECT_TRUE(writer) << writer.error().message;
    return writer ? std::move(*writer) : nullptr;
  }
  TestDirectory dir_;
  std::filesystem::path path_ = dir_ / "model.out";
};
INSTANTIATE_TEST_SUITE_P(Formats, WeightWriterTest, testing::Values(MakeGguf, MakeSafetensors));

TEST_P(WeightWriterTest, TheFinalNameAppearsOnlyInFinish) {
  auto writer = Make(TwoFloats());
  ASSERT_TRUE(writer->Append(AsBytes("abcdefgh").subspan(0, 3)));
  ASSERT_TRUE(writer->Append(AsBytes("d")));
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_EQ(writer->temporary_path().parent_path(), dir_.path());
  EXPECT_EQ(writer->temporary_path().extension(), ".out");
  ASSERT_TRUE(writer->Append(AsBytes("efgh")));
  const std::string before = FileText(writer->temporary_path());
  EXPECT_EQ(before.size(), writer->file_bytes());
  EXPECT_THAT(before, HasSubstr("efgh"));
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_TRUE(writer->Finish());
  EXPECT_EQ(FileText(path_), before);
  writer.reset();
  EXPECT_THAT(NamesIn(dir_), testing::ElementsAre("model.out"));
}

TEST_P(WeightWriterTest, WithoutFinishNothingIsLeft) {
  dir_.Write("model.out", "the model before");
  auto writer = Make(TwoFloats());
  ASSERT_TRUE(writer->Append(AsBytes("abcd")));
  writer.reset();
  EXPECT_THAT(NamesIn(dir_), testing::ElementsAre("model.out"));
  EXPECT_EQ(FileText(path_), "the model before");
}

TEST_P(WeightWriterTest, BytesNeverSpanTwoTensors) {
  auto writer = Make(TwoFloats());
  auto status = writer->Append(AsBytes("abcde"));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(status.error().field, "a");
  ASSERT_TRUE(writer->Append(AsBytes("abcd")));
  status = writer->Finish();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("'b' has 0 of its 4 bytes"));
  ASSERT_TRUE(writer->Append(AsBytes("efgh")));
  status = writer->Append(AsBytes("i"));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("after the last of the 2 declared tensors"));
  EXPECT_TRUE(writer->Finish());
}

TEST_P(WeightWriterTest, ATextIsReplacedByOneOfTheSameLength) {
  auto writer = Make(TwoFloats());
  ASSERT_TRUE(writer->Append(AsBytes("abcd")));
  ASSERT_TRUE(writer->PatchText("hadal.loss", "{\"kl\":0.1}"));
  EXPECT_FALSE(writer->PatchText("hadal.loss", "short"));
  EXPECT_FALSE(writer->PatchText("absent", "0123456789"));
  ASSERT_TRUE(writer->Append(AsBytes("efgh")));
  ASSERT_TRUE(writer->PatchText("hadal.loss", "{\"kl\":\"b\"}"));
  ASSERT_TRUE(writer->Finish());
  EXPECT_FALSE(writer->PatchText("hadal.loss", "0123456789"));
  if (IsGguf(path_)) {
    const auto file = GgufFile::Open(path_);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(*(*file)->metadata().Text("hadal.loss"), "{\"kl\":\"b\"}");
    EXPECT_EQ(*(*file)->metadata().Text("general.architecture"), "llama");
    EXPECT_EQ(TextOf((*file)->bytes(*(*file)->Find("b"))), "efgh");
  } else {
    const auto file = SafetensorsFile::Open(path_);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ((*file)->metadata().at("hadal.loss"), "{\"kl\":\"b\"}");
    EXPECT_EQ(TextOf((*file)->bytes(*(*file)->Find("b"))), "efgh");
  }
}

TEST_P(WeightWriterTest, AKilledProcessLeavesNothingUnderTheFinalName) {
  const std::vector<DeclaredTensor> tensors = {{"a", DType::kI8, Shape{8 << 20}},
                                               {"b", DType::kI8, Shape{8 << 20}}};
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto writer = GetParam()(path_, tensors);
    const std::string half = Pattern(8 << 20, 1);
    if (!writer || !(*writer)->Append(AsBytes(half))) _exit(1);
    kill(getpid(), SIGKILL);
    _exit(2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

// Restores the limit of file sizes; a write beyond it fails with EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_ = {};
  void (*handler_)(int) = nullptr;
};

TEST_P(WeightWriterTest, AWriteThatFailsIsSaidAndNothingIsFinished) {
  const std::string bytes = Pattern(16 << 20, 2);
  auto writer = Make(std::vector<DeclaredTensor>{{"a", DType::kI8, Shape{16 << 20}}});
  Status wrote, finished;
  {
    const FileSizeLimit limit(8 << 20);
    wrote = writer->Append(AsBytes(bytes));
  }
  ASSERT_FALSE(wrote);
  EXPECT_EQ(wrote.error().code, ErrorCode::kIo);
  EXPECT_THAT(wrote.error().message, HasSubstr(path_.string() + ": writing"));
  finished = writer->Finish();
  EXPECT_FALSE(finished);
  writer.reset();
  EXPECT_TRUE(NamesIn(dir_).empty());
}

TEST_P(WeightWriterTest, TooLittleRoomIsSaidBeforeAnythingIsWritten) {
  const std::vector<DeclaredTensor> small = {{"a", DType::kI8, Shape{16 << 20}}};
  const auto message = [&](std::span<const DeclaredTensor> tensors) -> std::string {
    const auto writer = GetParam()(path_, tensors);
    if (writer) return "accepted";
    EXPECT_EQ(writer.error().code, ErrorCode::kIo);
    return writer.error().message;
  };
  {
    const FileSizeLimit limit(1 << 20);
    EXPECT_THAT(message(small), HasSubstr("may write files of at most 1048576 bytes"));
  }
  const auto free = std::filesystem::space(dir_.path()).available;
  const std::vector<DeclaredTensor> large = {
      {"a", DType::kI8, Shape{static_cast<int64_t>(free) + (int64_t{1} << 34)}}};
  EXPECT_THAT(message(large), HasSubstr("the disk is too full: the file needs " +
                                        std::to_string(free + (uint64_t{1} << 34)).substr(0, 2)));
  EXPECT_TRUE(NamesIn(dir_).empty());
}

TEST_P(WeightWriterTest, PathsThatCannotBecomeTheFileAreRefused) {
  std::filesystem::create_directory(dir_ / "folder");
  auto writer = GetParam()(dir_ / "folder", TwoFloats());
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kInvalidArgument);
  writer = GetParam()(dir_ / "absent" / "model.out", TwoFloats());
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kIo);
  writer = GetParam()(dir_ / std::string(300, 'x'), TwoFloats());
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kIo);
}

TEST_P(WeightWriterTest, TensorsThatCannotBeAreRefused) {
  const auto refused = [&](std::vector<DeclaredTensor> tensors) {
    const auto writer = GetParam()(path_, tensors);
    return !writer && writer.error().code == ErrorCode::kInvalidArgument && NamesIn(dir_).empty();
  };
  EXPECT_TRUE(refused({{"", DType::kF32, Shape{1}}}));
  EXPECT_TRUE(refused({{"a", DType::kF32, Shape{1}}, {"a", DType::kF32, Shape{1}}}));
  EXPECT_TRUE(refused({{"a", DType::kF32, Shape{int64_t{1} << 61}}}));
  EXPECT_TRUE(refused({{"a", DType::kF32, Shape{-1}}}));
  EXPECT_TRUE(refused({{"a", QuantType::kU4Z, Shape{32}}}));
  EXPECT_TRUE(refused({{"a", QuantType::kQ8_0, Shape{33}}}));
}

TEST(GgufWriter, EveryTensorTypeIsReadBack) {
  std::vector<DeclaredTensor> tensors;
  std::vector<std::string> data;
  for (uint32_t id = 0; id < 64; ++id) {
    const auto type = TensorTypeOfGguf(id);
    if (!type) continue;
    tensors.push_back({fmt::format("t{}", id), *type, Shape{2, 1, 3, 256}});
    data.push_back(Pattern(static_cast<size_t>(BytesOf(*type, 6, 256)), id));
  }
  tensors.push_back({"odd", DType::kF16, Shape{5}});
  data.push_back(Pattern(10, 99));
  ASSERT_EQ(tensors.size(), 20u);
  const TestDirectory dir;
  auto writer = NewGgufWriter(dir / "m.gguf", tensors, OneText(""));
  ASSERT_TRUE(writer) << writer.error().message;
  for (const auto& bytes : data) ASSERT_TRUE((*writer)->Append(AsBytes(bytes)));
  ASSERT_TRUE((*writer)->Finish());
  const auto file = GgufFile::Open(dir / "m.gguf");
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ((*file)->tensors().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const GgufTensor& t = (*file)->tensors()[i];
    EXPECT_EQ(t.name, tensors[i].name);
    EXPECT_EQ(t.type, tensors[i].type);
    EXPECT_EQ(t.shape, tensors[i].shape);
    EXPECT_EQ(t.begin % 32, 0u);
    EXPECT_EQ(TextOf((*file)->bytes(t)), data[i]) << t.name;
  }
  EXPECT_EQ((*writer)->file_bytes(), std::filesystem::file_size(dir / "m.gguf"));
}

GgufMetadata AllValues() {
  GgufMetadata m;
  const auto add = [&m](const char* key, GgufType type, bool array, GgufValue::Data data) {
    EXPECT_TRUE(m.Add(key, {type, array, std::move(data)}));
  };
  using Ints = std::vector<int64_t>;
  add("u8", GgufType::kU8, false, int64_t{255});
  add("i8", GgufType::kI8, false, int64_t{-128});
  add("u16", GgufType::kU16, false, int64_t{65535});
  add("i16", GgufType::kI16, false, int64_t{-32768});
  add("u32", GgufType::kU32, false, int64_t{4294967295});
  add("i32", GgufType::kI32, false, int64_t{INT32_MIN});
  add("u64", GgufType::kU64, false, int64_t{INT64_MAX});
  add("i64", GgufType::kI64, false, int64_t{INT64_MIN});
  add("f32", GgufType::kF32, false, 0.25);
  add("f64", GgufType::kF64, false, 0.1);
  add("bool", GgufType::kBool, false, true);
  add("text", GgufType::kString, false, std::string("深度\0x", 8));
  add("u8s", GgufType::kU8, true, Ints{0, 255});
  add("i16s", GgufType::kI16, true, Ints{-1, 1});
  add("u64s", GgufType::kU64, true, Ints{1});
  add("f32s", GgufType::kF32, true, std::vector<double>{1.5, -2});
  add("f64s", GgufType::kF64, true, std::vector<double>{0.1});
  add("bools", GgufType::kBool, true, std::vector<uint8_t>{1, 0});
  add("texts", GgufType::kString, true, std::vector<std::string>{"", "ab"});
  add("empty", GgufType::kI32, true, Ints{});
  return m;
}

TEST(GgufWriter, EveryValueTypeIsReadBack) {
  const TestDirectory dir;
  const GgufMetadata metadata = AllValues();
  auto writer = NewGgufWriter(dir / "m.gguf", {}, metadata);
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE((*writer)->Finish());
  const auto file = GgufFile::Open(dir / "m.gguf");
  ASSERT_TRUE(file) << file.error().message;
  const auto& read = (*file)->metadata().pairs();
  ASSERT_EQ(read.size(), metadata.pairs().size());
  for (size_t i = 0; i < read.size(); ++i) {
    const auto& [key, value] = metadata.pairs()[i];
    EXPECT_EQ(read[i].first, key);
    EXPECT_EQ(read[i].second.element, value.element) << key;
    EXPECT_EQ(read[i].second.array, value.array) << key;
    EXPECT_EQ(read[i].second.data, value.data) << key;
  }
}

TEST(GgufWriter, ItsBytesAreThoseOfTheFormat) {
  const TestDirectory dir;
  GgufMetadata metadata;
  metadata.Add("general.architecture", GgufValue::Text("llama"));
  metadata.Add("llama.block_count", GgufValue::U32(2));
  metadata.Add("ids", GgufValue::I32s({7, -1}));
  const std::vector<DeclaredTensor> tensors = {{"a", DType::kF32, Shape{2, 3}},
                                               {"b", QuantType::kQ8_0, Shape{32}}};
  auto writer = NewGgufWriter(dir / "m.gguf", tensors, metadata);
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE((*writer)->Append(AsBytes(Pattern(24, 1))));
  ASSERT_TRUE((*writer)->Append(AsBytes(Pattern(34, 2))));
  ASSERT_TRUE((*writer)->Finish());
  GgufBytes expected;
  expected.Text("general.architecture", "llama").U32("llama.block_count", 2);
  expected.Array("ids", 5, 2, LittleEndian<int32_t>(7) + LittleEndian<int32_t>(-1));
  expected.Tensor("a", {3, 2}, 0, 0).Tensor("b", {32}, 8, 32);
  expected.Data(Pattern(24, 1) + std::string(8, '\0'));
  expected.Data(Pattern(34, 2) + std::string(30, '\0'));
  EXPECT_EQ(FileText(dir / "m.gguf"), expected.Build());
}

TEST(GgufWriter, MetadataThatCannotBeStoredIsRefusedByKey) {
  const TestDirectory dir;
  const auto refused = [&](std::string key, GgufValue value) {
    GgufMetadata metadata;
    metadata.Add(key, std::move(value));
    const auto writer = NewGgufWriter(dir / "m.gguf", {}, metadata);
    return !writer && writer.error().code == ErrorCode::kInvalidArgument &&
           writer.error().field == key;
  };
  EXPECT_TRUE(refused("n", GgufValue::U32(-1)));
  EXPECT_TRUE(refused("n", GgufValue::U32(int64_t{1} << 32)));
  EXPECT_TRUE(refused("n", GgufValue::F32(1e300)));
  EXPECT_TRUE(refused("n", {GgufType::kI8, true, std::vector<int64_t>{1, 128}}));
  EXPECT_TRUE(refused("n", {GgufType::kI8, false, std::string("text")}));
  EXPECT_TRUE(refused("n", {GgufType::kString, false, int64_t{1}}));
  EXPECT_TRUE(refused("n", {GgufType::kI8, true, int64_t{1}}));
  EXPECT_TRUE(refused("n", {GgufType::kI8, true, std::vector<std::string>{"x"}}));
  EXPECT_TRUE(refused("", GgufValue::U32(1)));
  EXPECT_TRUE(refused("split.count", GgufValue::U32(2)));
  EXPECT_TRUE(refused("general.alignment", GgufValue::U32(64)));
  EXPECT_FALSE(refused("general.alignment", GgufValue::U32(32)));
}

TEST(GgufWriter, TensorsThatTheFormatCannotHoldAreRefused) {
  const TestDirectory dir;
  const auto refused = [&](DeclaredTensor tensor) {
    const auto writer = NewGgufWriter(dir / "m.gguf", {&tensor, 1}, {});
    return !writer && writer.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused({"a", DType::kF8E4M3, Shape{4}}));
  EXPECT_TRUE(refused({"a", DType::kF32, Shape{}}));
  EXPECT_TRUE(refused({"a", DType::kF32, Shape{0, 4}}));
  EXPECT_TRUE(refused({std::string(64, 'a'), DType::kF32, Shape{4}}));
  EXPECT_FALSE(refused({std::string(63, 'a'), DType::kF32, Shape{4}}));
}

TEST(SafetensorsStream, EveryPlainTypeIsReadBackAndTheDataAreAligned) {
  std::vector<DeclaredTensor> tensors;
  std::vector<std::string> data;
  for (DType type : {DType::kF32, DType::kF16, DType::kBf16, DType::kF8E4M3, DType::kI8,
                     DType::kI32, DType::kI64, DType::kU8}) {
    tensors.push_back({std::string(NameOf(type)), type, Shape{3, 5}});
    data.push_back(Pattern(15 * SizeOf(type), data.size()));
  }
  tensors.push_back({"none", DType::kF32, Shape{0}});
  data.push_back("");
  const TestDirectory dir;
  auto writer = NewSafetensorsWriter(dir / "m.safetensors", tensors, {{"k", "a \"quoted\" text"}});
  ASSERT_TRUE(writer) << writer.error().message;
  for (const auto& bytes : data) ASSERT_TRUE((*writer)->Append(AsBytes(bytes)));
  ASSERT_TRUE((*writer)->Finish());
  const auto file = SafetensorsFile::Open(dir / "m.safetensors");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->metadata().at("k"), "a \"quoted\" text");
  EXPECT_EQ((*file)->tensors().size(), tensors.size());
  EXPECT_EQ((*file)->tensors()[0].begin % 64, 0u);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const SafetensorsTensor* t = (*file)->Find(tensors[i].name);
    ASSERT_NE(t, nullptr);
    EXPECT_EQ(t->dtype->name, NameOf(std::get<DType>(tensors[i].type)));
    EXPECT_EQ(t->shape, tensors[i].shape);
    EXPECT_EQ(TextOf((*file)->bytes(*t)), data[i]);
  }
}

TEST(SafetensorsStream, BlocksAndTextsOtherThanUtf8AreRefused) {
  const TestDirectory dir;
  const std::vector<DeclaredTensor> blocks = {{"a", QuantType::kQ8_0, Shape{32}}};
  auto writer = NewSafetensorsWriter(dir / "m", blocks, {});
  ASSERT_FALSE(writer);
  EXPECT_THAT(writer.error().message, HasSubstr("no type q8_0"));
  EXPECT_FALSE(NewSafetensorsWriter(dir / "m", {}, {{"k", "\xff"}}));
  writer = NewSafetensorsWriter(dir / "m", {}, {{"k", "xx"}});
  ASSERT_TRUE(writer);
  EXPECT_FALSE((*writer)->PatchText("k", "\xff\xff"));
  EXPECT_TRUE((*writer)->PatchText("k", "\"\""));
  ASSERT_TRUE((*writer)->Finish());
  const auto file = SafetensorsFile::Open(dir / "m");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->metadata().at("k"), "\"\"");
}

}  // namespace
}  // namespace hadal
