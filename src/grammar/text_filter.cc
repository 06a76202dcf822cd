#include "grammar/text_filter.h"

#include <algorithm>
#include <map>
#include <set>

namespace hadal::grammar {
namespace {

void AppendByte(std::vector<Dfa::Edge>& edges, uint8_t byte, uint32_t to) {
  if (!edges.empty() && edges.back().to == to && edges.back().hi + 1 == byte) {
    edges.back().hi = byte;
  } else {
    edges.push_back({byte, byte, to});
  }
}

// The product of rules and a filter. A rule becomes one per pair of the filter's states in which it
// is entered and left; which pairs there are is found first, until nothing is added.
class Filtering {
 public:
  Filtering(AutomatonBuilder& builder, const Dfa& filter) : builder_(builder), filter_(filter) {}

  Result<uint32_t> Run(uint32_t rule) {
    HADAL_TRY(const uint32_t top, builder_.Declare(builder_.name(rule)));
    Nfa nfa = builder_.NewNfa();
    if (!filter_.empty()) {
      const Entry entry{rule, 0};
      HADAL_OK(FindLeavings(entry));
      for (const uint32_t out : leavings_[entry]) {
        if (!filter_.states[out].accept) continue;
        HADAL_TRY(const uint32_t part, CopyOf(entry, out));
        nfa.Call(nfa.start(), part, nfa.accept());
      }
      HADAL_OK(DefineCopies());
    }
    builder_.Define(top, std::move(nfa));
    return top;
  }

 private:
  using Entry = std::pair<uint32_t, uint32_t>;  // rule, state of the filter
  using Place = std::pair<uint32_t, uint32_t>;  // state of the rule's Nfa, state of the filter
  using States = std::set<uint32_t>;

  // Calls step(edge, target, out) for every way to go on from `at`; out: how a called rule is left.
  template <class F>
  Status ForSteps(uint32_t rule, Place at, F step) {
    const std::vector<NfaEdge> edges = builder_.nfa(rule).edges(at.first);
    for (const NfaEdge& e : edges) {
      HADAL_OK(builder_.budget().Spend(1));
      switch (e.kind) {
        case NfaEdge::Kind::kBytes:
          for (const Dfa::Edge& f : filter_.states[at.second].edges) {
            HADAL_OK(builder_.budget().Spend(1));
            NfaEdge part = e;
            part.lo = std::max(e.lo, f.lo);
            part.hi = std::min(e.hi, f.hi);
            if (part.lo <= part.hi) HADAL_OK(step(part, Place{e.to, f.to}, f.to));
          }
          break;
        case NfaEdge::Kind::kCall: {
          const States outs = LeavingsOf({e.label, at.second});
          for (const uint32_t out : outs) HADAL_OK(step(e, Place{e.to, out}, out));
          break;
        }
        case NfaEdge::Kind::kRepeat: {
          const Automaton::Repeat& repeat = builder_.repeat(e.label);
          if (LeavingsOf({repeat.rule, at.second}).contains(at.second)) {
            HADAL_OK(step(e, Place{e.to, at.second}, at.second));
          } else if (repeat.min == 0) {
            HADAL_OK(step({.to = e.to}, Place{e.to, at.second}, at.second));
          }
          break;
        }
        default:  // rules have no assertions left
          HADAL_OK(step(e, Place{e.to, at.second}, at.second));
      }
    }
    return {};
  }

  // Registers who asks, so that it is looked at again when more is found.
  const States& LeavingsOf(const Entry& entry) {
    const auto [it, added] = leavings_.try_emplace(entry);
    if (added) work_.push_back(entry);
    askers_[entry].insert(now_);
    return it->second;
  }

  Status FindLeavings(const Entry& first) {
    leavings_.try_emplace(first);
    work_.push_back(first);
    while (!work_.empty()) {
      now_ = work_.back();
      work_.pop_back();
      HADAL_TRY(States outs, Explore());
      if (outs.size() == leavings_[now_].size()) continue;
      leavings_[now_] = std::move(outs);
      for (const Entry& asker : askers_[now_]) work_.push_back(asker);
    }
    return {};
  }

  Result<States> Explore() {
    const uint32_t rule = now_.first;
    const Nfa& nfa = builder_.nfa(rule);
    States outs;
    std::set<Place> seen{{nfa.start(), now_.second}};
    std::vector<Place> work(seen.begin(), seen.end());
    while (!work.empty()) {
      const Place at = work.back();
      work.pop_back();
      if (at.first == nfa.accept()) outs.insert(at.second);
      HADAL_OK(ForSteps(rule, at, [&](const NfaEdge&, Place to, uint32_t) -> Status {
        if (seen.insert(to).second) work.push_back(to);
        return {};
      }));
    }
    return outs;
  }

