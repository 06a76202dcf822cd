// Owns: finding a request's stop strings in text that arrives piece by piece, without ever letting
// out a character that may belong to one.
// Linear in the text whatever the stop strings are (one Knuth-Morris-Pratt automaton each), because
// both come from a stranger. Thread rule: one thread at a time.
//
//   StopMatcher stops({"\n\nUser:"});
//   auto out = stops.Push("Hello.\n\nUs");  // out.text == "Hello.", "\n\nUs" is held back
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

class StopMatcher {
 public:
  struct Out {
    std::string text;       // certain not to be part of a stop string
    bool matched = false;   // a stop string ended in this piece; what follows it is dropped
    std::string stop = {};  // that one
  };

  // Each stop string is non-empty valid UTF-8.
  explicit StopMatcher(std::vector<std::string> stops);

  // `piece` is whole UTF-8 characters. After a match every further piece is dropped.
  // When several stop strings end at the same place the longest wins; else the one that ends first.
  Out Push(std::string_view piece);
  // The end of the text: what was held back is ordinary text after all.
  std::string Finish();

  int64_t emitted_bytes() const { return emitted_bytes_; }

 private:
  struct Automaton {
    std::string stop;
    std::vector<uint32_t> failure;  // [stop.size()] longest border of each prefix
    uint32_t state = 0;             // characters of `stop` that the text ends with
    void Advance(char c);
  };
  Out Emit(size_t n_bytes, bool matched);

  std::vector<Automaton> automata_;
  std::string held_;  // text not emitted yet
  int64_t emitted_bytes_ = 0;
  bool matched_ = false;
};

}  // namespace hadal
