// What OpenModelFiles says about paths that are no models, and whose defaults a GGUF file has.
#include "formats/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/gguf_model.h"
#include "formats/testing_files.h"
#include "formats/weight_writer.h"

namespace hadal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string MessageOf(const std::filesystem::path& path) {
  const auto opened = OpenModelFiles(path);
  EXPECT_FALSE(opened.has_value());
  const Status checked = CheckIsModel(path);
  EXPECT_FALSE(checked.has_value());
  if (opened || checked) return "";
  EXPECT_EQ(opened.error().message, checked.error().message);
  return checked.error().message;
}

TEST(ModelFiles, AMissingPathIsNamedItself) {
  const TestDirectory dir;
  EXPECT_THAT(MessageOf(dir / "none"), AllOf(HasSubstr("none"), Not(HasSubstr("config.json"))));
}

TEST(ModelFiles, ADirectoryOfGgufFilesNamesThem) {
  const TestDirectory dir;
  EXPECT_THAT(MessageOf(dir.path()), AllOf(HasSubstr("no config.json"), Not(HasSubstr("holds"))));
  for (const char* name : {"d.gguf", "c.gguf", "b.gguf", "a.gguf"}) dir.Write(name, "GGUF");
  EXPECT_THAT(MessageOf(dir.path()), HasSubstr("holds a.gguf, b.gguf, c.gguf, ...: give"));
}

TEST(ModelFiles, AFileOfAnotherKindIsNotLookedForBeside) {
  const TestDirectory dir;
  EXPECT_THAT(
      MessageOf(dir.Write("notes.txt", "hello")),
      AllOf(HasSubstr("neither a .safetensors nor a GGUF file"), Not(HasSubstr("config.json"))));
}

TEST(ModelFiles, DefaultsOfAGgufFileAreItsOwnWhateverLiesBeside) {
  const TestDirectory dir;
  dir.Write("generation_config.json", R"({"temperature": 0.1, "top_p": 0.2})");
  GgufMetadata metadata;
  metadata.Add("general.architecture", GgufValue::Text("qwen2"));
  metadata.Add("general.sampling.temp", GgufValue::F32(0.5));
  const DeclaredTensor tensor{"t", DType::kF32, {1}};
  auto writer = NewGgufWriter(dir / "m.gguf", {&tensor, 1}, metadata);
  ASSERT_TRUE(writer.has_value());
  ASSERT_TRUE((*writer)->Append(std::vector<std::byte>(4)).has_value());
  ASSERT_TRUE((*writer)->Finish().has_value());
  const auto defaults = LoadGenerationDefaults(dir / "m.gguf");
  ASSERT_TRUE(defaults.has_value());
  EXPECT_EQ(defaults->temperature, 0.5);
  EXPECT_EQ(defaults->top_p, std::nullopt);
}

}  // namespace
}  // namespace hadal
