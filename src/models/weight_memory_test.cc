// Models of which a part stays in the file: the same logits, and a file that changes is noticed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <limits>

#include "models/testing_gguf_model.h"
#include "models/testing_model.h"
#include "models/tiny_checkpoints.h"

namespace hadal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::vector<TokenId> kTokens = {1, 7, 36, 0, 12, 9, 9, 30, 2};

Result<std::unique_ptr<Model>> LoadWith(const std::filesystem::path& path, Backend& backend,
                                        size_t memory) {
  LoadOptions options;
  options.weight_memory = memory;
  return LoadModel(path, backend, options);
}

void DropFromCache(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY);
  fdatasync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
}

// All in memory, half of it, nothing: from a cache and from a disk.
void ExpectSameLogits(const std::filesystem::path& path, const std::filesystem::path& file) {
  for (const Isa isa : SupportedIsas()) {
    SCOPED_TRACE(NameOf(isa));
    const auto backend = NewBackend(isa);
    const auto whole = LoadWith(path, *backend, SIZE_MAX);
    ASSERT_TRUE(whole.has_value()) << whole.error().message;
    const ModelInfo& all = (*whole)->info();
    EXPECT_EQ(all.file_bytes, 0u);
    const auto expected = AllLogits(**whole, *backend, kTokens, 4);
    DropFromCache(file);
    for (const size_t memory : {all.resident_bytes, all.resident_bytes / 2, size_t{0}}) {
      SCOPED_TRACE(memory);
      const auto model = LoadWith(path, *backend, memory);
      ASSERT_TRUE(model.has_value()) << model.error().message;
      const ModelInfo& info = (*model)->info();
      EXPECT_EQ(info.parameters, all.parameters);
      EXPECT_EQ(info.file_bytes > 0, memory < all.resident_bytes);
      EXPECT_EQ(info.resident_bytes < all.resident_bytes, memory < all.resident_bytes);
      EXPECT_EQ(AllLogits(**model, *backend, kTokens, 4), expected);
    }
  }
}

class WeightMemoryTest : public testing::Test {
 protected:
  ModelDirectory directory_;
};

TEST_F(WeightMemoryTest, TheLogitsOfADenseModelAreTheSame) {
  TinyDense().Write(directory_);
  ExpectSameLogits(directory_.path(), directory_.checkpoint());
}

TEST_F(WeightMemoryTest, TheLogitsOfAMixtureOfExpertsAreTheSame) {
  TinyLatent().Write(directory_);
  ExpectSameLogits(directory_.path(), directory_.checkpoint());
}

// FP8 with its scales, which are looked at in the mapping, and the hub's row order.
TEST_F(WeightMemoryTest, TheLogitsOfHubCheckpointsAreTheSame) {
  for (const char* golden : {"deepseek-v3-fp8", "llama-linear", "qwen3"}) {
    SCOPED_TRACE(golden);
    const auto path = std::filesystem::path(HADAL_SOURCE_DIR) / "tests/golden" / golden;
    ExpectSameLogits(path, path / "model.safetensors");
  }
}

class WeightMemoryOfGguf : public testing::TestWithParam<std::tuple<const char*, TensorType>> {};

TEST_P(WeightMemoryOfGguf, TheLogitsAreTheSame) {
  const auto& [golden, type] = GetParam();
  const ModelDirectory directory;
  const auto path = directory.path() / "model.gguf";
  WriteGguf(std::filesystem::path(HADAL_SOURCE_DIR) / "tests/golden" / golden, path, type);
  ExpectSameLogits(path, path);
}

INSTANTIATE_TEST_SUITE_P(
    , WeightMemoryOfGguf,
    testing::Combine(testing::Values("llama3", "qwen2-tied", "deepseek-v2-lite", "deepseek-v3"),
                     testing::Values(TensorType(QuantType::kQ4_0), TensorType(QuantType::kQ8_0),
                                     TensorType(DType::kF16))),
    [](const auto& tested) {
      std::string name = std::string(std::get<0>(tested.param)) + "_" +
                         std::string(NameOf(std::get<1>(tested.param)));
      std::ranges::replace(name, '-', '_');
      return name;
    });

