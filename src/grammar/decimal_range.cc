#include "grammar/decimal_range.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <tuple>

namespace hadal::grammar {

Decimal Decimal::Of(uint64_t value) {
  Decimal out;
  out.whole = fmt::format("{}", value);
  return out;
}

Decimal Decimal::Of(int64_t value) {
  Decimal out =
      Of(value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value));
  out.negative = value < 0;
  return out;
}

Decimal Decimal::Of(double value) {
  std::string digits = fmt::format("{}", value);  // the shortest spelling
  Decimal out;
  if (digits[0] == '-') {
    out.negative = true;
    digits.erase(0, 1);
  }
  int exponent = 0;
  if (const size_t e = digits.find('e'); e != digits.npos) {
    exponent = std::atoi(digits.c_str() + e + 1);
    digits.resize(e);
  }
  size_t point = digits.find('.');
  if (point == digits.npos) {
    point = digits.size();
  } else {
    digits.erase(point, 1);
  }
  int place = static_cast<int>(point) + exponent;  // digits before the point
  if (place <= 0) {
    digits.insert(0, static_cast<size_t>(1 - place), '0');
    place = 1;
  }
  if (static_cast<size_t>(place) > digits.size()) digits.resize(static_cast<size_t>(place), '0');
  out.whole = digits.substr(0, static_cast<size_t>(place));
  out.fraction = digits.substr(static_cast<size_t>(place));
  out.whole.erase(0, std::min(out.whole.find_first_not_of('0'), out.whole.size() - 1));
  out.fraction.erase(out.fraction.find_last_not_of('0') + 1);
  if (out.is_zero()) out.negative = false;
  return out;
}

namespace {

int CompareMagnitude(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  if (const int c = a.whole.compare(b.whole); c != 0) return c;
  return a.fraction.compare(b.fraction);  // a shorter prefix is smaller
}

using Bound = NumberRange::Bound;
constexpr int kMaxWholeDigits = 18;
constexpr int kMaxSignificant = 15;

// Numbers without sign between two magnitudes. Lengths of the whole part are independent branches;
// inside one, the digits are compared with those of each bound while they are still equal to them.
class Magnitudes {
 public:
  Magnitudes(Nfa& nfa, const NumberRange& range, bool negative, std::optional<Bound> low,
             std::optional<Bound> high)
      : nfa_(nfa),
        integer_(range.integer || range.multiple_of != 0),
        modulus_(std::max(range.multiple_of, 1u)),
        negative_(negative),
        low_(std::move(low)),
        high_(std::move(high)) {}

  void Emit(uint32_t from, uint32_t to) {
    to_ = to;
    int longest = integer_ ? kMaxWholeDigits : kMaxSignificant;
    if (integer_) {
      for (const auto& bound : {low_, high_}) {
        if (bound && bound->value.whole.size() == 19) longest = 19;
      }
    }
    for (int n = 1; n <= longest && !nfa_.overflowed(); ++n) {
      length_ = n;
      const int low = low_ ? Order(low_->value, n) : -1, high = high_ ? Order(high_->value, n) : 1;
      if (low > 0 || high < 0) continue;  // all numbers of n digits are too small, too large
      nfa_.Epsilon(from, Whole({0, low_ && low == 0, high_ && high == 0, 0}));
    }
  }

 private:
  struct At {
    int position;
    bool at_low, at_high;  // equal to the bound so far
    uint32_t remainder;
    auto operator<=>(const At&) const = default;
  };
  // The bound's whole part against those of n digits: -1 shorter, 0 as long, 1 longer.
  static int Order(const Decimal& bound, int n) {
    const int size = static_cast<int>(bound.whole.size());
    return size < n ? -1 : size > n ? 1 : 0;
  }
  static int DigitOf(const std::string& digits, int position) {
    return static_cast<size_t>(position) < digits.size()
               ? digits[static_cast<size_t>(position)] - '0'
               : 0;
  }
  // The digits possible next; calls fn(digit, at_low, at_high).
  template <class F>
  static void Digits(const At& at, int first, int low, int high, F fn) {
    for (int d = first; d <= 9; ++d) {
      if (at.at_low && d < low) continue;
      if (at.at_high && d > high) break;
      fn(d, at.at_low && d == low, at.at_high && d == high);
    }
  }
  void Edge(uint32_t from, int digit, uint32_t to) {
    const auto byte = static_cast<uint8_t>('0' + digit);
    nfa_.Bytes(from, byte, byte, to);
  }

