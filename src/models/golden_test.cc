// Compares every golden checkpoint with what transformers computed for it in float32: those of this
// repository, and those of HADAL_REFERENCE_DIR where it is given.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/cpu_info.h"
#include "formats/model_config.h"
#include "models/testing_golden.h"
#include "models/testing_model.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

constexpr float kTolerance = 2e-3f;

// All of tests/golden: one that is lost must not make its tests vanish.
constexpr const char* kCommitted[] = {
    "demo",   "deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "deepseek-v3-fp8", "llama-linear",
    "llama3", "qwen2",       "qwen2-tied",       "qwen3"};

fs::path CommittedRoot() { return fs::path(HADAL_SOURCE_DIR) / "tests/golden"; }

std::set<std::string> GoldensIn(const fs::path& root) {
  std::set<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator it(root, ec), end; !ec && it != end; it.increment(ec)) {
    if (fs::exists(it->path() / "expected.safetensors", ec)) {
      names.insert(it->path().filename().string());
    }
  }
  return names;
}

std::vector<fs::path> CommittedGoldens() {
  std::vector<fs::path> out;
  for (const char* name : kCommitted) out.push_back(CommittedRoot() / name);
  return out;
}

std::vector<fs::path> ReferenceGoldens() {
  const fs::path reference = HADAL_REFERENCE_DIR;
  std::vector<fs::path> out;
  if (reference.empty()) return out;
  for (const std::string& name : GoldensIn(reference / "goldens")) {
    out.push_back(reference / "goldens" / name);
  }
  return out;
}

class GoldenTest : public testing::TestWithParam<fs::path> {
 protected:
  void SetUp() override {
    const bool committed = GetParam().parent_path() == CommittedRoot();
    if (!committed && GetParam().filename() == "deepseek-v3-fp8") {
      GTEST_SKIP() << "its logits are of the weights before FP8; the committed one is exact";
    }
    // The built-in model keeps its expectations apart from its weights.
    checkpoint_ = GetParam();
    if (committed && GetParam().filename() == "demo") {
      checkpoint_ = fs::path(HADAL_SOURCE_DIR) / "models/demo";
    }
    const auto config = LoadModelConfig(checkpoint_);
    const bool unknown = !config && config.error().code == ErrorCode::kUnsupportedModel;
    if (!committed && (unknown || (config && config->model_type == "deepseek_v32"))) {
      GTEST_SKIP() << "an architecture that is not run";
    }
    ASSERT_TRUE(config.has_value()) << config.error().message;
    mla_ = config->is_mla();
    moe_ = config->is_moe();
    golden_ = ReadGolden(GetParam());
    ASSERT_GE(golden_.ids.size(), 20u);
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

  fs::path checkpoint_;  // directory
  Golden golden_;
  bool mla_ = false, moe_ = false;
};

TEST_P(GoldenTest, LogitsAgreeInFloat32HoweverThePromptIsCut) {
  std::vector<MlaForm> forms = {MlaForm::kAuto};
  if (mla_) forms = {MlaForm::kAbsorbed, MlaForm::kDecompressed};
  for (const MlaForm form : forms) {
    const auto backend = NewBackend(Isa::kRef, form);
    const auto model = Load(*backend);
    ASSERT_NE(model, nullptr);
    for (const int32_t chunk : {128, 16, 7, 1}) {
      SCOPED_TRACE(fmt::format("MLA form {}, chunks of {}", static_cast<int>(form), chunk));
      const auto logits = AllLogits(*model, *backend, golden_.ids, chunk);
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
  if (BestIsa() == Isa::kRef) GTEST_SKIP() << "this CPU runs the reference only";
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kRef) continue;
    SCOPED_TRACE(NameOf(isa));
    const auto backend = NewBackend(isa, MlaForm::kAuto, DType::kF32);
    const auto model = Load(*backend);
    ASSERT_NE(model, nullptr);
    for (const bool prompt : {false, true}) {
      const auto whole = AllLogits(*model, *backend, golden_.ids, 128, prompt);
      for (const int32_t chunk : {128, 16, 7, 1}) {
        SCOPED_TRACE(fmt::format("{}{}", chunk, prompt ? " as a prompt" : ""));
        const auto logits = AllLogits(*model, *backend, golden_.ids, chunk, prompt);
        EXPECT_LE(RelativeError(logits, golden_, 95), 2e-2);
        if (!mla_) EXPECT_EQ(MaxDifference(logits, whole), 0);  // MLA changes its form
      }
    }
  }
}

// Random experts are nearly tied, so that rounding the cache changes which are chosen; a dense
// model shows what the rounding itself costs.
TEST_P(GoldenTest, ABf16CacheCostsADenseModelLittle) {
  if (BestIsa() == Isa::kRef) GTEST_SKIP() << "this CPU runs the reference only";
  if (moe_) GTEST_SKIP() << "experts are chosen";
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kRef) continue;
    SCOPED_TRACE(NameOf(isa));
    const auto backend = NewBackend(isa);
    const auto model = Load(*backend);
    ASSERT_NE(model, nullptr);
    EXPECT_LE(RelativeError(AllLogits(*model, *backend, golden_.ids, 7), golden_, 95), 2e-2);
  }
}

