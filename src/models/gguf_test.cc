// Every golden checkpoint written as GGUF gives the logits that transformers computed for it, and
// the traps of the format give others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/cpu_info.h"
#include "models/testing_gguf_model.h"
#include "models/testing_golden.h"
#include "models/testing_model.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

constexpr float kTolerance = 2e-3f;

std::vector<fs::path> GoldenDirectories() {
  std::vector<fs::path> out;
  for (const char* name : {"deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "deepseek-v3-fp8",
                           "llama-linear", "llama3", "qwen2", "qwen2-tied", "qwen3"}) {
    out.push_back(fs::path(HADAL_SOURCE_DIR) / "tests/golden" / name);
  }
  const fs::path reference = HADAL_REFERENCE_DIR;
  if (reference.empty()) return out;
  for (const char* name : {"deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "llama3", "qwen2",
                           "qwen2-tied", "qwen3"}) {
    out.push_back(reference / "goldens" / name);
  }
  return out;
}

class GgufGoldenTest : public testing::TestWithParam<fs::path> {
 protected:
  std::vector<float> Logits(const fs::path& path, Isa isa = Isa::kRef) {
    const auto backend = NewBackend(isa, MlaForm::kAuto, DType::kF32);
    LoadOptions options;
    options.max_step_tokens = options.max_logit_rows = 128;
    auto model = LoadModel(path, *backend, options);
    EXPECT_TRUE(model.has_value()) << model.error().message;
    if (!model) return {};
    return AllLogits(**model, *backend, golden_.ids, 16);
  }
  size_t ResidentBytes(const fs::path& path, Isa isa) {
    const auto backend = NewBackend(isa, MlaForm::kAuto, DType::kF32);
    auto model = LoadModel(path, *backend, {});
    EXPECT_TRUE(model.has_value()) << model.error().message;
    return model ? (*model)->info().resident_bytes : 0;
  }
  fs::path Written(TensorType type, const GgufChange& change = {}) {
    const fs::path path = directory_.path() / "model.gguf";
    fs::remove(path);
    WriteGguf(GetParam(), path, type, change);
    return path;
  }

  ModelDirectory directory_;
  Golden golden_ = ReadGolden(GetParam());
};

TEST_P(GgufGoldenTest, F32AndBf16GiveTheLogitsOfTransformers) {
  for (const DType type : {DType::kF32, DType::kBf16}) {
    SCOPED_TRACE(NameOf(type));
    // An FP8 weight is no bf16 number, so that only float32 keeps it.
    const bool rounds = type == DType::kBf16 && GetParam().filename() == "deepseek-v3-fp8";
    const auto logits = Logits(Written(type));
    if (rounds) {
      EXPECT_LE(RelativeError(logits, golden_, 50), 2e-2);
    } else {
      EXPECT_LE(MaxDifference(logits, golden_.logits), kTolerance);
    }
  }
}

TEST_P(GgufGoldenTest, EveryInstructionSetGivesThem) {
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kRef) continue;
    SCOPED_TRACE(NameOf(isa));
    for (const DType type : {DType::kF32, DType::kBf16}) {
      EXPECT_LE(RelativeError(Logits(Written(type), isa), golden_, 95), 2e-2) << NameOf(type);
    }
  }
}

// What blocks cost is the business of the codec: the same values in F32 give the same logits.
TEST_P(GgufGoldenTest, Q8BlocksGiveWhatTheirDecodedValuesGive) {
  const TensorType q8 = QuantType::kQ8_0;
  const auto blocks = Logits(Written(q8));
  const auto decoded = Logits(Written(DType::kF32, [&](const auto&, auto& plan, auto&) {
    for (GgufTensorPlan& t : plan) {
      if (TypeOfPlanned(t, q8) != q8) continue;
      t.decode = [&q8, cols = t.shape[t.shape.rank() - 1], decode = t.decode](
                     int64_t row0, int64_t n, float* out) {
        std::vector<float> values(static_cast<size_t>(n * cols));
        decode(row0, n, values.data());
        const auto bytes = EncodeAs(q8, values);
        DecodeBlocks(QuantType::kQ8_0, bytes.data(), n * cols, out);
      };
    }
  }));
  EXPECT_LE(MaxDifference(blocks, decoded), kTolerance);
}

// Matrices that a model fuses from tensors of different block types stay in blocks: the resident
// size says so, and the logits are those of the decoded blocks.
TEST_P(GgufGoldenTest, FusedMatricesOfMixedBlockTypesStayInBlocks) {
  const auto files = OpenModelFiles(GetParam());
  ASSERT_TRUE(files.has_value());
  if (files->config.hidden_size % 32 != 0) GTEST_SKIP() << "its rows are no whole blocks";
  const fs::path path = directory_.path() / "mixed.gguf";
  WriteGguf(GetParam(), path, QuantType::kQ8_0, {}, QuantType::kQ5_0);
  const auto decoded = Logits(path);
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kRef) continue;
    SCOPED_TRACE(NameOf(isa));
    const auto logits = Logits(path, isa);
    ASSERT_EQ(logits.size(), decoded.size());
    double difference = 0, norm = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      difference += std::pow(logits[i] - decoded[i], 2);
      norm += std::pow(decoded[i], 2);
    }
    EXPECT_LT(std::sqrt(difference / norm), 2e-2);
    const auto q8 = Written(QuantType::kQ8_0);
    EXPECT_LT(ResidentBytes(path, isa), ResidentBytes(q8, isa));
  }
}

