#include "measure/budget.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace hadal {
namespace {

struct Figure {
  std::string_view name;
  std::string_view what;
  double max;          // of the limit
  bool least = false;  // the limit is a lower bound
};
constexpr Figure kFigures[] = {
    {"kl", "mean KL divergence in nats", 1e6},
    {"p99", "99th-percentile KL divergence in nats", 1e6},
    {"top1", "agreement on the most likely token", 1, true},
    {"ppl", "relative growth of the perplexity", 1e6},
    {"exact", "drop of the exact-answer rate", 1},
    {"f1", "drop of the field F1", 1},
};

const Figure* Find(std::string_view name) {
  for (const Figure& f : kFigures) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

double Rate(const TaskScore& s) {
  return s.texts > 0 ? static_cast<double>(s.exact) / static_cast<double>(s.texts) : 0;
}

double Measured(const LossReport& r, std::string_view figure) {
  if (figure == "kl") return r.text.kl_mean;
  if (figure == "p99") return r.text.kl_p99;
  if (figure == "top1") return r.text.top1;
  if (figure == "ppl") return r.text.perplexity_after / r.text.perplexity_before - 1;
  if (!r.before || !r.after) return NAN;
  if (figure == "exact") return Rate(*r.before) - Rate(*r.after);
  return r.before->field_f1 - r.after->field_f1;
}

Result<BudgetLimit> ParseLimit(std::string_view part) {
  const size_t eq = part.find('=');
  const std::string_view name = part.substr(0, eq);
  const Figure* figure = Find(name);
  if (eq == std::string_view::npos || figure == nullptr) {
    return FailField(ErrorCode::kInvalidArgument, "budget",
                     "budget has '{}'; write figure=limit with one of kl, p99, top1, ppl, exact, "
                     "f1, such as kl=0.02,top1=0.95",
                     part.substr(0, 64));
  }
  const std::string_view text = part.substr(eq + 1);
  double value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size() || !(value >= 0) ||
      value > figure->max) {
    return FailField(ErrorCode::kInvalidArgument, "budget",
                     "budget {} ({}) is '{}'; it must be a number from 0 to {}", name, figure->what,
                     text.substr(0, 64), figure->max);
  }
  return BudgetLimit{std::string(name), value};
}

}  // namespace

Result<LossBudget> ParseBudget(std::string_view text) {
  LossBudget budget;
  for (bool more = true; more;) {
    const size_t comma = text.find(',');
    HADAL_TRY(BudgetLimit limit, ParseLimit(text.substr(0, comma)));
    for (const BudgetLimit& other : budget) {
      if (other.figure != limit.figure) continue;
      return FailField(ErrorCode::kInvalidArgument, "budget", "budget has '{}' twice",
                       limit.figure);
    }
    budget.push_back(std::move(limit));
    more = comma != std::string_view::npos;
    if (more) text.remove_prefix(comma + 1);
  }
  return budget;
}

Status CheckBudget(const LossBudget& budget, const EvaluationData& data) {
  const auto has_fields = [](const Task& task) { return !task.fields.empty(); };
  const bool fields = std::any_of(data.tasks.begin(), data.tasks.end(), has_fields);
  const bool texts = !std::all_of(data.tasks.begin(), data.tasks.end(), has_fields);
  for (const BudgetLimit& limit : budget) {
    if (limit.figure == "exact" && !texts) {
      return FailField(ErrorCode::kInvalidArgument, "budget",
                       "budget limits 'exact', and {} has no task with an expected text or key",
                       data.name);
    }
    if (limit.figure == "f1" && !fields) {
      return FailField(ErrorCode::kInvalidArgument, "budget",
                       "budget limits 'f1', and {} has no task with expected fields", data.name);
    }
  }
  return {};
}

std::vector<std::string> OverBudget(const LossReport& report, const LossBudget& budget) {
  std::vector<std::string> out;
  for (const BudgetLimit& limit : budget) {
    const Figure* figure = Find(limit.figure);
    const double measured = Measured(report, limit.figure);
    const bool least = figure->least;
    if (least ? measured >= limit.value : measured <= limit.value) continue;
    out.push_back(fmt::format("{} ({}) is {:.6g}, the budget is {} {}", limit.figure, figure->what,
                              measured, least ? "at least" : "at most", limit.value));
  }
  return out;
}

}  // namespace hadal
