// The copy engine for the host compiler: a box arrives when it is asked for or when its fill is
// waited for, drawn anew each time. Included by kernels/cuda/tile_copies.h only.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

namespace hadal::cuda_emulated {

inline void InitFills(FillBarrier* barriers, int n) {
  for (int i = 0; i < n; ++i) InitFill(barriers + i);
}
inline void ExpectFill(FillBarrier* barrier, int bytes) { ExpectBytes(barrier, bytes); }
// Row by row of 128 bytes; `at` are its coordinates but the first.
inline void CopyBoxRows(const BoxMap& from, char* to, const std::array<int64_t, 5>& first) {
  std::array<int64_t, 5> at = {};
  int rows = 1;
  for (int d = 1; d < from.dimensions; ++d) rows *= from.box[d];
  for (int r = 0; r < rows; ++r) {
    const char* row = static_cast<const char*>(from.data);
    bool inside = true;
    int left = r;
    for (int d = 1; d < from.dimensions; ++d) {
      const auto i = static_cast<size_t>(d);
      at[i] = first[i] + left % from.box[d];
      left /= from.box[d];
      inside = inside && at[i] < from.size[d];
      row += at[i] * from.next[d];
    }
    for (int c = 0; c < 8; ++c) {
      char* chunk = to + r * 128 + (c ^ r % 8) * 16;
      std::memset(chunk, 0, 16);
      const int64_t column = first[0] + c * 8, n = std::min<int64_t>(8, from.size[0] - column);
      if (inside && n > 0) std::memcpy(chunk, row + column * 2, static_cast<size_t>(n) * 2);
    }
  }
}
inline void CopyBox(const BoxMap& from, FillBarrier* barrier, void* to, int c0, int c1, int c2,
                    int c3 = 0, int c4 = 0) {
  CHECK((static_cast<char*>(to) - SharedMemory()) % 1024 == 0 && from.box[0] == 64);
  int bytes = 2;
  for (int d = 0; d < from.dimensions; ++d) bytes *= from.box[d];
  BringBytes(barrier, bytes,
             [=] { CopyBoxRows(from, static_cast<char*>(to), {c0, c1, c2, c3, c4}); });
}
inline void AwaitFill(FillBarrier* barrier, int fill) { AwaitBytes(barrier, fill); }

}  // namespace hadal::cuda_emulated