// Files of before the newer layout: kv_b whole, the decompressed heads' sizes in key_length.
TEST_P(GgufGoldenTest, TheFirstLayoutOfLatentAttentionGivesThem) {
  const auto path = Written(DType::kF32, [](const ModelFiles& files, auto& plan, auto& metadata) {
    const ModelConfig& c = files.config;
    if (!c.is_mla()) return;
    std::erase_if(plan, [](const auto& t) { return t.name.ends_with("attn_v_b.weight"); });
    for (GgufTensorPlan& t : plan) {
      if (!t.name.ends_with("attn_k_b.weight")) continue;
      const TensorEntry* whole = files.checkpoint->Find(
          fmt::format("model.layers.{}.self_attn.kv_b_proj.weight", t.layer));
      ASSERT_NE(whole, nullptr);
      t.name = fmt::format("blk.{}.attn_kv_b.weight", t.layer);
      t.shape = whole->shape;
      t.decode = [whole](int64_t row0, int64_t n, float* out) { DecodeRows(*whole, row0, n, out); };
    }
    GgufMetadata old;
    for (const auto& [key, value] : metadata.pairs()) {
      if (key.ends_with("_mla") || key.find("group") != std::string::npos) continue;
      int64_t n = -1;
      if (key.ends_with(".head_count_kv")) n = c.num_attention_heads;
      if (key.ends_with(".key_length")) n = c.qk_nope_head_dim + c.qk_rope_head_dim;
      if (key.ends_with(".value_length")) n = c.v_head_dim;
      if (key.ends_with("gating_func")) continue;
      old.Add(key, n < 0 ? value : GgufValue::U32(n));
    }
    // The groups of these small models are no published ones, which alone are recognised.
    old.Add("deepseek2.expert_group_count", GgufValue::U32(c.n_group));
    old.Add("deepseek2.expert_group_used_count", GgufValue::U32(c.topk_group));
    metadata = old;
  });
  EXPECT_LE(MaxDifference(Logits(path), golden_.logits), kTolerance);
}

bool IsTurned(const GgufTensorPlan& t) {
  return t.name.find(".attn_q.") != std::string::npos ||
         t.name.find(".attn_k.") != std::string::npos;
}

std::string HubNameOf(const GgufTensorPlan& t) {
  const char* which = t.name.find(".attn_q.") != std::string::npos ? "q" : "k";
  return fmt::format("model.layers.{}.self_attn.{}_proj.weight", t.layer, which);
}

// The rows of a llama's q and k as its converter defines them: the hub's rows [heads, 2, half]
// become [heads, half, 2]. `permute` false: as they are in the hub.
GgufChange LlamaRows(bool permute) {
  return [permute](const ModelFiles& files, auto& plan, auto&) {
    for (GgufTensorPlan& t : plan) {
      if (!IsTurned(t)) continue;
      const TensorEntry* entry = files.checkpoint->Find(HubNameOf(t));
      ASSERT_NE(entry, nullptr);
      const int64_t cols = entry->cols(), half = files.config.head_dim / 2;
      std::vector<float> hub(static_cast<size_t>(entry->shape.elements())), rows;
      DecodeRows(*entry, 0, entry->rows(), hub.data());
      for (int64_t h = 0; h < entry->rows() / (2 * half); ++h) {
        for (int64_t i = 0; i < half; ++i) {
          for (int64_t p = 0; p < 2; ++p) {
            const auto from = hub.begin() + (h * 2 * half + p * half + i) * cols;
            rows.insert(rows.end(), from, from + cols);
          }
        }
      }
      t.decode = [cols, values = permute ? rows : hub](int64_t row0, int64_t n, float* out) {
        std::copy_n(values.begin() + row0 * cols, n * cols, out);
      };
    }
  };
}

TEST_P(GgufGoldenTest, OnlyPermutedRowsOfALlamaGiveThem) {
  const auto files = OpenModelFiles(GetParam());
  ASSERT_TRUE(files.has_value());
  if (files->config.model_type != "llama") GTEST_SKIP() << "its rows are not permuted";
  EXPECT_LE(MaxDifference(Logits(Written(DType::kF32, LlamaRows(true))), golden_.logits),
            kTolerance);
  EXPECT_GT(MaxDifference(Logits(Written(DType::kF32, LlamaRows(false))), golden_.logits),
            10 * kTolerance);
}

