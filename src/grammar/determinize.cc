// Subset construction.
#include <algorithm>
#include <unordered_map>

#include "base/check.h"
#include "grammar/dfa.h"

namespace hadal::grammar {
namespace {

using Set = std::vector<uint32_t>;  // sorted states of the Nfa

struct SetHash {
  size_t operator()(const Set& set) const {
    uint64_t h = 0xcbf29ce484222325;
    for (const uint32_t v : set) h = (h ^ v) * 0x100000001b3;
    return h;
  }
};

class Construction {
 public:
  Construction(const Nfa& nfa, const CallInfo& calls, Budget& budget)
      : nfa_(nfa), calls_(calls), budget_(budget), seen_(nfa.size(), 0) {}

  Result<Dfa> Run() {
    if (nfa_.overflowed()) return TooLarge();
    // The start is not interned: only there may "begin" be passed.
    HADAL_TRY(Set first, Closure({nfa_.start()}, true, false));
    HADAL_OK(Add(std::move(first), true));
    for (uint32_t i = 0; i < sets_.size(); ++i) {
      HADAL_OK(Expand(i));
    }
    return std::move(dfa_);
  }

 private:
  tl::unexpected<Error> TooLarge() const {
    return Fail(ErrorCode::kInvalidArgument,
                "the constraint needs more than {} states; make repetitions and lists shorter",
                budget_.limits().max_states);
  }

