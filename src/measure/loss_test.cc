// MeasureLoss on the built-in model and on copies of it with rounded or broken weights.
#include "measure/loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/safetensors.h"
#include "models/testing_model.h"
#include "tokenizer/tokenizer.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

fs::path Demo() { return fs::path(HADAL_SOURCE_DIR) / "models/demo"; }

CpuBackendOptions BackendOptions() {
  CpuBackendOptions options;
  options.isa = BestIsa();
  options.weights = WeightFormat::kF32;
  options.kv_dtype = DType::kF32;
  options.threads = 2;
  return options;
}

MeasureOptions Options(const fs::path& scratch) {
  MeasureOptions options;
  options.backend = BackendOptions();
  options.max_positions = 300;
  options.context = 90;
  options.scratch_directory = scratch;
  return options;
}

EvaluationData OneText() {
  const EvaluationData all = BuiltInEvaluationData();
  return {"one text", {{all.texts[1].text.substr(0, 600), false}}, {}};
}

// A copy of the built-in model whose output matrix (BF16) went through `change`.
class ChangedCopy {
 public:
  explicit ChangedCopy(const std::function<void(std::span<uint16_t>)>& change) {
    for (const auto& entry : fs::directory_iterator(Demo())) {
      fs::copy_file(entry.path(), directory_.path() / entry.path().filename());
    }
    fs::permissions(directory_.checkpoint(), fs::perms::owner_write, fs::perm_options::add);
    const auto file = SafetensorsFile::Open(Demo() / "model.safetensors");
    EXPECT_TRUE(file.has_value());
    const SafetensorsTensor* head = (*file)->Find("lm_head.weight");
    if (head == nullptr) {
      ADD_FAILURE() << "no lm_head.weight";
      return;
    }
    EXPECT_EQ(head->dtype->weight, DType::kBf16);
    std::vector<uint16_t> values((head->end - head->begin) / 2);
    std::memcpy(values.data(), (*file)->bytes(*head).data(), values.size() * 2);
    change(values);
    std::fstream out(directory_.checkpoint(), std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(head->begin));
    out.write(reinterpret_cast<const char*>(values.data()),
              static_cast<std::streamsize>(values.size() * 2));
  }
  const fs::path& path() const { return directory_.path(); }

 private:
  ModelDirectory directory_;
};

void Round(std::span<uint16_t> values) {
  for (uint16_t& v : values) v &= 0xffe0;  // two bits of the mantissa stay
}

// Logits of every position of every chunk, computed here without measure/.
std::vector<std::vector<float>> LogitsOf(const fs::path& path,
                                         const std::vector<std::vector<TokenId>>& chunks) {
  auto backend = NewCpuBackend(BackendOptions());
  LoadOptions load;
  load.max_step_tokens = load.max_logit_rows = 128;
  auto model = LoadModel(path, **backend, load);
  EXPECT_TRUE(model.has_value()) << model.error().message;
  std::vector<std::vector<float>> out;
  for (const auto& ids : chunks) {
    auto kv = KvStorage::Allocate(**backend, (*model)->kv_layout(), 8, 16);
    TestSequence sequence(ids, 16, 7);
    TestStep step;
    step.Add(sequence, static_cast<int32_t>(ids.size()), 16);
    std::vector<float> logits(ids.size() * static_cast<size_t>((*model)->info().vocab));
    EXPECT_TRUE((*model)->Forward(step.input(), **kv, logits.data()).has_value());
    out.push_back(std::move(logits));
  }
  return out;
}

std::vector<std::vector<TokenId>> ChunksOf(const EvaluationData& data, size_t context,
                                           size_t positions) {
  auto tokenizer = Tokenizer::Load(Demo());
  const auto ids = (*tokenizer)->Encode(data.texts[0].text, Tokenizer::Special::kAsText);
  std::vector<std::vector<TokenId>> chunks;
  for (size_t at = 0; at < ids.size() && positions > 0;) {
    std::vector<TokenId> chunk;
    if ((*tokenizer)->add_bos()) chunk.push_back(*(*tokenizer)->bos());
    while (at < ids.size() && chunk.size() < std::min(context, positions)) {
      chunk.push_back(ids[at++]);
    }
    positions -= chunk.size();
    chunks.push_back(chunk);
  }
  return chunks;
}

