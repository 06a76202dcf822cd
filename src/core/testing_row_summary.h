// The definition of core/row_summary.h in plain code, for tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "core/row_summary.h"

namespace hadal {

inline RowSummary SummaryOf(std::span<const float> row, float temperature) {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < row.size(); ++i) {
    if (std::isfinite(row[i])) ids.push_back(static_cast<TokenId>(i));
  }
  const auto value = [&](TokenId id) { return row[static_cast<size_t>(id)]; };
  std::sort(ids.begin(), ids.end(), [&](TokenId a, TokenId b) {
    return value(a) > value(b) || (value(a) == value(b) && a < b);
  });
  RowSummary s = {};
  double mass = 0;
  for (const TokenId id : ids) {
    if (s.n < RowSummary::kCandidates) {
      s.ids[s.n] = id;
      s.values[s.n++] = value(id);
    }
    if (temperature > 0) mass += std::exp((double{value(id)} - value(ids[0])) / temperature);
  }
  s.mass = static_cast<float>(mass);
  return s;
}

}  // namespace hadal
