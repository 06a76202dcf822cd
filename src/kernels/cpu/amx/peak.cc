#include <immintrin.h>

#include "kernels/cpu/peak_kernels.h"

namespace hadal::cpu {
namespace {

// Eight full tiles: 0..3 accumulate, 4..7 are operands. The operands are noise, as real ones are:
// on zeros the unit draws less power and runs faster than it ever does in use.
void Configure() {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  _tile_loadconfig(&config);
  alignas(64) uint16_t noise[4][512];
  uint32_t state = 1;
  for (auto& tile : noise) {
    for (uint16_t& v : tile) {
      state = state * 1664525u + 1013904223u;
      v = static_cast<uint16_t>(0x3f80 | (state >> 16 & 0x807f));  // as bf16: +-1 to +-2
    }
  }
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, noise[0], 64);
  _tile_loadd(5, noise[1], 64);
  _tile_loadd(6, noise[2], 64);
  _tile_loadd(7, noise[3], 64);
}

}  // namespace

double PeakAmxBf16(int64_t repeats) {
  Configure();
  for (int64_t r = 0; r < repeats / 8; ++r) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return static_cast<double>(repeats / 8) * 4 * 16 * 16 * 32 * 2;
}

double PeakAmxInt8(int64_t repeats) {
  Configure();
  for (int64_t r = 0; r < repeats / 8; ++r) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return static_cast<double>(repeats / 8) * 4 * 16 * 16 * 64 * 2;
}

}  // namespace hadal::cpu