std::vector<double> Probabilities(const float* logits, size_t n) {
  double sum = 0;
  std::vector<double> p(n);
  for (size_t i = 0; i < n; ++i) sum += p[i] = std::exp(static_cast<double>(logits[i]));
  for (double& x : p) x /= sum;
  return p;
}

TEST(LossTest, AModelLosesNothingAgainstItself) {
  const auto report = MeasureLoss(Demo(), Demo(), OneText(), Options(testing::TempDir()));
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->text.kl_mean, 0);
  EXPECT_EQ(report->text.kl_max, 0);
  EXPECT_EQ(report->text.top1, 1);
  EXPECT_EQ(report->text.perplexity_before, report->text.perplexity_after);
  EXPECT_GT(report->text.perplexity_before, 1);
  EXPECT_EQ(report->original, "demo");
  EXPECT_EQ(report->text_name, "one text");
  EXPECT_EQ(report->bytes_before, report->bytes_after);
  EXPECT_FALSE(report->before.has_value());
}

TEST(LossTest, EqualsWhatPlainLoopsComputeFromTheSameLogits) {
  const ChangedCopy rounded(Round);
  const auto report = MeasureLoss(Demo(), rounded.path(), OneText(), Options(testing::TempDir()));
  ASSERT_TRUE(report.has_value()) << report.error().message;

  const auto chunks = ChunksOf(OneText(), 90, 300);
  ASSERT_GE(chunks.size(), 3u);
  const auto before = LogitsOf(Demo(), chunks), after = LogitsOf(rounded.path(), chunks);
  std::vector<double> kl;
  double same = 0, nll_before = 0, nll_after = 0, targets = 0;
  for (size_t c = 0; c < chunks.size(); ++c) {
    const size_t rows = chunks[c].size(), vocab = before[c].size() / rows;
    for (size_t r = 0; r < rows; ++r) {
      const auto p = Probabilities(before[c].data() + r * vocab, vocab);
      const auto q = Probabilities(after[c].data() + r * vocab, vocab);
      double sum = 0;
      size_t top_p = 0, top_q = 0;
      for (size_t i = 0; i < vocab; ++i) {
        sum += p[i] * (std::log(p[i]) - std::log(q[i]));
        if (p[i] > p[top_p]) top_p = i;
        if (q[i] > q[top_q]) top_q = i;
      }
      kl.push_back(sum);
      same += top_p == top_q;
      if (r + 1 == rows) continue;
      const auto next = static_cast<size_t>(chunks[c][r + 1]);
      nll_before -= std::log(p[next]);
      nll_after -= std::log(q[next]);
      ++targets;
    }
  }
  const auto n = static_cast<double>(kl.size());
  double mean = 0;
  for (const double x : kl) mean += x / n;
  std::sort(kl.begin(), kl.end());
  const TextLoss& text = report->text;
  EXPECT_EQ(text.positions, static_cast<int64_t>(kl.size()));
  EXPECT_EQ(text.targets, static_cast<int64_t>(targets));
  EXPECT_GT(text.kl_mean, 1e-5);  // the rounding is felt
  EXPECT_NEAR(text.kl_mean, mean, 1e-9 + 1e-6 * mean);
  EXPECT_NEAR(text.kl_max, kl.back(), 1e-9 + 1e-6 * kl.back());
  const double p99 = kl[static_cast<size_t>(std::ceil(0.99 * n)) - 1];
  EXPECT_NEAR(text.kl_p99, p99, 1e-9 + 1e-6 * p99);
  EXPECT_DOUBLE_EQ(text.top1, same / n);
  EXPECT_LT(text.top1, 1);
  EXPECT_NEAR(text.perplexity_before / std::exp(nll_before / targets), 1, 1e-6);
  EXPECT_NEAR(text.perplexity_after / std::exp(nll_after / targets), 1, 1e-6);
  EXPECT_NE(text.perplexity_before, text.perplexity_after);
}

