#include "grammar/dfa.h"

#include <algorithm>

namespace hadal::grammar {

bool Dfa::Matches(std::string_view bytes) const {
  if (states.empty()) return false;
  uint32_t state = 0;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    const auto& edges = states[state].edges;
    const auto it = std::find_if(edges.begin(), edges.end(),
                                 [&](const Edge& e) { return e.lo <= byte && byte <= e.hi; });
    if (it == edges.end()) return false;
    state = it->to;
  }
  return states[state].accept;
}

void Trim(Dfa& dfa) {
  std::vector<std::vector<uint32_t>> into(dfa.states.size());
  std::vector<uint32_t> work;
  std::vector<uint8_t> live(dfa.states.size(), 0);
  for (uint32_t i = 0; i < dfa.states.size(); ++i) {
    for (const Dfa::Edge& e : dfa.states[i].edges) into[e.to].push_back(i);
    if (dfa.states[i].accept) {
      live[i] = 1;
      work.push_back(i);
    }
  }
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    for (const uint32_t from : into[state]) {
      if (!live[from]) {
        live[from] = 1;
        work.push_back(from);
      }
    }
  }
  if (dfa.states.empty() || !live[0]) {
    dfa.states.clear();
    return;
  }
  std::vector<uint32_t> renamed(dfa.states.size(), kNone);
  uint32_t n = 0;
  for (uint32_t i = 0; i < dfa.states.size(); ++i) {
    if (live[i]) renamed[i] = n++;
  }
  for (uint32_t i = 0; i < dfa.states.size(); ++i) {
    if (!live[i]) continue;
    auto& edges = dfa.states[i].edges;
    std::erase_if(edges, [&](const Dfa::Edge& e) { return !live[e.to]; });
    for (Dfa::Edge& e : edges) e.to = renamed[e.to];
    if (renamed[i] != i) dfa.states[renamed[i]] = std::move(dfa.states[i]);
  }
  dfa.states.resize(n);
}

}  // namespace hadal::grammar
