// Compares every golden checkpoint with what transformers computed for it in float32.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "base/cpu_info.h"
#include "formats/checkpoint.h"
#include "formats/model_config.h"
#include "models/testing_model.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

constexpr float kTolerance = 2e-3f;

std::vector<fs::path> GoldenDirectories() {
  std::set<fs::path> out;
  for (const char* root :
       {HADAL_SOURCE_DIR "/tests/golden", HADAL_SOURCE_DIR "/../shared/goldens"}) {
    std::error_code ec;
    for (fs::directory_iterator it(root, ec), end; !ec && it != end; it.increment(ec)) {
      if (fs::exists(it->path() / "expected.safetensors", ec)) out.insert(it->path());
    }
  }
  return {out.begin(), out.end()};
}

template <class T>
std::vector<T> Read(const SafetensorsFile& file, std::string_view name) {
  const SafetensorsTensor* tensor = file.Find(name);
  if (tensor == nullptr) return {};
  const auto bytes = file.bytes(*tensor);
  std::vector<T> out(bytes.size() / sizeof(T));
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
  return out;
}

struct Golden {
  std::vector<int32_t> ids;     // [T]
  std::vector<float> logits;    // [T, vocab]
  std::vector<int32_t> greedy;  // what greedy decoding goes on with
  std::vector<float> margin;    // top 1 minus top 2, per greedy token
  std::vector<float> hidden;    // [layers + 1, T, hidden], may be empty
  bool mla = false, moe = false;
  // The expectations are those of the weights before they were rounded to FP8, 3 % away: the
  // scales that the rounding left for the logits themselves show that they came first.
  bool before_rounding = false;
};

class GoldenTest : public testing::TestWithParam<fs::path> {
 protected:
  void SetUp() override {
    auto file = SafetensorsFile::Open(GetParam() / "expected.safetensors");
    ASSERT_TRUE(file.has_value()) << file.error().message;
    golden_.ids = Read<int32_t>(**file, "ids");
    golden_.logits = Read<float>(**file, "logits");
    golden_.greedy = Read<int32_t>(**file, "greedy");
    golden_.margin = Read<float>(**file, "greedy_margin");
    golden_.hidden = Read<float>(**file, "hidden");
    ASSERT_FALSE(golden_.ids.empty());
    // The built-in model keeps its expectations apart from its weights.
    checkpoint_ = GetParam();
    if (!fs::exists(checkpoint_ / "config.json")) {
      checkpoint_ = fs::path(HADAL_SOURCE_DIR) / "models" / GetParam().filename();
    }
    const auto config = LoadModelConfig(checkpoint_);
    const bool unknown = !config && config.error().code == ErrorCode::kUnsupportedModel;
    if (unknown || (config && config->model_type == "deepseek_v32")) {
      GTEST_SKIP() << "an architecture that is not run";
    }
    ASSERT_TRUE(config.has_value()) << config.error().message;
    golden_.mla = config->is_mla();
    golden_.moe = config->is_moe();
    const auto checkpoint = Checkpoint::Open(checkpoint_);
    ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().message;
    golden_.before_rounding = (*checkpoint)->Find("logits_scale_inv") != nullptr;
  }

  std::unique_ptr<Model> Load(Backend& backend) {
    LoadOptions options;
    options.max_step_tokens = options.max_logit_rows = 128;
    auto model = LoadModel(checkpoint_, backend, options);
    EXPECT_TRUE(model.has_value()) << model.error().message;
    return model ? std::move(*model) : nullptr;
  }

  // The first layer whose output parts from the golden by more than the tolerance, for messages.
  std::string FirstWrongLayer(Model& model, Backend& backend) const {
    if (golden_.hidden.empty()) return "the golden has no hidden states";
    std::string first = "no layer differs";
    bool found = false;
    model.set_hidden_tap([&](int layer, const float* hidden, int64_t n) {
      const size_t size = static_cast<size_t>(n * model.info().hidden);
      const size_t at = static_cast<size_t>(layer + 1) * size;
      const float difference =
          MaxDifference({hidden, size}, std::span(golden_.hidden).subspan(at, size));
      if (found || difference <= kTolerance) return;
      found = true;
      first = fmt::format("layer {} differs first, by {}", layer, difference);
    });
    AllLogits(model, backend, golden_.ids, 1 << 20);
    model.set_hidden_tap({});
    return first;
  }

