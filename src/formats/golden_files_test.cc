// Opens the small checkpoints that the goldens were made with, where they are present.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "formats/binder.h"
#include "formats/model_files.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

std::set<fs::path> GoldenDirectories() {
  std::set<fs::path> out;
  for (const char* root :
       {HADAL_SOURCE_DIR "/tests/golden", HADAL_SOURCE_DIR "/../shared/goldens"}) {
    std::error_code ec;
    for (fs::directory_iterator it(root, ec), end; !ec && it != end; it.increment(ec)) {
      if (fs::exists(it->path() / "config.json", ec)) out.insert(it->path());
    }
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
    EXPECT_FALSE(HasNonFinite(e)) << e.name;
    if (integer) continue;
    std::vector<float> row(static_cast<size_t>(e.cols()));
    DecodeRows(e, e.rows() - 1, 1, row.data());
    for (float v : row) ASSERT_TRUE(std::isfinite(v)) << e.name;
  }
  const auto status = b.Finish();
  EXPECT_TRUE(status.has_value()) << status.error().message;
}

TEST(GoldenFiles, ConfigsParseAndEveryTensorIsBound) {
  const auto directories = GoldenDirectories();
  if (directories.empty()) GTEST_SKIP() << "no golden checkpoints are present";
  for (const auto& directory : directories) {
    SCOPED_TRACE(directory);
    auto files = OpenModelFiles(directory);
    if (!files && files.error().code == ErrorCode::kUnsupportedModel) {
      EXPECT_THAT(files.error().message, testing::HasSubstr("deepseek_v4"));
      continue;
    }
    ASSERT_TRUE(files.has_value()) << files.error().message;
    const TensorEntry* embedding = files->checkpoint->Find("model.embed_tokens.weight");
    ASSERT_NE(embedding, nullptr);
    EXPECT_EQ(embedding->shape, (Shape{files->config.vocab_size, files->config.hidden_size}));
    BindEverything(*files->checkpoint);
  }
}

}  // namespace
}  // namespace hadal
