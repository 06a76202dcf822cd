// hadal quantize: converts a model, measures the result against the original, and keeps it only
// within budget.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/answer_tasks.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/stop_signals.h"
#include "cli/terminal.h"
#include "convert/convert.h"
#include "measure/budget.h"

namespace hadal::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReportBytes = 4096;

// Everything that can be refused before the long work begins.
struct Job {
  fs::path in, out;
  ConvertOptions convert;
  LossBudget budget;
  EvaluationData data;
  MeasureOptions measure;
};

Result<Job> Prepare(const Shared& shared, const QuantizeOptions& options) {
  Job job;
  job.in = options.in;
  job.out = fs::path(options.out).lexically_normal();
  if (!job.out.has_filename()) job.out = job.out.parent_path();  // "directory/"
  HADAL_TRY(job.convert.type, ParseTypeChoice(options.type));
  job.convert.threads = ThreadsOf(shared.config);
  job.convert.report_bytes = kReportBytes;
  if (const auto bar = ProgressBar(shared.T("converting", "转换中"))) {
    job.convert.progress = [bar](uint64_t done, uint64_t all) { bar(done, all); };
  }
  if (!options.budget.empty()) {
    HADAL_TRY(job.budget, ParseBudget(options.budget));
  }
  job.data = BuiltInEvaluationData();
  if (!options.data.empty()) {
    HADAL_TRY(job.data, ReadEvaluationData(options.data));
  }
  HADAL_OK(CheckBudget(job.budget, job.data));
  HADAL_TRY(job.measure.backend, BackendOptionsOf(shared.config));
  job.measure.max_positions = options.positions;
  job.measure.progress = FractionBar(shared.T("measuring", "测量中"));
  return job;
}

struct Outcome {
  LossReport report;
  std::vector<std::string> over;  // the budget; then nothing was kept
};

// A directory has its report inside, a file beside itself.
Status WriteReports(const Shared& shared, const LossReport& report, const std::string& prefix) {
  HADAL_OK(WriteFileAtomically(prefix + "loss.json", ReportJson(report, 2) + "\n"));
  return WriteFileAtomically(prefix + "loss.txt",
                             ReportText(report, shared.language == Language::kChinese));
}

// Nothing that exists is overwritten, reports included.
Status CheckReportsAreNew(const std::string& prefix) {
  for (const char* name : {"loss.json", "loss.txt"}) {
    const fs::path report = prefix + name;
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(report, ignored))) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{} exists; move it away or choose another output, nothing is overwritten",
                  report.string());
    }
  }
  return {};
}

Result<Outcome> Run(const Shared& shared, const Job& job) {
  const std::string beside = job.out.string() + ".";
  HADAL_OK(CheckReportsAreNew(beside));
  HADAL_TRY(const auto converter, Converter::Start(job.in, job.out, job.convert));
  Outcome outcome;
  HADAL_TRY(outcome.report,
            MeasureLoss(job.in, converter->temporary_path(), job.data, job.measure));
  outcome.report.other = job.out.filename().string();
  outcome.over = OverBudget(outcome.report, job.budget);
  if (!outcome.over.empty()) return outcome;  // the converter takes back what it wrote
  HADAL_OK(converter->PatchReport(ReportJson(outcome.report)));
  const bool is_directory = fs::is_directory(converter->temporary_path());
  const std::string prefix = is_directory ? (converter->temporary_path() / "").string() : beside;
  // The model comes last: where it is, its report is too.
  Status written = WriteReports(shared, outcome.report, prefix);
  if (written) written = converter->Finish();
  if (!written) {
    std::error_code ignored;
    for (const char* name : {"loss.json", "loss.txt"}) fs::remove(prefix + name, ignored);
    return tl::make_unexpected(written.error());
  }
  return outcome;
}

void Print(const Shared& shared, const Job& job, const Outcome& outcome) {
  if (!shared.json) {
    fmt::print("{}", ReportText(outcome.report, shared.language == Language::kChinese));
    return;
  }
  const nlohmann::ordered_json j = {
      {"type", job.convert.type.name},
      {"out", outcome.over.empty() ? nlohmann::ordered_json(job.out.string()) : nullptr},
      {"over_budget", outcome.over},
      {"report", nlohmann::ordered_json::parse(ReportJson(outcome.report))}};
  fmt::print("{}\n", j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

int Quantize(const Shared& shared, const QuantizeOptions& options) {
  auto job = Prepare(shared, options);
  if (!job) {
    PrintError(shared, job.error());
    // A type, budget or option that cannot be is wrong usage; a file that is wrong is not.
    return job.error().code == ErrorCode::kInvalidArgument ? 2 : 1;
  }
  const StopSignals signals;
  job->convert.stop = job->measure.stop = &signals.stopped();
  job->measure.answer =
      AnswersOf(ForComparison(shared.config), options.answer_tokens, &signals.stopped());
  auto outcome = Run(shared, *job);
  job->convert.progress = nullptr;  // what follows stands on a line of its own
  job->measure.progress = nullptr;
  if (!outcome) return signals.Report(shared, outcome.error());
  Print(shared, *job, *outcome);
  std::fflush(stdout);
  for (const std::string& over : outcome->over) {
    fmt::print(stderr, "hadal: {}: {}\n", shared.T("over budget", "超出预算"), over);
  }
  if (outcome->over.empty()) return 0;
  fmt::print(stderr, "hadal: {}\n",
             fmt::format(fmt::runtime(shared.T("nothing was written to {}", "未写入 {}")),
                         job->out.string()));
  return 1;
}

}  // namespace hadal::cli
