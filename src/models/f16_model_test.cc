// Weights stored in F16 are the numbers that the model computes with: its logits are, bit by bit,
// those of the same numbers in float32, with the default cpu.weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/cpu_info.h"
#include "formats/model_files.h"
#include "models/testing_gguf_model.h"
#include "models/testing_golden.h"
#include "models/testing_model.h"
#include "models/tiny_checkpoints.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::vector<fs::path> Goldens() {
  std::vector<fs::path> out;
  for (const char* name :
       {"deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "llama3", "qwen2", "qwen2-tied"}) {
    out.push_back(fs::path(HADAL_SOURCE_DIR) / "tests/golden" / name);
  }
  return out;
}

// Every tensor of a checkpoint as F16 numbers, stored as F16 or as float32. The goldens are bf16,
// so values are moved by half of a bf16 step, to where only F16 holds them.
void WriteRounded(const fs::path& from, const fs::path& to, DType type) {
  const auto files = OpenModelFiles(from);
  ASSERT_TRUE(files.has_value()) << files.error().message;
  fs::create_directories(to);
  fs::copy_file(from / "config.json", to / "config.json", fs::copy_options::overwrite_existing);
  std::vector<std::vector<std::byte>> bytes;
  std::vector<TensorToWrite> list;
  for (const TensorEntry& entry : files->checkpoint->entries()) {
    std::vector<float> values(static_cast<size_t>(entry.shape.elements()));
    DecodeRows(entry, 0, entry.rows(), values.data());
    for (size_t i = 0; i < values.size(); ++i) {
      const float moved = values[i] * (i % 2 == 0 ? 1 + 0x3p-10f : 1 - 0x3p-10f);
      values[i] = F16ToFloat(FloatToF16(moved));
    }
    bytes.push_back(EncodeAs(type, values));
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    const TensorEntry& entry = files->checkpoint->entries()[i];
    list.push_back({entry.name, type, entry.shape, bytes[i]});
  }
  const Status written = WriteSafetensors(to / "model.safetensors", list);
  ASSERT_TRUE(written.has_value()) << written.error().message;
}

class F16GoldenTest : public testing::TestWithParam<fs::path> {
 protected:
  struct Loaded {
    std::vector<float> logits;
    size_t resident_bytes = 0;
  };
  Loaded Load(const fs::path& path, Isa isa, WeightFormat format, MlaForm form) {
    const auto backend = NewBackend(isa, form, DType::kF32, format);
    LoadOptions options;
    options.max_step_tokens = options.max_logit_rows = 128;
    auto model = LoadModel(path, *backend, options);
    EXPECT_TRUE(model.has_value()) << model.error().message;
    if (!model) return {};
    return {AllLogits(**model, *backend, golden_.ids, 16), (*model)->info().resident_bytes};
  }

  // Both files hold the same numbers.
  void ExpectTheSame(const fs::path& f16, const fs::path& f32) {
    for (const Isa isa : SupportedIsas()) {
      for (const MlaForm form : {MlaForm::kAbsorbed, MlaForm::kDecompressed}) {
        SCOPED_TRACE(fmt::format("{}, MLA form {}", NameOf(isa), static_cast<int>(form)));
        const Loaded got = Load(f16, isa, WeightFormat::kBf16, form);
        const Loaded want = Load(f32, isa, WeightFormat::kF32, form);
        ASSERT_FALSE(got.logits.empty());
        EXPECT_EQ(MaxDifference(got.logits, want.logits), 0);
        if (isa == Isa::kRef) continue;  // keeps float32
        EXPECT_LT(got.resident_bytes, want.resident_bytes * 3 / 4);
        // What rounding to bf16 would give is something else.
        const Loaded rounded = Load(f32, isa, WeightFormat::kBf16, form);
        EXPECT_GT(MaxDifference(rounded.logits, want.logits), 1e-4f);
      }
    }
  }

  ModelDirectory directory_;
  Golden golden_ = ReadGolden(GetParam());
};

TEST_P(F16GoldenTest, SafetensorsGiveTheLogitsOfTheSameNumbersInFloat32) {
  const fs::path f16 = directory_.path() / "f16", f32 = directory_.path() / "f32";
  WriteRounded(GetParam(), f16, DType::kF16);
  WriteRounded(GetParam(), f32, DType::kF32);
  ExpectTheSame(f16, f32);
}

TEST_P(F16GoldenTest, GgufGivesTheLogitsOfTheSameNumbersInFloat32) {
  const fs::path f16 = directory_.path() / "f16.gguf", f32 = directory_.path() / "f32.gguf";
  WriteRounded(GetParam(), directory_.path() / "f16", DType::kF16);
  WriteGguf(directory_.path() / "f16", f16, DType::kF16);
  WriteGguf(f16, f32, DType::kF32);
  ExpectTheSame(f16, f32);
}

// Values of bf16 in the range of F16 are F16 values too.
TEST_P(F16GoldenTest, GgufInF16GivesTheLogitsOfTransformers) {
  const fs::path f16 = directory_.path() / "f16.gguf";
  WriteGguf(GetParam(), f16, DType::kF16);
  const Loaded loaded = Load(f16, BestIsa(), WeightFormat::kBf16, MlaForm::kAuto);
  EXPECT_LE(RelativeError(loaded.logits, golden_, 95), 2e-2);
}

std::string NameOfGolden(const testing::TestParamInfo<fs::path>& info) {
  std::string name = info.param.filename().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Committed, F16GoldenTest, testing::ValuesIn(Goldens()), NameOfGolden);

// 0x7c00 is the infinity of F16, 0x7e00 a NaN.
TEST(F16Model, InfinityAndNanAreRefusedByTensorName) {
  for (const std::string name : {"model.embed_tokens.weight", "lm_head.weight",
                                 "model.layers.1.self_attn.q_proj.weight", "model.norm.weight"}) {
    for (const uint16_t bits : {0x7c00, 0xfc00, 0x7e00}) {
      const ModelDirectory directory;
      const TinyCheckpoint tiny = TinyDense();
      std::ofstream(directory.path() / "config.json") << tiny.config;
      std::map<std::string, std::vector<std::byte>> bytes;
      std::vector<TensorToWrite> list;
      for (const auto& [tensor, v] : tiny.tensors) {
        auto& encoded = bytes[tensor] = EncodeAs(DType::kF16, v.values);
        if (tensor == name) std::memcpy(encoded.data() + 10, &bits, 2);
        list.push_back({tensor, DType::kF16, v.shape, encoded});
      }
      ASSERT_TRUE(bytes.contains(name));
      ASSERT_TRUE(WriteSafetensors(directory.checkpoint(), list).has_value());
      for (const Isa isa : SupportedIsas()) {
        const auto backend = NewBackend(isa);
        const auto model = LoadModel(directory.path(), *backend, {});
        ASSERT_FALSE(model.has_value()) << name;
        EXPECT_EQ(model.error().code, ErrorCode::kBadFile);
        EXPECT_THAT(model.error().message, HasSubstr("NaN or infinity is in " + name));
      }
    }
  }
}

}  // namespace
}  // namespace hadal
