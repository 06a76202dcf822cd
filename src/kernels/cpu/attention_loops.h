// Owns: the walk of an attention tile that is the same on every ISA: scores, softmax, and then the
// values, columns outside, so that they are in the nearest cache for the vectors that follow.
// Included only by the attention.cc of an ISA; everything has internal linkage. Isa has
//   kLanes, kRows                      values of a register; vectors summed together at most
//   Scores(t, most)                    of the keys that some vector sees
//   Softmax(t, i)                      of one vector
//   kAddValues<C>[n - 1](t, i, d)      n vectors by columns [d, d + kLanes C); C = 1: up to v_dim
// Thread rule: pure functions.
#pragma once

#include "kernels/cpu/kernel_table.h"

namespace hadal::cpu {
namespace {

using AddValuesOf = void (*)(const AttentionTile& t, int64_t i, int64_t d);

// From column d on; returns where it ended.
template <class Isa, int C>
int64_t AddColumns(const AttentionTile& t, int64_t d) {
  constexpr int64_t kStep = C * Isa::kLanes;
  for (; C == 1 ? d < t.v_dim : d + kStep <= t.v_dim; d += kStep) {
    for (int64_t i = 0, n; i < t.n_q; i += n) {
      // Vectors that see the same number of keys.
      for (n = 1; n < Isa::kRows && i + n < t.n_q && t.seen[i + n] == t.seen[i];) ++n;
      if (t.seen[i] > 0) Isa::template kAddValues<C>[n - 1](t, i, d);
    }
  }
  return d;
}

template <class Isa>
void AttendTile(const AttentionTile& t) {
  int most = 0;
  for (int64_t i = 0; i < t.n_q; ++i) most = t.seen[i] > most ? t.seen[i] : most;
  Isa::Scores(t, most);
  for (int64_t i = 0; i < t.n_q; ++i) {
    if (t.seen[i] > 0) Isa::Softmax(t, i);
  }
  AddColumns<Isa, 1>(t, AddColumns<Isa, 4>(t, 0));
}

}  // namespace
}  // namespace hadal::cpu
