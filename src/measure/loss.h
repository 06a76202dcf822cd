// Owns: what one model loses against another that it was made from, measured on text: divergence of
// the next-token distributions, agreement, perplexity; and on tasks with expected answers.
// Must not know how the second was made. Models run one after the other, so that memory holds one;
// the first one's logits wait in memory when they are few, otherwise in an unlinked file.
// Use: HADAL_TRY(const LossReport report, MeasureLoss(original, other, data, options));
// Thread rule: free functions, one thread; the backend fans out.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernels/backend.h"
#include "measure/evaluation_data.h"

namespace hadal {

// Over positions of the text, over the whole vocabulary, natural logarithms.
struct TextLoss {
  int64_t positions = 0;
  double kl_mean = 0;   // KL(original || other), nats
  double kl_error = 0;  // standard error of the mean, as if positions were independent
  double kl_p99 = 0;    // nearest rank
  double kl_max = 0;
  double top1 = 0;      // share of positions where both prefer the same token; ties: the lowest id
  int64_t targets = 0;  // positions whose next token is in the same chunk
  double perplexity_before = 0, perplexity_after = 0;  // over the targets
};

struct TaskScore {
  int64_t tasks = 0;
  int64_t cut = 0;       // answers that reached the longest length
  int64_t texts = 0;     // tasks with an expected text or key
  int64_t exact = 0;     // of these, answered as expected
  int64_t fields = 0;    // expected, of all tasks
  int64_t answered = 0;  // top-level fields of the answers to tasks with fields
  int64_t correct = 0;   // expected fields that the answer has with an equal value
  double field_f1 = 0;   // 2 correct / (fields + answered); 0 without fields
};

struct LossReport {
  std::string original, other;  // file names
  std::string backend;          // what computed it
  std::string text_name;        // "built-in", or the data file's name
  std::string task_name;        // the data file's name; "" without tasks
  TextLoss text;
  std::optional<TaskScore> before, after;
  uint64_t bytes_before = 0, bytes_after = 0;  // of the weights
  int64_t parameters = 0;
};

struct TaskAnswer {
  std::string content;  // without the reasoning
  bool cut = false;     // ended at max_answer_tokens
};
using Progress = std::function<void(double done)>;  // 0 .. 1
// Answers all tasks greedily with the model at this path, in order. The caller's to give, because a
// whole service stands behind it.
using AnswerTasks = std::function<Result<std::vector<TaskAnswer>>(
    const std::filesystem::path& model, std::span<const Task> tasks, const Progress& progress)>;

struct MeasureOptions {
  CpuBackendOptions backend;
  int64_t max_positions = 2048;             // of text
  int64_t context = 512;                    // longest chunk of text
  size_t max_logit_memory = 512u << 20;     // more logits than this wait in a file
  std::filesystem::path scratch_directory;  // for that file; "": beside `other`
  AnswerTasks answer;                       // needed when the data has tasks
  Progress progress;
  const std::atomic<bool>* stop = nullptr;  // looked at between the steps of a model
};
// kCancelled: stopped. kInvalidArgument: other vocabularies, tasks without `answer`, a text too
// short to be measured. kIo: no room for the logits, with the bytes needed. A model that gives NaN
// or infinite logits is named in kBadFile.
Result<LossReport> MeasureLoss(const std::filesystem::path& original,
                               const std::filesystem::path& other, const EvaluationData& data,
                               const MeasureOptions& options);

// One JSON object, indented by `indent` (-1: on one line).
std::string ReportJson(const LossReport& report, int indent = -1);
std::string ReportText(const LossReport& report, bool chinese);

}  // namespace hadal
