// Owns: the size of an operand, and the configuration of eight whole tiles.
// Included only by the files of this folder; everything has internal linkage.
// Thread rule: as tiles.h.
#pragma once

#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/bf16_pairs.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kTileElements = kOperandBytes / 2;  // bf16 of an operand tile

HADAL_AVX512_INLINE void ConfigureAllRows() {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = kTileBytes;
    config.rows[i] = kTileRows;
  }
  TileConfigure(config);
}

}  // namespace
}  // namespace hadal::cpu