  uint32_t Whole(const At& at) {
    // Digits that no bound looks at depend only on how many are left.
    const bool bound = at.at_low || at.at_high || at.position == 0;
    auto key = std::tuple(bound || !integer_ ? length_ : 0, length_ - at.position, at);
    if (!bound) std::get<2>(key).position = 0;
    const auto [it, added] = whole_.try_emplace(key, 0);
    if (!added) return it->second;
    const uint32_t state = nfa_.AddState();
    it->second = state;
    if (nfa_.overflowed()) return state;
    if (at.position == length_) {
      if (at.remainder == 0) Fraction(state, {0, at.at_low, at.at_high, 0}, length_, false);
      return state;
    }
    const int low = low_ ? DigitOf(low_->value.whole, at.position) : 0;
    const int high = high_ ? DigitOf(high_->value.whole, at.position) : 9;
    const int first = at.position == 0 && length_ > 1 ? 1 : 0;
    Digits(at, first, low, high, [&](int d, bool at_low, bool at_high) {
      const uint32_t remainder = (at.remainder * 10 + static_cast<uint32_t>(d)) % modulus_;
      if (length_ == 1) {
        // A lone zero is apart: "-0" is not written.
        const uint32_t end = nfa_.AddState();
        if (remainder == 0) {
          Fraction(end, {0, at_low, at_high, 0}, 1, d == 0);
        }
        Edge(state, d, end);
        return;
      }
      Edge(state, d, Whole({at.position + 1, at_low, at_high, remainder}));
    });
    return state;
  }

  // After the whole part, then after each digit of the fraction (zero: all digits so far are 0).
  void Fraction(uint32_t state, const At& at, int used, bool zero) {
    if (CanEnd(at) && !(zero && negative_)) nfa_.Epsilon(state, to_);
    if (integer_ || used + 1 > kMaxSignificant) return;
    nfa_.Bytes(state, '.', '.', AfterPoint(at, used, zero));
  }

  uint32_t AfterPoint(const At& at, int used, bool zero) {
    const auto key = std::tuple(at, used, zero);
    const auto [it, added] = fraction_.try_emplace(key, 0);
    if (!added) return it->second;
    const uint32_t state = nfa_.AddState();
    it->second = state;
    if (nfa_.overflowed()) return state;
    const int low = low_ ? DigitOf(low_->value.fraction, at.position) : 0;
    const int high = high_ ? DigitOf(high_->value.fraction, at.position) : 9;
    Digits(at, 0, low, high, [&](int d, bool at_low, bool at_high) {
      const At next{at.position + 1, at_low, at_high, 0};
      const bool still_zero = zero && d == 0;
      if (used + 1 < kMaxSignificant) Edge(state, d, AfterPoint(next, used + 1, still_zero));
      if (CanEnd(next) && !(still_zero && negative_)) Edge(state, d, to_);
    });
    return state;
  }

  // Stopping here: what is left of a bound counts as further zeros of the number.
  bool CanEnd(const At& at) const {
    const auto rest_is_zero = [&](const Decimal& bound) {
      return static_cast<size_t>(at.position) >= bound.fraction.size();
    };
    if (at.at_low && (!rest_is_zero(low_->value) || low_->exclusive)) return false;
    if (at.at_high && rest_is_zero(high_->value) && high_->exclusive) return false;
    return true;
  }

  Nfa& nfa_;
  const bool integer_;
  const uint32_t modulus_;
  const bool negative_;
  const std::optional<Bound> low_, high_;
  uint32_t to_ = 0;
  int length_ = 0;
  std::map<std::tuple<int, int, At>, uint32_t> whole_;
  std::map<std::tuple<At, int, bool>, uint32_t> fraction_;
};

}  // namespace

int Compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  const int c = CompareMagnitude(a, b);
  return a.negative ? -c : c;
}

Result<Dfa> NumbersIn(const NumberRange& range, Budget& budget) {
  Nfa nfa(budget.limits().max_states);
  const Bound zero{};
  const auto magnitude = [](const std::optional<Bound>& bound) {
    std::optional<Bound> out = bound;
    if (out) out->value.negative = false;
    return out;
  };
  const bool min_negative = range.min && range.min->value.negative;
  const bool max_negative = range.max && range.max->value.negative;
  if (!max_negative) {
    const auto low = min_negative || !range.min ? std::optional(zero) : range.min;
    Magnitudes(nfa, range, false, low, range.max).Emit(nfa.start(), nfa.accept());
  }
  if (!range.min || min_negative) {
    const auto low = max_negative ? magnitude(range.max) : std::optional(zero);
    Magnitudes(nfa, range, true, low, magnitude(range.min))
        .Emit(nfa.Literal(nfa.start(), "-"), nfa.accept());
  }
  HADAL_OK(budget.Spend(nfa.size()));
  return DeterminizeBytes(nfa, budget);
}

}  // namespace hadal::grammar
