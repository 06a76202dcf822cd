#include <immintrin.h>

#include "kernels/cpu/peak_kernels.h"

namespace hadal::cpu {
namespace {

// Eight full tiles: 0..3 accumulate, 4..7 are operands.
void Configure() {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
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