TEST_F(WeightMemoryTest, EmbeddingsGoFirstThenExpertsThenTheRest) {
  TinyLatent().Write(directory_);
  const auto backend = NewBackend();
  const auto whole = LoadWith(directory_.path(), *backend, SIZE_MAX);
  ASSERT_TRUE(whole.has_value());
  const size_t all = (*whole)->info().resident_bytes, experts = (*whole)->info().expert_bytes;
  const size_t embedding = 37 * 24 * sizeof(float);
  const auto file_bytes = [&](size_t memory) {
    return (*LoadWith(directory_.path(), *backend, memory))->info().file_bytes;
  };
  EXPECT_EQ(file_bytes(all), 0u);
  // Vectors and latents are not counted, so this is what a little less of the others leaves out.
  EXPECT_GE(file_bytes(0), embedding + 6 * 3 * 10 * 24 * sizeof(float));
  size_t memory = all;
  while (file_bytes(memory) == 0) memory -= 64;
  EXPECT_EQ(file_bytes(memory), embedding);
  while (file_bytes(memory) == embedding) memory -= 64;
  EXPECT_LE(file_bytes(memory) - embedding, experts);
}

class ChangedFileTest : public WeightMemoryTest {
 protected:
  // Loads, changes the file, and says what Forward says then, twice.
  template <class F>
  std::string ErrorAfter(const F& change, size_t memory = 0) {
    const auto model = LoadWith(directory_.path(), *backend_, memory);
    EXPECT_TRUE(model.has_value()) << model.error().message;
    if (!model) return "";
    EXPECT_FALSE(AllLogits(**model, *backend_, kTokens, 4).empty());
    change();
    const std::string first = Error(**model);
    EXPECT_EQ(Error(**model), first) << "it must not come back";
    return first;
  }
  std::string Error(Model& model) {
    const auto kv = KvStorage::Allocate(*backend_, model.kv_layout(), 4, 8);
    TestSequence sequence(kTokens, 8, 3);
    TestStep step;
    step.Add(sequence, 9, 8);
    std::vector<float> logits(9 * static_cast<size_t>(model.info().vocab));
    const Status status = model.Forward(step.input(), **kv, logits.data());
    if (status) return "";
    EXPECT_EQ(status.error().code, ErrorCode::kBadFile);
    return status.error().message;
  }

  std::unique_ptr<Backend> backend_ = NewBackend();
};

TEST_F(ChangedFileTest, ACutFileEndsEveryStepWithAnError) {
  TinyDense().Write(directory_);
  EXPECT_THAT(ErrorAfter([&] { std::filesystem::resize_file(directory_.checkpoint(), 4096); }),
              HasSubstr("became shorter"));
}

TEST_F(ChangedFileTest, AFileThatIsWrittenToEndsEveryStepWithAnError) {
  TinyDense().Write(directory_);
  const auto write = [&] {
    const timespec later[2] = {{}, {4'000'000'000, 1}};
    ASSERT_EQ(utimensat(AT_FDCWD, directory_.checkpoint().c_str(), later, 0), 0);
  };
  EXPECT_THAT(ErrorAfter(write), HasSubstr("written to"));
  // With every weight in memory the file does not matter.
  TinyDense().Write(directory_);
  EXPECT_EQ(ErrorAfter(write, SIZE_MAX), "");
}

TEST_F(ChangedFileTest, AnotherFileInItsPlaceChangesNothing) {
  TinyDense().Write(directory_);
  EXPECT_EQ(ErrorAfter([&] { TinyLatent().Write(directory_); }), "");
}

TEST_F(ChangedFileTest, NanIsNoticedWhenItIsRead) {
  TinyCheckpoint t = TinyDense();
  t.tensors["model.layers.1.mlp.up_proj.weight"].values[5] =
      std::numeric_limits<float>::quiet_NaN();
  t.Write(directory_);
  const auto model = LoadWith(directory_.path(), *backend_, 0);
  ASSERT_TRUE(model.has_value()) << model.error().message;
  EXPECT_THAT(Error(**model),
              AllOf(HasSubstr("model.layers.1.mlp.up_proj.weight"), Not(HasSubstr("gate_proj"))));
}

}  // namespace
}  // namespace hadal