  // So many percent of the rows within `limit` in relative L2 error.
  void ExpectRelative(std::span<const float> got, size_t percent, float limit) const {
    ASSERT_EQ(got.size(), golden_.logits.size());
    const size_t rows = golden_.ids.size(), vocab = got.size() / rows;
    std::vector<double> errors;
    for (size_t r = 0; r < rows; ++r) {
      double difference = 0, norm = 0;
      for (size_t i = r * vocab; i < (r + 1) * vocab; ++i) {
        const double want = golden_.logits[i], d = got[i] - want;
        difference += d * d;
        norm += want * want;
      }
      errors.push_back(std::sqrt(difference / norm));
    }
    std::sort(errors.begin(), errors.end());
    EXPECT_LE(errors[std::min(rows - 1, rows * percent / 100)], limit);
  }

  fs::path checkpoint_;  // directory
  Golden golden_;
};

TEST_P(GoldenTest, LogitsAgreeInFloat32HoweverThePromptIsCut) {
  std::vector<MlaForm> forms = {MlaForm::kAuto};
  if (golden_.mla) forms = {MlaForm::kAbsorbed, MlaForm::kDecompressed};
  for (const MlaForm form : forms) {
    const auto backend = NewBackend(Isa::kRef, form);
    const auto model = Load(*backend);
    ASSERT_NE(model, nullptr);
    for (const int32_t chunk : {128, 16, 7, 1}) {
      SCOPED_TRACE(fmt::format("MLA form {}, chunks of {}", static_cast<int>(form), chunk));
      const auto logits = AllLogits(*model, *backend, golden_.ids, chunk);
      if (golden_.before_rounding) {
        ExpectRelative(logits, 95, 5e-2f);
        continue;
      }
      const float worst = MaxDifference(logits, golden_.logits);
      EXPECT_LE(worst, kTolerance) << FirstWrongLayer(*model, *backend);
      RecordProperty(fmt::format("form{}_chunk{}", static_cast<int>(form), chunk),
                     fmt::format("{:.1e}", worst));
    }
  }
}

TEST_P(GoldenTest, HiddenStatesAgreeLayerByLayer) {
  if (golden_.hidden.empty()) GTEST_SKIP() << "the golden has no hidden states";
  const auto backend = NewBackend();
  const auto model = Load(*backend);
  ASSERT_NE(model, nullptr);
  std::vector<float> hidden;
  model->set_hidden_tap([&](int layer, const float* values, int64_t n) {
    ASSERT_EQ(static_cast<size_t>(layer + 1) * static_cast<size_t>(n * model->info().hidden),
              hidden.size());
    hidden.insert(hidden.end(), values, values + n * model->info().hidden);
  });
  AllLogits(*model, *backend, golden_.ids, 128);
  // The residual stream of a trained model reaches hundreds; the tolerance follows its size.
  float largest = 0;
  for (const float h : golden_.hidden) largest = std::max(largest, std::fabs(h));
  EXPECT_LE(MaxDifference(hidden, golden_.hidden), std::max(kTolerance, 1e-4f * largest))
      << "largest " << largest;
}

TEST_P(GoldenTest, GreedyContinuationAgrees) {
  const auto backend = NewBackend();
  const auto model = Load(*backend);
  ASSERT_NE(model, nullptr);
  std::vector<int32_t> ids = golden_.ids;
  ids.insert(ids.end(), golden_.greedy.begin(), golden_.greedy.end());
  const auto logits = AllLogits(*model, *backend, ids, 16);
  const auto vocab = static_cast<size_t>(model->info().vocab);
  ASSERT_EQ(logits.size(), ids.size() * vocab);
  for (size_t i = 0; i < golden_.greedy.size(); ++i) {
    if (golden_.margin[i] <= 0.05f) continue;
    const float* row = logits.data() + (golden_.ids.size() - 1 + i) * vocab;
    EXPECT_EQ(std::max_element(row, row + vocab) - row, golden_.greedy[i]) << "token " << i;
  }
}