// int8 is a lossy format: weights and activations keep 8 bits, with a scale for each 128 of them.
// These random models come out up to 8.3 % away; demo_test.cc says what a trained one loses.
TEST_P(GoldenTest, Int8WeightsStayNearInADenseModel) {
  if (BestIsa() == Isa::kRef) GTEST_SKIP() << "this CPU runs the reference only";
  if (moe_) GTEST_SKIP() << "experts are chosen";
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kRef) continue;  // keeps float32
    SCOPED_TRACE(NameOf(isa));
    const auto backend = NewBackend(isa, MlaForm::kAuto, DType::kF32, WeightFormat::kInt8);
    const auto model = Load(*backend);
    ASSERT_NE(model, nullptr);
    for (const int32_t chunk : {128, 1}) {
      const double error =
          RelativeError(AllLogits(*model, *backend, golden_.ids, chunk), golden_, 95);
      EXPECT_LE(error, 0.1) << "chunks of " << chunk;
    }
  }
}

// An answer and a prompt whose rows share steps get, bit by bit, what each gets alone.
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
    const auto alone_b = AllLogits(*model, *backend, b, 5, true);
    auto kv = KvStorage::Allocate(*backend, model->kv_layout(), kBlocks, kBlockTokens);
    ASSERT_TRUE(kv.has_value());
    TestSequence first(a, kBlockTokens, kBlocks - 1), second(b, kBlockTokens, kBlocks / 2);
    for (int32_t at = 0; at < 20; at += 5) {
      TestStep step;
      step.Add(first, 5, kBlockTokens);
      step.Add(second, 5, kBlockTokens, true);
      std::vector<float> logits(step.rows() * vocab);
      ASSERT_TRUE(model->Forward(step.input(), **kv, logits.data()).has_value());
      const size_t half = 5 * vocab, begin = static_cast<size_t>(at) * vocab;
      const auto got = std::span(logits);
      EXPECT_EQ(MaxDifference(got.first(half), std::span(alone_a).subspan(begin, half)), 0);
      EXPECT_EQ(MaxDifference(got.last(half), std::span(alone_b).subspan(begin, half)), 0);
    }
  }
}

std::string NameOfGolden(const testing::TestParamInfo<fs::path>& info) {
  std::string name = info.param.filename().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Committed, GoldenTest, testing::ValuesIn(CommittedGoldens()),
                         NameOfGolden);
INSTANTIATE_TEST_SUITE_P(Reference, GoldenTest, testing::ValuesIn(ReferenceGoldens()),
                         NameOfGolden);

TEST(Golden, TheListNamesEveryCommittedGolden) {
  EXPECT_THAT(GoldensIn(CommittedRoot()), testing::UnorderedElementsAreArray(kCommitted));
}

TEST(Golden, ArchitecturesThatAreNotRunAreRefusedByName) {
  const fs::path reference = HADAL_REFERENCE_DIR;
  if (reference.empty()) GTEST_SKIP() << "HADAL_REFERENCE_DIR is empty";
  const auto backend = NewBackend();
  const auto model = LoadModel(reference / "goldens/deepseek-v32", *backend, {});
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_THAT(model.error().message, testing::HasSubstr("'deepseek_v32'"));
  EXPECT_THAT(model.error().message, testing::HasSubstr("llama, qwen2, qwen3, deepseek_v2"));
}

}  // namespace
}  // namespace hadal
