// Opens the small checkpoints that the goldens were made with: those of this repository, and those
// of HADAL_REFERENCE_DIR where it is given.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "formats/binder.h"
#include "formats/model_files.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

// Those under `root` that hold a config.json.
std::set<fs::path> CheckpointsIn(const fs::path& root) {
  std::set<fs::path> out;
  std::error_code ec;
  for (fs::directory_iterator it(root, ec), end; !ec && it != end; it.increment(ec)) {
    if (fs::exists(it->path() / "config.json", ec)) out.insert(it->path());
  }
  return out;
}

// Every tensor of the file is asked for under its own shape: all are bound, decoded and finite.
void BindEverything(const Checkpoint& checkpoint) {
  Binder b(checkpoint);
  for (const auto& e : checkpoint.entries()) {
    if (e.name.ends_with("_scale_inv")) continue;
    const bool integer = e.dtype == DType::kI64;
    ASSERT_NE(integer ? b.RequireInteger(e.name, e.shape, e.dtype) : b.Require(e.name, e.shape),
              nullptr)
        << e.name;
    if (integer) continue;
    std::vector<float> values(static_cast<size_t>(e.shape.elements()));
    DecodeRows(e, 0, e.rows(), values.data());
    for (float v : values) ASSERT_TRUE(std::isfinite(v)) << e.name;
  }
  const auto status = b.Finish();
  EXPECT_TRUE(status.has_value()) << status.error().message;
}

void OpenAndBindEverything(const fs::path& directory) {
  SCOPED_TRACE(directory);
  const auto files = OpenModelFiles(directory);
  ASSERT_TRUE(files.has_value()) << files.error().message;
  const TensorEntry* embedding = files->checkpoint->Find("model.embed_tokens.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->shape, (Shape{files->config.vocab_size, files->config.hidden_size}));
  BindEverything(*files->checkpoint);
}

TEST(GoldenFiles, EveryTensorOfTheCommittedCheckpointsIsBound) {
  const auto directories = CheckpointsIn(HADAL_SOURCE_DIR "/tests/golden");
  EXPECT_GE(directories.size(), 9u);
  for (const auto& directory : directories) OpenAndBindEverything(directory);
  OpenAndBindEverything(HADAL_SOURCE_DIR "/models/demo");
}

TEST(GoldenFiles, EveryTensorOfTheReferenceCheckpointsIsBound) {
  const fs::path reference = HADAL_REFERENCE_DIR;
  if (reference.empty()) GTEST_SKIP() << "HADAL_REFERENCE_DIR is empty";
  const auto directories = CheckpointsIn(reference / "goldens");
  EXPECT_FALSE(directories.empty());
  for (const auto& directory : directories) {
    if (directory.filename() != "deepseek-v4") OpenAndBindEverything(directory);
  }
}

TEST(GoldenFiles, AnArchitectureThatIsNotKnownIsRefusedByName) {
  const fs::path reference = HADAL_REFERENCE_DIR;
  if (reference.empty()) GTEST_SKIP() << "HADAL_REFERENCE_DIR is empty";
  const auto files = OpenModelFiles(reference / "goldens/deepseek-v4");
  ASSERT_FALSE(files.has_value());
  EXPECT_EQ(files.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_THAT(files.error().message, testing::HasSubstr("deepseek_v4"));
}

}  // namespace
}  // namespace hadal
