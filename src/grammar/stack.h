// Owns: the stacks of an automaton that is reading: which calls are open and where they return to.
// Stacks share their lower parts, and a call that several ways of reading make at the same byte is
// one node, so ambiguous grammars need no more nodes than rules per byte.
// Knows nothing of tokens. Thread rule: a value of one thread.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "grammar/dfa.h"

namespace hadal::grammar {

// Where a call goes on. For a counted call: need more are required, room more are possible.
struct Return {
  uint32_t state = kNone;   // kNone: the bottom, whatever is below is not known or nothing
  uint32_t repeat = kNone;  // kNone: a plain call
  uint32_t need = 0;
  uint32_t room = 0;  // kNone: any number
  auto operator<=>(const Return&) const = default;
  bool is_bottom() const { return state == kNone; }
};

struct Frame {
  Return to;
  uint32_t below = 0;  // node
  auto operator<=>(const Frame&) const = default;
};

// One way to read what came so far: in `state` of a rule, called from the frames of `node`.
struct Config {
  uint32_t state = 0;
  uint32_t node = 0;
  auto operator<=>(const Config&) const = default;
};

class Stack {
 public:
  static constexpr uint32_t kBottom = 0;  // the node with nothing below

  // interned: equal frames give equal nodes; such a stack cannot be cut.
  explicit Stack(bool interned);

  // `frames` sorted and unique.
  uint32_t Push(std::span<const Frame> frames);
  std::span<const Frame> frames(uint32_t node) const {
    return {frames_.data() + nodes_[node], frames_.data() + nodes_[node + 1]};
  }
  uint32_t n_nodes() const { return static_cast<uint32_t>(nodes_.size() - 1); }
  size_t n_frames() const { return frames_.size(); }
  void CutTo(uint32_t n_nodes);  // forgets the nodes pushed since there were n_nodes

 private:
  std::vector<uint32_t> nodes_;  // first frame; one more than there are nodes
  std::vector<Frame> frames_;
  bool interned_;
  std::unordered_multimap<uint64_t, uint32_t> by_hash_;
};

}  // namespace hadal::grammar
