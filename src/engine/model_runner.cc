#include "engine/model_runner.h"

#include <utility>

#include "base/check.h"
#include "core/tensor.h"
#include "models/model.h"

namespace hadal {
namespace {

class ModelRunner final : public Runner {
 public:
  ModelRunner(Model& model, std::unique_ptr<KvStorage> kv, Buffer logits, RunnerInfo info)
      : model_(model), kv_(std::move(kv)), logits_(std::move(logits)), info_(info) {}

  RunnerInfo info() const override { return info_; }

  Result<std::span<float>> Run(const StepInput& step) override {
    CHECK(step.logit_rows.size() <= static_cast<size_t>(info_.max_logit_rows));
    float* logits = static_cast<float*>(logits_.data());  // [max_logit_rows, vocab]
    HADAL_OK(model_.Forward(step, *kv_, logits));
    return std::span(logits, step.logit_rows.size() * static_cast<size_t>(info_.vocab));
  }

 private:
  Model& model_;
  const std::unique_ptr<KvStorage> kv_;
  const Buffer logits_;
  const RunnerInfo info_;
};

}  // namespace

Result<std::unique_ptr<Runner>> NewModelRunner(Model& model, Backend& backend, int32_t n_blocks,
                                               int32_t block_tokens, int32_t max_logit_rows) {
  if (n_blocks < 1 || block_tokens < 1 || max_logit_rows < 1) {
    return Fail(ErrorCode::kBadConfig,
                "{} cache blocks of {} tokens and {} rows of logits; each must be at least 1",
                n_blocks, block_tokens, max_logit_rows);
  }
  const RunnerInfo info{model.info().vocab, n_blocks, block_tokens, max_logit_rows,
                        model.info().context};
  HADAL_TRY(auto kv, KvStorage::Allocate(backend, model.kv_layout(), n_blocks, block_tokens));
  HADAL_TRY(auto logits, Buffer::Allocate(static_cast<size_t>(max_logit_rows) *
                                          static_cast<size_t>(info.vocab) * sizeof(float)));
  return std::make_unique<ModelRunner>(model, std::move(kv), std::move(logits), info);
}

}  // namespace hadal
