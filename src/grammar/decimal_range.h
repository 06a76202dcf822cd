// Owns: numbers between bounds, as automata over their decimal spelling (no exponents). Exact: a
// bound is taken as the decimal number that its shortest spelling says. Knows nothing of schemas.
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "grammar/dfa.h"

namespace hadal::grammar {

// sign * whole.fraction; no superfluous zeros ("0" and "" for zero).
struct Decimal {
  bool negative = false;
  std::string whole = "0", fraction;
  static Decimal Of(int64_t value);
  static Decimal Of(uint64_t value);
  static Decimal Of(double value);  // finite
  bool is_zero() const { return whole == "0" && fraction.empty(); }
};
int Compare(const Decimal& a, const Decimal& b);  // < 0, 0, > 0

struct NumberRange {
  struct Bound {
    Decimal value;
    bool exclusive = false;
  };
  std::optional<Bound> min, max;
  bool integer = false;
  uint32_t multiple_of = 0;  // 0: any; otherwise integers only
};

// Whole numbers have at most 18 digits (19 in a bound's own length), numbers with a fraction 15 in
// all, so that reading them as float64 cannot move them over a bound. Never "-0".
// The result is empty when no number of that size is in the range.
Result<Dfa> NumbersIn(const NumberRange& range, Budget& budget);

}  // namespace hadal::grammar
