// The merge of two partial softmax results, shared by every form of attention, so that a split over
// keys and a sequential walk give the same bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace hadal::cpu {

// o = sum_j exp(s_j - m) v_j and l = sum_j exp(s_j - m) over some keys; no keys: m = -inf.
struct SoftmaxState {
  float* m;
  float* l;
  float* o;  // [n]
};

inline void ResetState(SoftmaxState s, int64_t n) {
  *s.m = -std::numeric_limits<float>::infinity();
  *s.l = 0;
  std::fill(s.o, s.o + n, 0.0f);
}

// into = into merged with the keys of `from`, which come later.
inline void MergeState(SoftmaxState into, SoftmaxState from, int64_t n) {
  if (*from.l == 0) return;  // no keys
  if (*into.l == 0) {
    *into.m = *from.m;
    *into.l = *from.l;
    std::copy(from.o, from.o + n, into.o);
    return;
  }
  const float m = std::max(*into.m, *from.m);
  const float a = std::exp(*into.m - m), b = std::exp(*from.m - m);
  for (int64_t i = 0; i < n; ++i) into.o[i] = into.o[i] * a + from.o[i] * b;
  *into.l = *into.l * a + *from.l * b;
  *into.m = m;
}

}  // namespace hadal::cpu
