// Owns: how much loss a user accepts: "kl=0.02,p99=0.3,top1=0.95,ppl=0.01,exact=0.01,f1=0.01".
// Must not know how losses are measured. Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "measure/loss.h"

namespace hadal {

// One limit as it was written.
struct BudgetLimit {
  std::string figure;  // kl, p99, top1, ppl, exact, f1
  double value = 0;
};
using LossBudget = std::vector<BudgetLimit>;

// kl, p99: largest mean and 99th-percentile divergence in nats. top1: least agreement, 0 to 1.
// ppl: largest relative growth of the perplexity (0.01 = 1 %). exact, f1: largest drop of the
// exact-answer rate and of the field F1. kInvalidArgument names the figure and its range.
Result<LossBudget> ParseBudget(std::string_view text);

// kInvalidArgument when the data cannot give a figure that the budget limits.
Status CheckBudget(const LossBudget& budget, const EvaluationData& data);

// One sentence for every limit that the report breaks; empty: within budget.
std::vector<std::string> OverBudget(const LossReport& report, const LossBudget& budget);

}  // namespace hadal