  Result<uint32_t> CopyOf(const Entry& entry, uint32_t out) {
    const auto it = copies_.find({entry, out});
    if (it != copies_.end()) return it->second;
    HADAL_TRY(const uint32_t copy, builder_.Declare(builder_.name(entry.first)));
    copies_[{entry, out}] = copy;
    undefined_.push_back({entry, out});
    return copy;
  }

  Status DefineCopies() {
    while (!undefined_.empty()) {
      const auto [entry, out] = undefined_.back();
      undefined_.pop_back();
      HADAL_OK(DefineCopy(entry, out));
    }
    return {};
  }

  Status DefineCopy(const Entry& entry, uint32_t out) {
    const uint32_t rule = entry.first;
    Nfa copy = builder_.NewNfa();
    std::map<Place, uint32_t> states{{{builder_.nfa(rule).start(), entry.second}, copy.start()}};
    std::vector<Place> work{states.begin()->first};
    const auto state_of = [&](const Place& place) {
      const auto [it, added] = states.try_emplace(place, 0);
      if (added) {
        it->second = copy.AddState();
        work.push_back(place);
      }
      return it->second;
    };
    while (!work.empty() && !copy.overflowed()) {
      const Place at = work.back();
      work.pop_back();
      const uint32_t from = states[at];
      if (at == Place{builder_.nfa(rule).accept(), out}) copy.Epsilon(from, copy.accept());
      HADAL_OK(ForSteps(rule, at, [&](const NfaEdge& e, Place to, uint32_t left) -> Status {
        const uint32_t target = state_of(to);
        switch (e.kind) {
          case NfaEdge::Kind::kBytes:
            copy.Bytes(from, e.lo, e.hi, target);
            break;
          case NfaEdge::Kind::kCall: {
            HADAL_TRY(const uint32_t called, CopyOf({e.label, at.second}, left));
            copy.Call(from, called, target);
            break;
          }
          case NfaEdge::Kind::kRepeat: {
            const Automaton::Repeat repeat = builder_.repeat(e.label);
            HADAL_TRY(const uint32_t called, CopyOf({repeat.rule, at.second}, left));
            copy.Repeat(from, builder_.AddRepeat(called, repeat.min, repeat.max), target);
            break;
          }
          default:
            copy.Epsilon(from, target);
        }
        return {};
      }));
    }
    builder_.Define(copies_[{entry, out}], std::move(copy));
    return {};
  }

  AutomatonBuilder& builder_;
  const Dfa& filter_;
  std::map<Entry, States> leavings_;
  std::map<Entry, std::set<Entry>> askers_;
  std::vector<Entry> work_;
  Entry now_{};
  std::map<std::pair<Entry, uint32_t>, uint32_t> copies_;
  std::vector<std::pair<Entry, uint32_t>> undefined_;
};

}  // namespace

Dfa Avoiding(std::span<const std::string> words,
             const std::function<bool(std::string_view)>& may_end) {
  std::map<std::string, uint32_t, std::less<>> begun{{"", 0}};
  for (const std::string& word : words) {
    for (size_t n = 1; n < word.size(); ++n) begun.try_emplace(word.substr(0, n), 0);
  }
  uint32_t n_states = 0;  // "" sorts first and is the start
  for (auto& [text, state] : begun) state = n_states++;
  Dfa dfa;
  for (const auto& [text, state] : begun) {
    Dfa::State& made = dfa.states.emplace_back();
    made.accept = may_end(text);
    for (int byte = 0; byte < 256; ++byte) {
      const std::string next = text + static_cast<char>(byte);
      const bool whole = std::any_of(words.begin(), words.end(),
                                     [&](const std::string& word) { return next.ends_with(word); });
      if (whole) continue;
      std::string_view held = next;
      while (!begun.contains(held)) held.remove_prefix(1);
      AppendByte(made.edges, static_cast<uint8_t>(byte), begun.find(held)->second);
    }
  }
  return dfa;
}

Result<uint32_t> Filter(AutomatonBuilder& builder, uint32_t rule, const Dfa& filter) {
  return Filtering(builder, filter).Run(rule);
}

}  // namespace hadal::grammar
