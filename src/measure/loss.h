// Owns: what one model loses against another that it was made from, measured on text: divergence of
// the next-token distributions, agreement, perplexity; and on tasks with expected answers.
// Must not know how the second was made. Models run one after the other, so that memory holds one.
// Thread rule: free functions, one thread; the backend fans out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernels/backend.h"

namespace hadal {

// Per position, over the whole vocabulary, natural logarithms.
struct TextLoss {
  int64_t positions = 0;
  double kl_mean = 0;  // KL(original || other), nats
  double kl_p99 = 0;
  double kl_max = 0;
  double top1 = 0;  // share of positions where both prefer the same token
  double perplexity_before = 0, perplexity_after = 0;
};

// One line of --data: {"messages": [...] or "prompt": "...", "expected": "text" or {field: value},
// "thinking": bool}. Lines with only "text" are evaluation text.
struct Task {
  std::string request_json;  // messages or prompt, as given
  std::string expected;      // exact answer; "" when fields are expected
  std::vector<std::pair<std::string, std::string>> fields;  // expected fields, as JSON texts
};
struct EvaluationData {
  std::string name;  // "built-in" or the file's name
  std::vector<std::string> texts;
  std::vector<Task> tasks;
};
// kBadFile names the line and the field. At most 64 MiB.
Result<EvaluationData> ReadEvaluationData(const std::filesystem::path& jsonl);
// English, Chinese, code and JSON; in the program itself.
EvaluationData BuiltInEvaluationData();

struct TaskScore {
  int64_t tasks = 0;
  int64_t exact = 0;    // answers equal to the expected text
  double field_f1 = 0;  // micro-averaged over all expected and answered fields; 0 without fields
  int64_t fields = 0;
};

struct LossReport {
  std::string original, other, data;
  TextLoss text;
  std::optional<TaskScore> before, after;
  uint64_t bytes_before = 0, bytes_after = 0;
};

struct MeasureOptions {
  CpuBackendOptions backend;
  int64_t max_positions = 2048;  // of text
  int64_t context = 512;         // text is cut into chunks of so many tokens
  int64_t max_answer_tokens = 512;
  std::function<void(double done)> progress;  // 0 .. 1
};
Result<LossReport> MeasureLoss(const std::filesystem::path& original,
                               const std::filesystem::path& other, const EvaluationData& data,
                               const MeasureOptions& options);

std::string ReportJson(const LossReport& report);
std::string ReportText(const LossReport& report, bool chinese);

}  // namespace hadal
