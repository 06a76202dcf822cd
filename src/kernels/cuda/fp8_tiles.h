// Owns: where FP8 weights lie on the card: tiles of 16 rows, each row's codes one after another,
// then a float32 scale for every 128 columns. Included by .cu files and by the host's own.
#pragma once

#include <cstdint>

namespace hadal::fp8_tiles {

constexpr int kRows = 16, kColumns = 128;

constexpr int64_t ScalesAt(int64_t cols) { return kRows * cols; }
// Of a matrix whose columns are a multiple of 16.
constexpr int64_t TileBytes(int64_t cols) {
  const int64_t scales = (cols + kColumns - 1) / kColumns;
  return ScalesAt(cols) + (scales * 4 + 15) / 16 * 16;
}
constexpr int64_t BytesOfMatrix(int64_t rows, int64_t cols) {
  return (rows + kRows - 1) / kRows * TileBytes(cols);
}

}  // namespace hadal::fp8_tiles
