#include "measure/divergence.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace hadal {
namespace {

// log of the sum of exp.
double LogSum(std::span<const float> logits, double top) {
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - top);
  return top + std::log(sum);
}

}  // namespace

PositionLoss CompareLogits(std::span<const float> original, std::span<const float> other,
                           std::optional<TokenId> target) {
  CHECK(!original.empty() && original.size() == other.size());
  // max_element returns the first of equals: ties go to the lowest id.
  const auto top_original = std::max_element(original.begin(), original.end());
  const auto top_other = std::max_element(other.begin(), other.end());
  const double sum_original = LogSum(original, static_cast<double>(*top_original));
  const double sum_other = LogSum(other, static_cast<double>(*top_other));
  PositionLoss out;
  for (size_t i = 0; i < original.size(); ++i) {
    const double p = static_cast<double>(original[i]) - sum_original;
    const double q = static_cast<double>(other[i]) - sum_other;
    out.kl += std::exp(p) * (p - q);
  }
  out.kl = std::max(out.kl, 0.0);  // rounding may leave it a little below
  out.same_top = top_original - original.begin() == top_other - other.begin();
  if (target) {
    const auto at = static_cast<size_t>(*target);
    CHECK(at < original.size());
    out.has_target = true;
    out.before = sum_original - static_cast<double>(original[at]);
    out.after = sum_other - static_cast<double>(other[at]);
  }
  return out;
}

TextLoss Summarise(std::span<const PositionLoss> positions) {
  CHECK(!positions.empty());
  TextLoss out;
  std::vector<double> kl;
  double before = 0, after = 0, same = 0;
  for (const PositionLoss& p : positions) {
    kl.push_back(p.kl);
    out.kl_mean += p.kl;
    same += p.same_top ? 1 : 0;
    if (!p.has_target) continue;
    ++out.targets;
    before += p.before;
    after += p.after;
  }
  std::sort(kl.begin(), kl.end());
  const auto n = static_cast<double>(kl.size());
  double squares = 0;  // of the distances from the mean
  for (const double x : kl) squares += (x - out.kl_mean / n) * (x - out.kl_mean / n);
  if (n > 1) out.kl_error = std::sqrt(squares / (n - 1) / n);
  out.positions = static_cast<int64_t>(kl.size());
  out.kl_mean /= n;
  out.kl_p99 = kl[static_cast<size_t>(std::ceil(0.99 * n)) - 1];
  out.kl_max = kl.back();
  out.top1 = same / n;
  if (out.targets > 0) {
    out.perplexity_before = std::exp(before / static_cast<double>(out.targets));
    out.perplexity_after = std::exp(after / static_cast<double>(out.targets));
  }
  return out;
}

}  // namespace hadal