  Result<Set> Closure(Set set, bool at_begin, bool at_end) {
    ++mark_;
    Set out;
    const auto visit = [&](uint32_t state) {
      if (seen_[state] == mark_) return;
      seen_[state] = mark_;
      out.push_back(state);
    };
    for (const uint32_t state : set) visit(state);
    for (size_t i = 0; i < out.size(); ++i) {
      const auto& edges = nfa_.edges(out[i]);
      HADAL_OK(budget_.Spend(1 + edges.size()));
      for (const NfaEdge& e : edges) {
        if (Passes(e, at_begin, at_end)) visit(e.to);
      }
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  bool Passes(const NfaEdge& e, bool at_begin, bool at_end) const {
    switch (e.kind) {
      case NfaEdge::Kind::kBytes:
        return false;
      case NfaEdge::Kind::kEpsilon:
        return true;
      case NfaEdge::Kind::kCall:
        return calls_.nullable(e.label);
      case NfaEdge::Kind::kRepeat:
        return calls_.optional(e.label);
      case NfaEdge::Kind::kBegin:
        return at_begin;
      case NfaEdge::Kind::kEnd:
        return at_end;
    }
    return false;
  }

  Status Add(Set set, bool start) {
    if (sets_.size() >= budget_.limits().max_states) return TooLarge();
    Dfa::State state;
    state.accept = std::binary_search(set.begin(), set.end(), nfa_.accept());
    if (!state.accept && nfa_.has_end()) {
      HADAL_TRY(const Set end, Closure(set, start, true));
      state.accept = std::binary_search(end.begin(), end.end(), nfa_.accept());
    }
    dfa_.states.push_back(std::move(state));
    sets_.push_back(std::move(set));
    return {};
  }

  Result<uint32_t> StateOf(Set targets) {
    HADAL_OK(budget_.Spend(targets.size()));
    std::sort(targets.begin(), targets.end());
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    // Keyed by the set before its closure: cheaper, and equal sets have equal closures.
    if (const auto it = ids_.find(targets); it != ids_.end()) return it->second;
    HADAL_TRY(Set closed, Closure(targets, false, false));
    HADAL_OK(budget_.Spend(2 * closed.size()));
    if (const auto it = closed_ids_.find(closed); it != closed_ids_.end()) {
      ids_.emplace(std::move(targets), it->second);
      return it->second;
    }
    const auto id = static_cast<uint32_t>(sets_.size());
    closed_ids_.emplace(closed, id);
    ids_.emplace(std::move(targets), id);
    HADAL_OK(Add(std::move(closed), false));
    return id;
  }

  Status Expand(uint32_t id) {
    std::vector<NfaEdge> bytes, calls;
    for (const uint32_t state : sets_[id]) {
      for (const NfaEdge& e : nfa_.edges(state)) {
        if (e.kind == NfaEdge::Kind::kBytes) bytes.push_back(e);
        if (e.kind == NfaEdge::Kind::kCall || e.kind == NfaEdge::Kind::kRepeat) calls.push_back(e);
      }
    }
    HADAL_OK(ExpandBytes(id, bytes));
    return ExpandCalls(id, calls);
  }

  Status ExpandBytes(uint32_t id, std::vector<NfaEdge>& bytes) {
    if (bytes.empty()) return {};
    std::sort(bytes.begin(), bytes.end(),
              [](const NfaEdge& a, const NfaEdge& b) { return a.lo < b.lo; });
    std::vector<int> cuts;  // where the set of usable edges may change
    for (const NfaEdge& e : bytes) {
      cuts.push_back(e.lo);
      cuts.push_back(e.hi + 1);
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    size_t next = 0;
    std::vector<NfaEdge> active;
    std::vector<Dfa::Edge> edges;
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      const int lo = cuts[i], hi = cuts[i + 1] - 1;
      std::erase_if(active, [&](const NfaEdge& e) { return e.hi < lo; });
      while (next < bytes.size() && bytes[next].lo <= lo) active.push_back(bytes[next++]);
      HADAL_OK(budget_.Spend(1 + active.size()));
      if (active.empty()) continue;
      Set targets;
      for (const NfaEdge& e : active) targets.push_back(e.to);
      HADAL_TRY(const uint32_t to, StateOf(std::move(targets)));
      if (!edges.empty() && edges.back().to == to && edges.back().hi + 1 == lo) {
        edges.back().hi = static_cast<uint8_t>(hi);
      } else {
        edges.push_back({static_cast<uint8_t>(lo), static_cast<uint8_t>(hi), to});
      }
    }
    dfa_.states[id].edges = std::move(edges);
    return {};
  }

  Status ExpandCalls(uint32_t id, std::vector<NfaEdge>& calls) {
    std::sort(calls.begin(), calls.end(), [](const NfaEdge& a, const NfaEdge& b) {
      return std::pair(a.kind, a.label) < std::pair(b.kind, b.label);
    });
    for (size_t i = 0; i < calls.size();) {
      const NfaEdge& first = calls[i];
      Set targets;
      for (; i < calls.size() && calls[i].kind == first.kind && calls[i].label == first.label;
           ++i) {
        targets.push_back(calls[i].to);
      }
      HADAL_OK(budget_.Spend(1 + targets.size()));
      const bool repeat = first.kind == NfaEdge::Kind::kRepeat;
      HADAL_TRY(const uint32_t to, StateOf(std::move(targets)));
      dfa_.states[id].calls.push_back(
          {repeat ? kNone : first.label, repeat ? first.label : kNone, to});
    }
    return {};
  }

  const Nfa& nfa_;
  const CallInfo& calls_;
  Budget& budget_;
  std::vector<uint32_t> seen_;
  uint32_t mark_ = 0;
  Dfa dfa_;
  std::vector<Set> sets_;
  std::unordered_map<Set, uint32_t, SetHash> ids_, closed_ids_;
};

}  // namespace

Result<Dfa> Determinize(const Nfa& nfa, const CallInfo& calls, Budget& budget) {
  return Construction(nfa, calls, budget).Run();
}

Result<Dfa> DeterminizeBytes(const Nfa& nfa, Budget& budget) {
  const CallInfo none{[](uint32_t) { return false; }, [](uint32_t) { return false; }};
  HADAL_TRY(Dfa dfa, Determinize(nfa, none, budget));
  for (const Dfa::State& state : dfa.states) CHECK(state.calls.empty());
  Trim(dfa);
  return dfa;
}

}  // namespace hadal::grammar
