#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "measure/loss.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

double BitsPerWeight(const LossReport& r, uint64_t bytes) {
  return r.parameters > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(r.parameters)
                          : 0;
}

double ExactRate(const TaskScore& s) {
  return s.texts > 0 ? static_cast<double>(s.exact) / static_cast<double>(s.texts) : 0;
}

Json ScoreJson(const TaskScore& s) {
  Json j = {{"cut_answers", s.cut}};
  if (s.texts > 0) {
    j["text_tasks"] = s.texts;
    j["exact"] = s.exact;
    j["exact_rate"] = ExactRate(s);
  }
  if (s.fields > 0) {
    j["fields_expected"] = s.fields;
    j["fields_answered"] = s.answered;
    j["fields_correct"] = s.correct;
    j["field_f1"] = s.field_f1;
  }
  return j;
}

// A line of the text report: what, before, after.
std::string Line(std::string_view what, std::string_view before, std::string_view after) {
  return fmt::format("  {}: {} -> {}\n", what, before, after);
}

std::string TaskLines(const LossReport& r, bool zh) {
  const TaskScore &b = *r.before, &a = *r.after;
  std::string out =
      fmt::format(fmt::runtime(zh ? "\n任务（{}，{} 个）\n" : "\nTasks ({}, {} of them)\n"),
                  r.task_name, a.tasks);
  if (a.texts > 0) {
    out += Line(zh ? "与期望完全一致" : "answered exactly as expected",
                fmt::format("{}/{} ({:.1f} %)", b.exact, b.texts, 100 * ExactRate(b)),
                fmt::format("{}/{} ({:.1f} %)", a.exact, a.texts, 100 * ExactRate(a)));
  }
  if (a.fields > 0) {
    out += Line(zh ? "字段 F1" : "field F1",
                fmt::format("{:.4f} ({}/{})", b.field_f1, b.correct, b.fields),
                fmt::format("{:.4f} ({}/{})", a.field_f1, a.correct, a.fields));
  }
  out += Line(zh ? "因长度上限截断的回答" : "answers cut at the longest length",
              fmt::to_string(b.cut), fmt::to_string(a.cut));
  return out;
}

}  // namespace

std::string ReportJson(const LossReport& r, int indent) {
  const TextLoss& t = r.text;
  Json j = {
      {"original", r.original},
      {"other", r.other},
      {"backend", r.backend},
      {"parameters", r.parameters},
      {"weight_bytes", {{"before", r.bytes_before}, {"after", r.bytes_after}}},
      {"bits_per_weight",
       {{"before", BitsPerWeight(r, r.bytes_before)}, {"after", BitsPerWeight(r, r.bytes_after)}}},
      {"text",
       {{"name", r.text_name},
        {"positions", t.positions},
        {"kl_mean_nats", t.kl_mean},
        {"kl_mean_standard_error", t.kl_error},
        {"kl_p99_nats", t.kl_p99},
        {"kl_max_nats", t.kl_max},
        {"top1_agreement", t.top1}}}};
  if (t.targets > 0) {
    j["text"]["targets"] = t.targets;
    j["text"]["perplexity"] = {{"before", t.perplexity_before}, {"after", t.perplexity_after}};
  }
  if (r.before && r.after) {
    j["tasks"] = {{"name", r.task_name},
                  {"tasks", r.after->tasks},
                  {"before", ScoreJson(*r.before)},
                  {"after", ScoreJson(*r.after)}};
  }
  return j.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string ReportText(const LossReport& r, bool zh) {
  const TextLoss& t = r.text;
  std::string out = fmt::format(fmt::runtime(zh ? "{1} 相对于 {0} 的损失\n" : "{1} against {0}\n"),
                                r.original, r.other);
  const auto size = [&](uint64_t bytes) {
    return fmt::format(
        fmt::runtime(zh ? "{:.1f} MB（每权重 {:.2f} 位）" : "{:.1f} MB ({:.2f} bits per weight)"),
        static_cast<double>(bytes) / 1e6, BitsPerWeight(r, bytes));
  };
  out += Line(zh ? "权重" : "weights", size(r.bytes_before), size(r.bytes_after));
  out += fmt::format(
      fmt::runtime(zh ? "\n文本（{}，{} 个位置；其他文本会得到其他数字）\n"
                      : "\nText ({}, {} positions; another text gives other figures)\n"),
      r.text_name, t.positions);
  out += fmt::format(
      fmt::runtime(zh ? "  KL 散度：平均 {:.3g} ± {:.1g}，第 99 百分位 {:.3g}，最大 {:.3g} nat\n"
                      : "  KL divergence: mean {:.3g} ± {:.1g}, 99th percentile {:.3g}, largest "
                        "{:.3g} nats\n"),
      t.kl_mean, t.kl_error, t.kl_p99, t.kl_max);
  out += fmt::format(
      fmt::runtime(zh ? "  首选 token 一致：{:.2f} %\n" : "  same most likely token: {:.2f} %\n"),
      100 * t.top1);
  if (t.targets > 0) {
    out += Line(zh ? "困惑度" : "perplexity", fmt::format("{:.4f}", t.perplexity_before),
                fmt::format("{:.4f}", t.perplexity_after));
  }
  if (r.before && r.after) out += TaskLines(r, zh);
  out += fmt::format(fmt::runtime(zh ? "\n计算后端：{}\n" : "\nComputed by: {}\n"), r.backend);
  return out;
}

}  // namespace hadal
