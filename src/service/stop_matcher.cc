#include "service/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace hadal {

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  for (std::string& stop : stops) {
    if (stop.empty()) continue;
    Automaton automaton{.stop = std::move(stop), .failure = {}};
    automaton.failure.assign(automaton.stop.size(), 0);
    for (size_t i = 1; i < automaton.stop.size(); ++i) {
      uint32_t border = automaton.failure[i - 1];
      while (border > 0 && automaton.stop[i] != automaton.stop[border]) {
        border = automaton.failure[border - 1];
      }
      automaton.failure[i] = automaton.stop[i] == automaton.stop[border] ? border + 1 : 0;
    }
    automata_.push_back(std::move(automaton));
  }
}

void StopMatcher::Automaton::Advance(char c) {
  while (state > 0 && stop[state] != c) state = failure[state - 1];
  if (stop[state] == c) ++state;
}

StopMatcher::Out StopMatcher::Emit(size_t n_bytes, bool matched) {
  Out out{held_.substr(0, n_bytes), matched, {}};
  held_.erase(0, n_bytes);
  emitted_bytes_ += static_cast<int64_t>(n_bytes);
  return out;
}

StopMatcher::Out StopMatcher::Push(std::string_view piece) {
  if (matched_) return {};
  for (const char c : piece) {
    held_ += c;
    const std::string* longest = nullptr;
    for (Automaton& automaton : automata_) {
      automaton.Advance(c);
      const bool matches = automaton.state == automaton.stop.size();
      if (matches && (longest == nullptr || automaton.stop.size() > longest->size())) {
        longest = &automaton.stop;
      }
    }
    if (longest != nullptr) {
      matched_ = true;
      Out out = Emit(held_.size() - longest->size(), true);
      out.stop = *longest;
      held_.clear();
      return out;
    }
  }
  size_t possible = 0;  // the longest end of the text that may still become a stop string
  for (const Automaton& automaton : automata_) {
    possible = std::max<size_t>(possible, automaton.state);
  }
  return Emit(held_.size() - possible, false);
}

std::string StopMatcher::Finish() {
  if (matched_) return {};
  for (Automaton& automaton : automata_) automaton.state = 0;
  return Emit(held_.size(), false).text;
}

}  // namespace hadal
