#include "grammar/automaton.h"

#include <algorithm>

#include "base/check.h"

namespace hadal::grammar {

uint32_t Automaton::Next(uint32_t state, uint8_t byte) const {
  const std::span<const Edge> all = edges(state);
  size_t lo = 0, hi = all.size();
  while (lo < hi) {
    const size_t middle = (lo + hi) / 2;
    if (all[middle].hi < byte) {
      lo = middle + 1;
    } else {
      hi = middle;
    }
  }
  return lo < all.size() && all[lo].lo <= byte ? all[lo].to : kNone;
}

size_t Automaton::bytes() const {
  return rules_.size() * sizeof(Rule) + repeats_.size() * sizeof(Repeat) +
         states_.size() * sizeof(State) + edges_.size() * sizeof(Edge) +
         calls_.size() * sizeof(Call);
}

Result<uint32_t> AutomatonBuilder::Declare(std::string name) {
  if (rules_.size() >= budget_.limits().max_rules) {
    return Fail(ErrorCode::kInvalidArgument, "the constraint needs more than {} rules",
                budget_.limits().max_rules);
  }
  rules_.emplace_back().name = std::move(name);
  return static_cast<uint32_t>(rules_.size() - 1);
}

Result<uint32_t> AutomatonBuilder::DefineBytes(std::string name, const Dfa& dfa) {
  HADAL_TRY(const uint32_t rule, Declare(std::move(name)));
  Nfa nfa = NewNfa();
  nfa.Epsilon(nfa.Embed(nfa.start(), dfa), nfa.accept());
  Define(rule, std::move(nfa));
  return rule;
}

uint32_t AutomatonBuilder::AddRepeat(uint32_t rule, uint32_t min, uint32_t max) {
  CHECK(max > 0 && min <= max);
  repeats_.push_back({rule, min, max});
  return static_cast<uint32_t>(repeats_.size() - 1);
}

Result<std::shared_ptr<const Automaton>> AutomatonBuilder::Build(uint32_t root) {
  HADAL_OK(FindNullable());
  HADAL_OK(DeterminizeReached(root));
  HADAL_OK(Rank());
  HADAL_OK(FindLive());
  if (!live_[rules_[root].first_state]) {
    blamed_ = root;
    return Fail(ErrorCode::kInvalidArgument, "nothing can ever match the constraint ({})",
                rules_[root].name);
  }
  return Flatten(root);
}

Result<bool> AutomatonBuilder::IsNullable(const Nfa& nfa) {
  std::vector<uint8_t> seen(nfa.size(), 0);
  std::vector<uint32_t> work{nfa.start()};
  seen[nfa.start()] = 1;
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    if (state == nfa.accept()) return true;
    HADAL_OK(budget_.Spend(1 + nfa.edges(state).size()));
    for (const NfaEdge& e : nfa.edges(state)) {
      const bool passes = e.kind == NfaEdge::Kind::kEpsilon ||
                          (e.kind == NfaEdge::Kind::kCall && rules_[e.label].nullable) ||
                          (e.kind == NfaEdge::Kind::kRepeat && repeats_[e.label].min == 0);
      if (passes && !seen[e.to]) {
        seen[e.to] = 1;
        work.push_back(e.to);
      }
    }
  }
  return false;
}

Status AutomatonBuilder::FindNullable() {
  std::vector<std::vector<uint32_t>> callers(rules_.size());
  for (uint32_t rule = 0; rule < rules_.size(); ++rule) {
    const Nfa& nfa = rules_[rule].nfa;
    HADAL_OK(budget_.Spend(nfa.size()));
    for (uint32_t state = 0; state < nfa.size(); ++state) {
      for (const NfaEdge& e : nfa.edges(state)) {
        if (e.kind != NfaEdge::Kind::kCall) continue;
        auto& list = callers[e.label];
        if (list.empty() || list.back() != rule) list.push_back(rule);
      }
    }
  }
  std::vector<uint32_t> work(rules_.size());
  for (uint32_t i = 0; i < work.size(); ++i) work[i] = i;
  while (!work.empty()) {
    const uint32_t rule = work.back();
    work.pop_back();
    if (rules_[rule].nullable) continue;
    HADAL_TRY(rules_[rule].nullable, IsNullable(rules_[rule].nfa));
    if (!rules_[rule].nullable) continue;
    for (const uint32_t caller : callers[rule]) work.push_back(caller);
  }
  for (const Automaton::Repeat& repeat : repeats_) CHECK(!rules_[repeat.rule].nullable);
  return {};
}

Status AutomatonBuilder::DeterminizeReached(uint32_t root) {
  const CallInfo calls{[this](uint32_t rule) { return rules_[rule].nullable; },
                       [this](uint32_t repeat) { return repeats_[repeat].min == 0; }};
  std::vector<uint32_t> work{root};
  rules_[root].reached = true;
  while (!work.empty()) {
    const uint32_t rule = work.back();
    Draft& draft = rules_[rule];
    work.pop_back();
    blamed_ = rule;
    auto dfa = Determinize(draft.nfa, calls, budget_);
    if (!dfa) return tl::make_unexpected(dfa.error().In(draft.name));
    draft.dfa = std::move(*dfa);
    draft.nfa = Nfa(2);
    draft.first_state = n_states_;
    n_states_ += static_cast<uint32_t>(draft.dfa.states.size());
    if (n_states_ > budget_.limits().max_states) {
      return Fail(ErrorCode::kInvalidArgument, "the constraint needs more than {} states",
                  budget_.limits().max_states);
    }
    for (const Dfa::State& state : draft.dfa.states) {
      for (const Dfa::Call& call : state.calls) {
        Draft& callee = rules_[RuleOf(call)];
        if (!callee.reached) {
          callee.reached = true;
          work.push_back(RuleOf(call));
        }
      }
    }
  }
  blamed_.reset();
  return {};
}

