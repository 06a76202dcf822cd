#include "measure/text_run.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/model.h"

namespace hadal {
namespace {

constexpr int64_t kRowsPerStep = 128;  // bounds the logits in memory
constexpr int32_t kBlockTokens = 16;
constexpr double kLoadShare = 0.3;  // of the progress

Status CheckFinite(const std::filesystem::path& path, size_t position,
                   std::span<const float> logits) {
  for (const float x : logits) {
    if (std::isfinite(x)) continue;
    return Fail(ErrorCode::kBadFile,
                "{}: the model gives a logit that is {} within {} positions of a chunk's start; "
                "its weights or their type are broken",
                path.string(), std::isnan(x) ? "NaN" : "infinite", position);
  }
  return {};
}

// One chunk through one sequence, in steps.
class ChunkRunner {
 public:
  static Result<std::unique_ptr<ChunkRunner>> Create(Backend& backend, Model& model,
                                                     int64_t longest) {
    auto runner = std::make_unique<ChunkRunner>();
    runner->model_ = &model;
    const auto n = static_cast<int32_t>((longest + kBlockTokens - 1) / kBlockTokens);
    HADAL_TRY(runner->kv_, KvStorage::Allocate(backend, model.kv_layout(), n, kBlockTokens));
    runner->blocks_.resize(static_cast<size_t>(n));
    std::iota(runner->blocks_.begin(), runner->blocks_.end(), 0);
    runner->indices_.resize(static_cast<size_t>(n) * kBlockTokens);
    std::iota(runner->indices_.begin(), runner->indices_.end(), 0);
    runner->logits_.resize(static_cast<size_t>(kRowsPerStep * model.info().vocab));
    return runner;
  }

  // rows(first, logits) for every step.
  template <class Rows>
  Status Run(std::span<const TokenId> chunk, Rows&& rows) {
    const auto vocab = static_cast<size_t>(model_->info().vocab);
    for (size_t at = 0; at < chunk.size();) {
      const size_t n = std::min(chunk.size() - at, static_cast<size_t>(kRowsPerStep));
      const SeqChunk part{0, static_cast<int32_t>(n), static_cast<int32_t>(at), blocks_.data(),
                          /*prompt=*/true};
      const std::span<const int32_t> index(indices_);
      StepInput step;
      step.tokens = chunk.subspan(at, n);
      step.positions = index.subspan(at, n);
      step.slots = index.subspan(at, n);  // blocks are 0, 1, 2, ...: slot = position
      step.chunks = {&part, 1};
      step.logit_rows = index.first(n);
      HADAL_OK(model_->Forward(step, *kv_, logits_.data()));
      HADAL_OK(rows(at, std::span<const float>(logits_).first(n * vocab)));
      at += n;
    }
    return {};
  }

 private:
  Model* model_ = nullptr;
  std::unique_ptr<KvStorage> kv_;
  std::vector<int32_t> blocks_, indices_;
  std::vector<float> logits_;
};

}  // namespace

Status RunText(const std::filesystem::path& path, const TextRun& run) {
  const auto report = [&](double done) {
    if (run.progress) run.progress(done);
  };
  HADAL_TRY(const auto backend, NewCpuBackend(run.backend));
  LoadOptions load;
  load.max_step_tokens = load.max_logit_rows = kRowsPerStep;
  load.max_context = run.context;
  load.progress = [&](size_t done, size_t all) {
    if (all > 0) report(kLoadShare * static_cast<double>(done) / static_cast<double>(all));
  };
  HADAL_TRY(const auto model, LoadModel(path, *backend, load));
  const ModelInfo& info = model->info();
  HADAL_TRY(const auto chunks,
            run.plan({backend->description(), info.vocab, info.context, info.parameters,
                      static_cast<uint64_t>(info.checkpoint_bytes)}));
  size_t longest = 1, all = 0, done = 0;
  for (const TextChunk& chunk : chunks) {
    longest = std::max(longest, chunk.size());
    all += chunk.size();
  }
  HADAL_TRY(const auto runner,
            ChunkRunner::Create(*backend, *model, static_cast<int64_t>(longest)));
  for (size_t c = 0; c < chunks.size(); ++c) {
    HADAL_OK(runner->Run(chunks[c], [&](size_t first, std::span<const float> logits) -> Status {
      const size_t rows = logits.size() / static_cast<size_t>(info.vocab);
      HADAL_OK(CheckFinite(path, first + rows, logits));
      HADAL_OK(run.take({c, first, logits, info.vocab}));
      done += rows;
      report(kLoadShare + (1 - kLoadShare) * static_cast<double>(done) / static_cast<double>(all));
      return {};
    }));
  }
  return {};
}

}  // namespace hadal
