#include "engine/model_runner.h"

#include <utility>

#include "base/check.h"
#include "core/tensor.h"
#include "engine/draft_chain.h"
#include "models/model.h"

namespace hadal {
namespace {

class ModelRunner final : public Runner {
 public:
  ModelRunner(Model& model, Backend& backend, std::unique_ptr<KvStorage> kv, Buffer logits,
              RunnerInfo info)
      : model_(model),
        backend_(backend),
        kv_(std::move(kv)),
        logits_(std::move(logits)),
        summaries_(backend.keeps_logits() ? static_cast<size_t>(info.max_logit_rows) : 0),
        info_(info) {}

  RunnerInfo info() const override { return info_; }

  Result<StepLogits> Run(const StepInput& step, std::span<const float> temperatures) override {
    const size_t rows = step.logit_rows.size();
    CHECK(rows <= static_cast<size_t>(info_.max_logit_rows) && temperatures.size() == rows);
    const bool stay = !summaries_.empty();
    StepResult result;
    result.logits =
        stay ? nullptr : static_cast<float*>(logits_.data());  // [max_logit_rows, vocab]
    result.summaries = stay ? summaries_.data() : nullptr;
    result.temperatures = temperatures;
    if (!summed_.empty()) TapSums(step);
    const Status status = model_.Forward(step, *kv_, result);
    if (!summed_.empty()) model_.set_hidden_tap({});
    summed_ = {};
    HADAL_OK(status);
    if (stay) return StepLogits{{}, std::span(summaries_).first(rows)};
    return StepLogits{std::span(result.logits, rows * static_cast<size_t>(info_.vocab))};
  }

  Result<std::span<float>> Row(size_t row) override {
    float* out = static_cast<float*>(logits_.data());
    HADAL_OK(backend_.ReadLogits(static_cast<int64_t>(row), out));
    return std::span(out, static_cast<size_t>(info_.vocab));
  }

  Result<std::span<const TokenId>> Draft(const DraftInput& input) override {
    float* logits = static_cast<float*>(logits_.data());
    HADAL_OK(model_.Draft(input.step, input.after, /*chained=*/false, *kv_, logits));
    chain_.Start(input, info_.block_tokens);
    while (chain_.Take(logits, static_cast<size_t>(info_.vocab))) {
      HADAL_OK(model_.Draft(chain_.step(), chain_.after(), /*chained=*/true, *kv_, logits));
    }
    return chain_.guesses();
  }

  void WantSums(std::span<const int32_t> chunks, std::vector<double>* sums) override {
    summed_ = chunks;
    sums_ = sums;
  }

 private:
  void TapSums(const StepInput& step) {
    const auto width = static_cast<size_t>(model_.info().hidden);
    sums_->assign(summed_.size() * width, 0.0);
    const auto last = static_cast<int>(model_.info().n_layers) - 1;
    model_.set_hidden_tap([this, &step, width, last](int layer, const float* hidden, int64_t) {
      if (layer != last) return;
      for (size_t i = 0; i < summed_.size(); ++i) {
        const SeqChunk& chunk = step.chunks[static_cast<size_t>(summed_[i])];
        double* sum = sums_->data() + i * width;
        for (int32_t r = chunk.first_row; r < chunk.first_row + chunk.n_rows; ++r) {
          const float* row = hidden + static_cast<size_t>(r) * width;
          for (size_t j = 0; j < width; ++j) sum[j] += row[j];
        }
      }
    });
  }

  Model& model_;
  Backend& backend_;
  const std::unique_ptr<KvStorage> kv_;
  const Buffer logits_;
  std::vector<RowSummary> summaries_;  // of a backend that keeps logits
  const RunnerInfo info_;
  DraftChain chain_;
  std::span<const int32_t> summed_;  // of the next Run
  std::vector<double>* sums_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<Runner>> NewModelRunner(Model& model, Backend& backend, int32_t n_blocks,
                                               int32_t block_tokens, int32_t max_logit_rows) {
  if (n_blocks < 1 || block_tokens < 1 || max_logit_rows < 1) {
    return Fail(ErrorCode::kBadConfig,
                "{} cache blocks of {} tokens and {} rows of logits; each must be at least 1",
                n_blocks, block_tokens, max_logit_rows);
  }
  const RunnerInfo info{model.info().vocab,   n_blocks,
                        block_tokens,         max_logit_rows,
                        model.info().context, model.info().rounds_prompts,
                        model.info().drafts};
  HADAL_TRY(auto kv, KvStorage::Allocate(backend, model.kv_layout(), n_blocks, block_tokens));
  HADAL_TRY(auto logits, Buffer::Allocate(static_cast<size_t>(max_logit_rows) *
                                          static_cast<size_t>(info.vocab) * sizeof(float)));
  return std::make_unique<ModelRunner>(model, backend, std::move(kv), std::move(logits), info);
}

}  // namespace hadal
