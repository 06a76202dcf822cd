// RowSummary: what a backend that keeps logits in its own memory tells of a row: enough to draw
// most tokens without the row itself.
#pragma once

#include <cstdint>

#include "core/ids.h"

namespace hadal {

struct RowSummary {
  static constexpr int kCandidates = 64;
  // The likeliest tokens, most likely first, the lowest id first of equals; values are logits.
  // Those that are not finite are never among them; n is less than kCandidates when no more are
  // finite.
  TokenId ids[kCandidates];
  float values[kCandidates];
  int32_t n = 0;
  // Sum over all finite logits of exp((logit - values[0]) / temperature); 0 when that is 0.
  float mass = 0;
};

}  // namespace hadal