// Rules in an order in which each comes before those it can begin with; a cycle is left recursion.
Status AutomatonBuilder::Rank() {
  std::vector<uint32_t> entering(rules_.size(), 0);
  for (const Draft& draft : rules_) {
    if (!draft.reached) continue;
    for (const Dfa::Call& call : draft.dfa.states[0].calls) ++entering[RuleOf(call)];
  }
  std::vector<uint32_t> order;
  uint32_t reached = 0;
  for (uint32_t rule = 0; rule < rules_.size(); ++rule) {
    reached += rules_[rule].reached;
    if (rules_[rule].reached && entering[rule] == 0) order.push_back(rule);
  }
  for (size_t i = 0; i < order.size(); ++i) {
    rules_[order[i]].rank = static_cast<uint32_t>(i);
    for (const Dfa::Call& call : rules_[order[i]].dfa.states[0].calls) {
      if (--entering[RuleOf(call)] == 0) order.push_back(RuleOf(call));
    }
  }
  if (order.size() == reached) return {};
  // Every rule left over has a predecessor that is left over: walking back ends up on a cycle.
  std::vector<uint32_t> before(rules_.size(), kNone);
  uint32_t at = kNone;
  for (uint32_t rule = 0; rule < rules_.size(); ++rule) {
    if (!rules_[rule].reached || entering[rule] == 0) continue;
    at = rule;
    for (const Dfa::Call& call : rules_[rule].dfa.states[0].calls) before[RuleOf(call)] = rule;
  }
  for (uint32_t i = 0; i < reached; ++i) at = before[at];
  blamed_ = at;
  return Fail(
      ErrorCode::kInvalidArgument,
      "left recursion: {} can begin with itself; rewrite it so that something is read first",
      rules_[at].name);
}

// Backwards from acceptance; a call is passed when the called rule and what follows are both live.
Status AutomatonBuilder::FindLive() {
  struct Into {
    uint32_t from, needs;  // `from` becomes live once `needs` is live too
  };
  std::vector<std::vector<Into>> into(n_states_);
  live_.assign(n_states_, 0);
  std::vector<uint32_t> work;
  const auto mark = [&](uint32_t state) {
    if (live_[state]) return;
    live_[state] = 1;
    work.push_back(state);
  };
  for (const Draft& draft : rules_) {
    for (uint32_t i = 0; i < draft.dfa.states.size(); ++i) {
      const uint32_t from = draft.first_state + i;
      for (const Dfa::Edge& e : draft.dfa.states[i].edges) {
        into[draft.first_state + e.to].push_back({from, from});
      }
      for (const Dfa::Call& call : draft.dfa.states[i].calls) {
        const uint32_t to = draft.first_state + call.to;
        const uint32_t callee = rules_[RuleOf(call)].first_state;
        into[to].push_back({from, callee});
        into[callee].push_back({from, to});
      }
      if (draft.dfa.states[i].accept) mark(from);
    }
  }
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    HADAL_OK(budget_.Spend(1 + into[state].size()));
    for (const Into& in : into[state]) {
      if (in.needs == in.from || live_[in.needs]) mark(in.from);
    }
  }
  return {};
}

std::shared_ptr<const Automaton> AutomatonBuilder::Flatten(uint32_t root) {
  auto out = std::make_shared<Automaton>();
  std::vector<uint32_t> renamed(n_states_, kNone);
  uint32_t n = 0;
  for (uint32_t state = 0; state < n_states_; ++state) {
    if (live_[state]) renamed[state] = n++;
  }
  // States are numbered in the order in which rules were reached, so walk the rules in that order.
  std::vector<uint32_t> order;
  for (uint32_t rule = 0; rule < rules_.size(); ++rule) {
    if (rules_[rule].reached) order.push_back(rule);
  }
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return rules_[a].first_state < rules_[b].first_state; });
  out->rules_.resize(rules_.size());
  bool root_is_called = false;
  for (const uint32_t rule : order) {
    const Draft& draft = rules_[rule];
    out->rules_[rule] = {renamed[draft.first_state], draft.rank};
    for (uint32_t i = 0; i < draft.dfa.states.size(); ++i) {
      if (!live_[draft.first_state + i]) continue;
      const Dfa::State& state = draft.dfa.states[i];
      out->states_.push_back({static_cast<uint32_t>(out->edges_.size()),
                              static_cast<uint32_t>(out->calls_.size()), state.accept});
      for (Dfa::Edge e : state.edges) {
        e.to = renamed[draft.first_state + e.to];
        if (e.to != kNone) out->edges_.push_back(e);
      }
      for (const Dfa::Call& call : state.calls) {
        const uint32_t to = renamed[draft.first_state + call.to];
        const uint32_t callee = RuleOf(call);
        if (to == kNone || !live_[rules_[callee].first_state]) continue;
        out->calls_.push_back({callee, call.repeat, to});
        root_is_called = root_is_called || callee == root;
      }
    }
    if (rule == root) out->n_outermost_ = static_cast<uint32_t>(out->states_.size());
  }
  if (root_is_called) out->n_outermost_ = 0;
  out->states_.push_back({static_cast<uint32_t>(out->edges_.size()),
                          static_cast<uint32_t>(out->calls_.size()), false});
  out->repeats_ = repeats_;
  out->root_ = root;
  return out;
}

}  // namespace hadal::grammar
