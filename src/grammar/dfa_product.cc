// Products of byte automata.
#include <algorithm>
#include <unordered_map>

#include "grammar/dfa.h"

namespace hadal::grammar {
namespace {

tl::unexpected<Error> TooLarge(const Budget& budget) {
  return Fail(ErrorCode::kInvalidArgument,
              "the constraint needs more than {} states; make lengths and patterns shorter",
              budget.limits().max_states);
}

// States named by a pair, numbered in the order they are found.
class Pairs {
 public:
  explicit Pairs(Budget& budget) : budget_(budget) {}
  Result<uint32_t> IdOf(uint32_t a, uint32_t b) {
    const uint64_t key = uint64_t{a} << 32 | b;
    const auto [it, added] = ids_.try_emplace(key, static_cast<uint32_t>(found_.size()));
    if (added) {
      if (found_.size() >= budget_.limits().max_states) return TooLarge(budget_);
      found_.emplace_back(a, b);
    }
    return it->second;
  }
  size_t size() const { return found_.size(); }
  std::pair<uint32_t, uint32_t> operator[](size_t i) const { return found_[i]; }

 private:
  Budget& budget_;
  std::unordered_map<uint64_t, uint32_t> ids_;
  std::vector<std::pair<uint32_t, uint32_t>> found_;
};

void Append(std::vector<Dfa::Edge>& edges, int lo, int hi, uint32_t to) {
  if (!edges.empty() && edges.back().to == to && edges.back().hi + 1 == lo) {
    edges.back().hi = static_cast<uint8_t>(hi);
  } else {
    edges.push_back({static_cast<uint8_t>(lo), static_cast<uint8_t>(hi), to});
  }
}

}  // namespace

Result<Dfa> Combine(const Dfa& a, const Dfa& b, Product product, Budget& budget) {
  Dfa out;
  if (a.empty() || (b.empty() && product == Product::kBoth)) return out;
  Pairs pairs(budget);
  HADAL_TRY(const uint32_t first, pairs.IdOf(0, b.empty() ? kNone : 0));
  (void)first;
  const std::vector<Dfa::Edge> nothing;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [x, y] = pairs[i];
    Dfa::State state;
    const bool accepts_b = y != kNone && b.states[y].accept;
    state.accept = a.states[x].accept && accepts_b == (product == Product::kBoth);
    const auto& other = y == kNone ? nothing : b.states[y].edges;
    for (const Dfa::Edge& e : a.states[x].edges) {
      int at = e.lo;
      for (const Dfa::Edge& f : other) {
        HADAL_OK(budget.Spend(1));
        if (f.hi < at) continue;
        if (f.lo > e.hi) break;
        if (f.lo > at && product == Product::kFirstOnly) {
          HADAL_TRY(const uint32_t to, pairs.IdOf(e.to, kNone));
          Append(state.edges, at, f.lo - 1, to);
        }
        const int lo = std::max<int>(at, f.lo), hi = std::min(e.hi, f.hi);
        HADAL_TRY(const uint32_t to, pairs.IdOf(e.to, f.to));
        Append(state.edges, lo, hi, to);
        at = hi + 1;
      }
      if (at <= e.hi && product == Product::kFirstOnly) {
        HADAL_TRY(const uint32_t to, pairs.IdOf(e.to, kNone));
        Append(state.edges, at, e.hi, to);
      }
    }
    HADAL_OK(budget.Spend(1 + state.edges.size()));
    out.states.push_back(std::move(state));
  }
  Trim(out);
  return out;
}

Result<Dfa> WithLength(const Dfa& dfa, uint32_t min, uint32_t max, Budget& budget) {
  Dfa out;
  if (dfa.empty()) return out;
  Pairs pairs(budget);
  HADAL_TRY(const uint32_t first, pairs.IdOf(0, 0));
  (void)first;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [state, count] = pairs[i];
    Dfa::State made;
    made.accept = dfa.states[state].accept && count >= min;
    // Beyond min an unbounded count need not be kept.
    const uint32_t next = max == kNone ? std::min(count + 1, min) : count + 1;
    for (const Dfa::Edge& e : dfa.states[state].edges) {
      HADAL_OK(budget.Spend(1));
      const auto part = [&](int lo, int hi, uint32_t n) -> Status {
        lo = std::max<int>(lo, e.lo);
        hi = std::min<int>(hi, e.hi);
        if (lo > hi || (max != kNone && n > max)) return {};
        HADAL_TRY(const uint32_t to, pairs.IdOf(e.to, n));
        Append(made.edges, lo, hi, to);
        return {};
      };
      HADAL_OK(part(0, 0x7F, next));
      HADAL_OK(part(0x80, 0xBF, count));  // inside a character
      HADAL_OK(part(0xC0, 0xFF, next));
    }
    out.states.push_back(std::move(made));
  }
  Trim(out);
  return out;
}

}  // namespace hadal::grammar