// rope_freqs.weight is all that a GGUF file says of llama3 scaling.
TEST_P(GgufGoldenTest, WithoutItsFrequencyDivisorsALlama3GivesOthers) {
  if (GetParam().filename() != "llama3") GTEST_SKIP() << "it has no frequency divisors";
  const auto without = Written(DType::kF32, [](const auto&, auto& plan, auto&) {
    EXPECT_EQ(std::erase_if(plan, [](const auto& t) { return t.name == "rope_freqs.weight"; }), 1u);
  });
  EXPECT_GT(MaxDifference(Logits(without), golden_.logits), 10 * kTolerance);
}

// GGUF -> config.json and hub tensors -> the same logits.
TEST_P(GgufGoldenTest, TheWayBackToTheHubGivesThem) {
  const auto files = OpenModelFiles(Written(DType::kF32));
  ASSERT_TRUE(files.has_value()) << files.error().message;
  const auto config = ConfigJsonOf(files->config);
  ASSERT_TRUE(config.has_value()) << config.error().message;
  std::ofstream(directory_.path() / "config.json") << *config;
  const auto plan = PlanHubTensors(files->config, *files->checkpoint);
  ASSERT_TRUE(plan.has_value()) << plan.error().message;
  std::vector<std::vector<float>> values;
  std::vector<TensorToWrite> tensors;
  for (const GgufTensorPlan& t : *plan) {
    const int64_t rows = t.shape.elements() / t.shape[t.shape.rank() - 1];
    values.emplace_back(static_cast<size_t>(t.shape.elements()));
    t.decode(0, rows, values.back().data());
  }
  for (size_t i = 0; i < plan->size(); ++i) {
    tensors.push_back(
        {(*plan)[i].name, DType::kF32, (*plan)[i].shape, std::as_bytes(std::span(values[i]))});
  }
  const Status written = WriteSafetensors(directory_.checkpoint(), tensors);
  ASSERT_TRUE(written.has_value()) << written.error().message;
  EXPECT_LE(MaxDifference(Logits(directory_.path()), golden_.logits), kTolerance);
}

std::string NameOfGolden(const testing::TestParamInfo<fs::path>& info) {
  const fs::path& path = info.param;
  const bool committed = path.parent_path().filename() == "golden";
  std::string name = (committed ? "committed_" : "reference_") + path.filename().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// The built-in model, which is trained and whose rows are whole blocks.
class GgufDemoTest : public testing::Test {
 protected:
  void SetUp() override {
    WriteGguf(fs::path(HADAL_SOURCE_DIR) / "models/demo", path_, QuantType::kQ8_0);
  }
  std::vector<float> Logits(Isa isa) { return Logits(isa, golden_.ids, 32); }
  std::vector<float> Logits(Isa isa, const std::vector<TokenId>& ids, int32_t chunk,
                            bool prompt = false) {
    const auto backend = NewBackend(isa, MlaForm::kAuto, DType::kF32);
    LoadOptions options;
    options.max_step_tokens = options.max_logit_rows = 128;
    auto model = LoadModel(path_, *backend, options);
    EXPECT_TRUE(model.has_value()) << model.error().message;
    if (!model) return {};
    resident_ = (*model)->info().resident_bytes;
    return AllLogits(**model, *backend, ids, chunk, prompt);
  }

  ModelDirectory directory_;
  const fs::path path_ = directory_.path() / "demo.gguf";
  const Golden golden_ = ReadGolden(fs::path(HADAL_SOURCE_DIR) / "tests/golden/demo");
  size_t resident_ = 0;
};

TEST_F(GgufDemoTest, Q8BlocksLoseLittleOnEveryInstructionSet) {
  const auto reference = Logits(Isa::kRef);
  EXPECT_LE(RelativeError(reference, golden_, 95), 3e-2);
  Golden of_reference = golden_;
  of_reference.logits = reference;
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kRef) continue;
    SCOPED_TRACE(NameOf(isa));
    const auto logits = Logits(isa);
    EXPECT_LE(RelativeError(logits, of_reference, 95), 2e-2);
    RecordProperty(fmt::format("{}_resident", NameOf(isa)), static_cast<int64_t>(resident_));
    const auto files = OpenModelFiles(path_);
    ASSERT_TRUE(files.has_value());
    // Decoded to bf16 it would be nearly twice the file.
    EXPECT_LT(resident_, files->checkpoint->total_bytes() * 3 / 2) << "blocks were not kept";
  }
}

// The two forms of MLA are not the same numbers behind integer activations.
TEST_F(GgufDemoTest, ChunksOfAnyLengthGiveTheSameBits) {
  std::vector<TokenId> ids;
  for (TokenId i = 0; i < 120; ++i) ids.push_back(10 + i * 29 % 4000);
  for (const Isa isa : SupportedIsas()) {
    for (const bool prompt : {false, true}) {
      const auto whole = Logits(isa, ids, 120, prompt);
      for (const int32_t chunk : {7, 64, 100}) {
        EXPECT_EQ(Logits(isa, ids, chunk, prompt), whole) << NameOf(isa) << " " << chunk << prompt;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, GgufGoldenTest, testing::ValuesIn(GoldenDirectories()),
                         NameOfGolden);

}  // namespace
}  // namespace hadal