TEST(LossTest, LogitsThatWaitInAFileGiveTheSameFiguresAndLeaveNoFile) {
  const ChangedCopy rounded(Round);
  const ModelDirectory scratch;
  MeasureOptions options = Options(scratch.path());
  const auto in_memory = MeasureLoss(Demo(), rounded.path(), OneText(), options);
  options.max_logit_memory = 0;
  std::vector<double> progress;
  options.progress = [&](double done) { progress.push_back(done); };
  const auto in_file = MeasureLoss(Demo(), rounded.path(), OneText(), options);
  ASSERT_TRUE(in_memory.has_value() && in_file.has_value());
  EXPECT_EQ(ReportJson(*in_memory), ReportJson(*in_file));
  EXPECT_TRUE(fs::is_empty(scratch.path()));
  EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end()));
  ASSERT_FALSE(progress.empty());
  EXPECT_DOUBLE_EQ(progress.back(), 1);
}

TEST(LossTest, StopsWhenAskedToDuringEitherModelAndLeavesNoFile) {
  for (const double moment : {0.4, 0.9}) {  // of the first model, of the second
    const ModelDirectory scratch;
    std::atomic<bool> stop{false};
    MeasureOptions options = Options(scratch.path());
    options.stop = &stop;
    options.progress = [&](double done) { stop = stop || done > moment; };
    const auto report = MeasureLoss(Demo(), Demo(), OneText(), options);
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code, ErrorCode::kCancelled) << report.error().message;
    EXPECT_TRUE(fs::is_empty(scratch.path()));
  }
}

TEST(LossTest, AModelWithLogitsThatAreNoNumbersIsNamed) {
  const ChangedCopy broken([](std::span<uint16_t> values) {
    for (uint16_t& v : values.first(256 * 64)) v = 0x7f7f;  // the largest finite value
  });
  const auto report = MeasureLoss(Demo(), broken.path(), OneText(), Options(testing::TempDir()));
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, ErrorCode::kBadFile);
  EXPECT_THAT(report.error().message, HasSubstr(broken.path().string()));
  const auto other_way = MeasureLoss(broken.path(), Demo(), OneText(), Options(testing::TempDir()));
  ASSERT_FALSE(other_way.has_value());
  EXPECT_THAT(other_way.error().message, HasSubstr(broken.path().string()));
}

TEST(LossTest, ModelsOfAnotherVocabularyAreRefused) {
  const ChangedCopy renamed([](std::span<uint16_t>) {});
  const fs::path file = renamed.path() / "tokenizer.json";
  auto j = nlohmann::json::parse(*ReadFile(file, 64u << 20));
  auto& vocab = j["model"]["vocab"];
  std::swap(vocab["a"], vocab["b"]);
  ASSERT_TRUE(WriteFileAtomically(file, j.dump()).has_value());
  const auto report = MeasureLoss(Demo(), renamed.path(), OneText(), Options(testing::TempDir()));
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(report.error().message, HasSubstr("the vocabularies differ: token "));
}

TEST(LossTest, TasksAreScoredForBothModelsAndTheTextIsThenTheBuiltInOne) {
  auto data = ParseEvaluationData(
      "{\"question\": \"a\", \"key\": \"yes\"}\n"
      "{\"question\": \"b\", \"expected\": {\"n\": 1, \"m\": 2}}\n",
      "tasks.jsonl");
  ASSERT_TRUE(data.has_value());
  const ChangedCopy rounded(Round);
  MeasureOptions options = Options(testing::TempDir());
  EXPECT_THAT(MeasureLoss(Demo(), rounded.path(), *data, options).error().message,
              HasSubstr("tasks.jsonl has tasks"));
  options.answer = [](const fs::path& model, std::span<const Task> tasks,
                      const Progress&) -> Result<std::vector<TaskAnswer>> {
    EXPECT_EQ(tasks.size(), 2u);
    if (model == Demo()) return std::vector<TaskAnswer>{{"yes!", false}, {"{\"n\":1}", false}};
    return std::vector<TaskAnswer>{{"no", false}, {"{\"n\":1,\"m\":3}", true}};
  };
  const auto report = MeasureLoss(Demo(), rounded.path(), *data, options);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->text_name, BuiltInEvaluationData().name);
  EXPECT_EQ(report->task_name, "tasks.jsonl");
  EXPECT_EQ(report->before->exact, 1);
  EXPECT_EQ(report->after->exact, 0);
  EXPECT_EQ(report->after->cut, 1);
  EXPECT_DOUBLE_EQ(report->before->field_f1, 2.0 * 1 / (2 + 1));
  EXPECT_DOUBLE_EQ(report->after->field_f1, 2.0 * 1 / (2 + 2));
}

}  // namespace
}  // namespace hadal
