#include "measure/loss.h"

#include <algorithm>

#include "base/check.h"
#include "base/thread_pool.h"
#include "measure/divergence.h"
#include "measure/logit_store.h"
#include "measure/task_score.h"
#include "measure/text_plan.h"
#include "measure/text_run.h"
#include "tokenizer/tokenizer.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

std::string NameOf(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

// tokenizer.json lies beside a single .safetensors file; a .gguf file has its own vocabulary.
Result<std::unique_ptr<Tokenizer>> TokenizerOf(const fs::path& path) {
  const bool beside = path.extension() == ".safetensors";
  return Tokenizer::Load(beside ? path.parent_path() : path);
}

class Measurement {
 public:
  Measurement(const fs::path& original, const fs::path& other, const EvaluationData& data,
              const MeasureOptions& options)
      : original_(original),
        other_(other),
        data_(data),
        options_(options),
        pool_(std::max(1, options.backend.threads)) {}

  Result<LossReport> Run() {
    const bool has_tasks = !data_.tasks.empty();
    if (has_tasks && !options_.answer) {
      return Fail(ErrorCode::kInvalidArgument, "{} has tasks, and nothing here answers them",
                  data_.name);
    }
    HADAL_OK(CheckTokenizers());
    parts_ = has_tasks ? 4 : 2;
    report_.original = NameOf(original_);
    report_.other = NameOf(other_);
    HADAL_OK(RunOriginal());
    HADAL_OK(RunOther());
    report_.text = Summarise(positions_);
    if (has_tasks) {
      report_.task_name = data_.name;
      HADAL_TRY(report_.before, ScoreOf(original_, 2));
      HADAL_TRY(report_.after, ScoreOf(other_, 3));
    }
    return report_;
  }

 private:
  // The two must give every text the same ids, or their distributions cannot be compared.
  Status CheckTokenizers() {
    HADAL_TRY(tokenizer_, TokenizerOf(original_));
    HADAL_TRY(const auto other, TokenizerOf(other_));
    HADAL_OK(SameVocabulary(*tokenizer_, *other));
    const EvaluationData built_in = BuiltInEvaluationData();
    texts_ = data_.texts.empty() ? built_in.texts : data_.texts;
    report_.text_name = data_.texts.empty() ? built_in.name : data_.name;
    const TextPlanLimits all{options_.max_positions, options_.context};
    HADAL_TRY(const auto ours, PlanText(*tokenizer_, texts_, all));
    HADAL_TRY(const auto theirs, PlanText(*other, texts_, all));
    if (ours == theirs) return {};
    return Fail(ErrorCode::kInvalidArgument,
                "the tokenizers of {} and {} give the evaluation text different ids; only models "
                "of one vocabulary can be compared",
                original_.string(), other_.string());
  }

  Progress PartOf(int part) const {
    if (!options_.progress) return {};
    return [this, part](double done) { options_.progress((part + done) / parts_); };
  }

  Status RunOriginal() {
    TextRun run{options_.backend, options_.context, PartOf(0), {}, {}};
    run.plan = [this](const TextRunFacts& facts) -> Result<std::vector<TextChunk>> {
      report_.backend = facts.backend;
      report_.bytes_before = facts.bytes;
      report_.parameters = facts.parameters;
      vocab_ = facts.vocab;
      HADAL_TRY(chunks_,
                PlanText(*tokenizer_, texts_,
                         {options_.max_positions, std::min(options_.context, facts.context)}));
      int64_t rows = 0;
      for (const TextChunk& chunk : chunks_) rows += static_cast<int64_t>(chunk.size());
      LogitStoreOptions where{options_.max_logit_memory, options_.scratch_directory};
      if (where.directory.empty()) where.directory = fs::absolute(other_).parent_path();
      HADAL_TRY(store_, LogitStore::Create(rows, vocab_, where));
      return chunks_;
    };
    run.take = [this](const LogitRows& rows) -> Status {
      HADAL_OK(CheckStop());
      return store_->Append(rows.logits);
    };
    return RunText(original_, run);
  }

  Status RunOther() {
    TextRun run{options_.backend, options_.context, PartOf(1), {}, {}};
    run.plan = [this](const TextRunFacts& facts) -> Result<std::vector<TextChunk>> {
      report_.bytes_after = facts.bytes;
      if (facts.vocab == vocab_) return chunks_;
      return Fail(ErrorCode::kInvalidArgument,
                  "{} has logits for {} tokens and {} for {}; only models of one vocabulary can be "
                  "compared",
                  original_.string(), vocab_, other_.string(), facts.vocab);
    };
    run.take = [this](const LogitRows& rows) { return Compare(rows); };
    HADAL_OK(RunText(other_, run));
    store_.reset();
    return {};
  }

  Status CheckStop() const {
    if (options_.stop == nullptr || !*options_.stop) return {};
    return Fail(ErrorCode::kCancelled, "stopped while {} was measured", other_.string());
  }

  Status Compare(const LogitRows& rows) {
    HADAL_OK(CheckStop());
    before_.resize(rows.logits.size());
    HADAL_OK(store_->ReadNext(before_));
    const auto width = static_cast<size_t>(rows.vocab);
    const size_t n = rows.logits.size() / width, start = positions_.size();
    const TextChunk& chunk = chunks_[rows.chunk];
    positions_.resize(start + n);
    pool_.ForEach(static_cast<int>(n), [&](int task, int) {
      const auto i = static_cast<size_t>(task);
      const size_t next = rows.first + i + 1;
      const auto target = next < chunk.size() ? std::optional(chunk[next]) : std::nullopt;
      positions_[start + i] =
          CompareLogits(std::span<const float>(before_).subspan(i * width, width),
                        rows.logits.subspan(i * width, width), target);
    });
    return {};
  }

  Result<TaskScore> ScoreOf(const fs::path& model, int part) {
    HADAL_OK(CheckStop());
    HADAL_TRY(const auto answers, options_.answer(model, data_.tasks, PartOf(part)));
    CHECK(answers.size() == data_.tasks.size());
    return ScoreTasks(data_.tasks, answers);
  }

  const fs::path& original_;
  const fs::path& other_;
  const EvaluationData& data_;
  const MeasureOptions& options_;
  ThreadPool pool_;
  int parts_ = 2;
  LossReport report_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<EvaluationText> texts_;
  int64_t vocab_ = 0;
  std::vector<TextChunk> chunks_;
  std::unique_ptr<LogitStore> store_;
  std::vector<float> before_;
  std::vector<PositionLoss> positions_;
};

}  // namespace

Result<LossReport> MeasureLoss(const fs::path& original, const fs::path& other,
                               const EvaluationData& data, const MeasureOptions& options) {
  return Measurement(original, other, data, options).Run();
}

}  // namespace hadal
