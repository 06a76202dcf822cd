// The copy engine for the host compiler: a box arrives when it is asked for or when its fill is
// waited for, drawn anew each time. Included by kernels/cuda/tile_copies.h only.
#pragma once

#include <cstring>

namespace hadal::cuda_emulated {

inline void InitFills(FillBarrier* barriers, int n) {
  for (int i = 0; i < n; ++i) InitFill(barriers + i);
}
inline void ExpectFill(FillBarrier* barrier, int bytes) { ExpectBytes(barrier, bytes); }
inline void CopyBox(const RowBoxes& from, int row, FillBarrier* barrier, void* to) {
  CHECK((static_cast<char*>(to) - SharedMemory()) % 1024 == 0);
  const auto blocks = static_cast<int>(from.columns / 64);
  BringBytes(barrier, blocks * 1024,
             [=, rows = from.data + row * from.row_bytes, bytes = from.row_bytes] {
               for (int i = 0; i < blocks * 64; ++i) {
                 const int block = i / 64, r = i / 8 % 8, c = i % 8;
                 std::memcpy(static_cast<char*>(to) + block * 1024 + r * 128 + (c ^ r) * 16,
                             rows + r * bytes + block * 128 + c * 16, 16);
               }
             });
}
inline void AwaitFill(FillBarrier* barrier, int fill) { AwaitBytes(barrier, fill); }

}  // namespace hadal::cuda_emulated