TEST_P(GoldenTest, LogitsAgreeOnEveryInstructionSet) {
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kRef) continue;
    SCOPED_TRACE(NameOf(isa));
    const auto backend = NewBackend(isa, MlaForm::kAuto, DType::kF32);
    const auto model = Load(*backend);
    ASSERT_NE(model, nullptr);
    for (const int32_t chunk : {128, 1}) {
      SCOPED_TRACE(chunk);
      const auto logits = AllLogits(*model, *backend, golden_.ids, chunk);
      if (golden_.before_rounding) {
        ExpectRelative(logits, 50, 5e-2f);
      } else {
        ExpectRelative(logits, 95, 2e-2f);
      }
    }
  }
}

// Random experts are nearly tied, so that rounding the cache changes which are chosen; a dense
// model shows what the rounding itself costs.
TEST_P(GoldenTest, ABf16CacheCostsADenseModelLittle) {
  if (golden_.moe) GTEST_SKIP() << "experts are chosen";
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kRef) continue;
    SCOPED_TRACE(NameOf(isa));
    const auto backend = NewBackend(isa);
    const auto model = Load(*backend);
    ASSERT_NE(model, nullptr);
    ExpectRelative(AllLogits(*model, *backend, golden_.ids, 7), 95, 2e-2f);
  }
}

// Two sequences whose rows share steps get, bit by bit, what each gets alone.
TEST_P(GoldenTest, ARowDoesNotDependOnItsBatch) {
  constexpr int32_t kBlockTokens = 4, kBlocks = 64;
  for (const Isa isa : SupportedIsas()) {
    SCOPED_TRACE(NameOf(isa));
    const auto backend = NewBackend(isa);
    const auto model = Load(*backend);
    ASSERT_NE(model, nullptr);
    const auto vocab = static_cast<size_t>(model->info().vocab);
    std::vector<TokenId> a(golden_.ids.begin(), golden_.ids.begin() + 20);
    std::vector<TokenId> b(golden_.ids.rbegin(), golden_.ids.rbegin() + 20);
    const auto alone_a = AllLogits(*model, *backend, a, 5);
    const auto alone_b = AllLogits(*model, *backend, b, 5);
    auto kv = KvStorage::Allocate(*backend, model->kv_layout(), kBlocks, kBlockTokens);
    ASSERT_TRUE(kv.has_value());
    TestSequence first(a, kBlockTokens, kBlocks - 1), second(b, kBlockTokens, kBlocks / 2);
    for (int32_t at = 0; at < 20; at += 5) {
      TestStep step;
      step.Add(first, 5, kBlockTokens);
      step.Add(second, 5, kBlockTokens);
      std::vector<float> logits(step.rows() * vocab);
      ASSERT_TRUE(model->Forward(step.input(), **kv, logits.data()).has_value());
      const size_t half = 5 * vocab, begin = static_cast<size_t>(at) * vocab;
      const auto got = std::span(logits);
      EXPECT_EQ(MaxDifference(got.first(half), std::span(alone_a).subspan(begin, half)), 0);
      EXPECT_EQ(MaxDifference(got.last(half), std::span(alone_b).subspan(begin, half)), 0);
    }
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenTest);
INSTANTIATE_TEST_SUITE_P(Checkpoints, GoldenTest, testing::ValuesIn(GoldenDirectories()),
                         [](const auto& info) {
                           std::string name = info.param.parent_path().filename().string() + "_" +
                                              info.param.filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Golden, ArchitecturesThatAreNotRunAreRefusedByName) {
  const fs::path v32 = HADAL_SOURCE_DIR "/../shared/goldens/deepseek-v32";
  if (!fs::exists(v32)) GTEST_SKIP() << "the checkpoint is not present";
  const auto backend = NewBackend();
  const auto model = LoadModel(v32, *backend, {});
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_THAT(model.error().message, testing::HasSubstr("'deepseek_v32'"));
  EXPECT_THAT(model.error().message, testing::HasSubstr("llama, qwen2, qwen3, deepseek_v2"));
}

}  // namespace
}  // namespace hadal
