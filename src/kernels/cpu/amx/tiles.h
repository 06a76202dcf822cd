// Owns: the tile instructions that the kernels of this folder use, under names of our own, in two
// forms: those of the CPU, or (HADAL_EMULATED_TILES) their definition written out with AVX-512, so
// that every kernel here can be tested on a machine without AMX, with the same bits.
// Source of the definition: Intel SDM, TDPBF16PS, TDPBUSD and TDPBSSD. Denormals are not flushed
// when emulated. Included only by the files of this folder; everything has internal linkage. Thread
// rule: tiles belong to a thread.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/cpu/avx512/vector.h"

namespace hadal::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileBytes = 64;  // per tile row
constexpr int64_t kOperandBytes = kTileRows * kTileBytes;

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

#if defined(HADAL_EMULATED_TILES)

struct EmulatedTiles {
  int rows[8], row_bytes[8];
  alignas(64) uint8_t bytes[8][kTileRows][kTileBytes];
};
thread_local EmulatedTiles emulated;

HADAL_AVX512_INLINE void TileConfigure(const TileConfig& config) {
  for (int i = 0; i < 8; ++i) {
    emulated.rows[i] = config.rows[i];
    emulated.row_bytes[i] = config.row_bytes[i];
  }
}
HADAL_AVX512_INLINE void TileRelease() {}
template <int kTile>
HADAL_AVX512_INLINE void TileZero() {
  std::memset(emulated.bytes[kTile], 0, sizeof emulated.bytes[kTile]);
}
template <int kTile>
HADAL_AVX512_INLINE void TileLoad(const void* from, int64_t stride) {
  for (int r = 0; r < emulated.rows[kTile]; ++r) {
    std::memcpy(emulated.bytes[kTile][r], static_cast<const char*>(from) + r * stride,
                static_cast<size_t>(emulated.row_bytes[kTile]));
  }
}
template <int kTile>
HADAL_AVX512_INLINE void TileStore(void* to, int64_t stride) {
  for (int r = 0; r < emulated.rows[kTile]; ++r) {
    std::memcpy(static_cast<char*>(to) + r * stride, emulated.bytes[kTile][r],
                static_cast<size_t>(emulated.row_bytes[kTile]));
  }
}
// Steps of a product: 4 bytes of a row of a, a row of b. Shapes that do not fit end the program, as
// on the CPU; sums and b are whole rows wide in all the kernels here.
template <int kSums, int kA, int kB>
HADAL_AVX512_INLINE int EmulatedSteps() {
  const int steps = emulated.row_bytes[kA] / 4;
  const bool fit = emulated.rows[kB] == steps && emulated.rows[kSums] == emulated.rows[kA] &&
                   emulated.row_bytes[kSums] == kTileBytes && emulated.row_bytes[kB] == kTileBytes;
  if (!fit) __builtin_trap();
  return steps;
}
// sums += a * b: even and odd values of k in a chain each, then added.
template <int kSums, int kA, int kB>
void TileDotBf16() {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  const int steps = EmulatedSteps<kSums, kA, kB>();
  for (int r = 0; r < emulated.rows[kA]; ++r) {
    __m512 even = _mm512_setzero_ps(), odd = even;
    for (int k = 0; k < steps; ++k) {
      uint32_t pair;
      std::memcpy(&pair, emulated.bytes[kA][r] + 4 * k, 4);
      const __m512i b = _mm512_load_si512(emulated.bytes[kB][k]);
      const __m512i a = _mm512_set1_epi32(static_cast<int>(pair));
      even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(a, 16)),
                             _mm512_castsi512_ps(_mm512_slli_epi32(b, 16)), even);
      odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(a, high)),
                            _mm512_castsi512_ps(_mm512_and_si512(b, high)), odd);
    }
    auto* sums = reinterpret_cast<float*>(emulated.bytes[kSums][r]);
    _mm512_storeu_ps(sums, _mm512_add_ps(_mm512_loadu_ps(sums), _mm512_add_ps(even, odd)));
  }
}
// sums += a * b of unsigned bytes a and signed bytes b.
template <int kSums, int kA, int kB>
void TileDotU8S8() {
  const int steps = EmulatedSteps<kSums, kA, kB>();
  for (int r = 0; r < emulated.rows[kA]; ++r) {
    __m512i sum = _mm512_load_si512(emulated.bytes[kSums][r]);
    for (int k = 0; k < steps; ++k) {
      int quad;
      std::memcpy(&quad, emulated.bytes[kA][r] + 4 * k, 4);
      sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(quad),
                                _mm512_load_si512(emulated.bytes[kB][k]));
    }
    _mm512_store_si512(emulated.bytes[kSums][r], sum);
  }
}
// The same of signed bytes a and b: 128 * b is added with a, and subtracted.
template <int kSums, int kA, int kB>
void TileDotS8S8() {
  const int steps = EmulatedSteps<kSums, kA, kB>();
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(128));
  __m512i added = _mm512_setzero_si512();
  for (int k = 0; k < steps; ++k) {
    added = _mm512_dpbusd_epi32(added, offset, _mm512_load_si512(emulated.bytes[kB][k]));
  }
  for (int r = 0; r < emulated.rows[kA]; ++r) {
    __m512i sum = _mm512_sub_epi32(_mm512_load_si512(emulated.bytes[kSums][r]), added);
    for (int k = 0; k < steps; ++k) {
      int quad;
      std::memcpy(&quad, emulated.bytes[kA][r] + 4 * k, 4);
      const __m512i a = _mm512_xor_si512(_mm512_set1_epi32(quad), offset);
      sum = _mm512_dpbusd_epi32(sum, a, _mm512_load_si512(emulated.bytes[kB][k]));
    }
    _mm512_store_si512(emulated.bytes[kSums][r], sum);
  }
}

#else

HADAL_AVX512_INLINE void TileConfigure(const TileConfig& config) { _tile_loadconfig(&config); }
HADAL_AVX512_INLINE void TileRelease() { _tile_release(); }
template <int kTile>
HADAL_AVX512_INLINE void TileZero() {
  _tile_zero(kTile);
}
template <int kTile>
HADAL_AVX512_INLINE void TileLoad(const void* from, int64_t stride) {
  _tile_loadd(kTile, from, static_cast<size_t>(stride));
}
template <int kTile>
HADAL_AVX512_INLINE void TileStore(void* to, int64_t stride) {
  _tile_stored(kTile, to, static_cast<size_t>(stride));
}
template <int kSums, int kA, int kB>
HADAL_AVX512_INLINE void TileDotBf16() {
  _tile_dpbf16ps(kSums, kA, kB);
}
template <int kSums, int kA, int kB>
HADAL_AVX512_INLINE void TileDotU8S8() {
  _tile_dpbusd(kSums, kA, kB);
}
template <int kSums, int kA, int kB>
HADAL_AVX512_INLINE void TileDotS8S8() {
  _tile_dpbssd(kSums, kA, kB);
}

#endif

}  // namespace
}  // namespace hadal::cpu
