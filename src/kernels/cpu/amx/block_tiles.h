// Owns: groups of a panel in blocks as operands of int8 tiles, unpacked once for many rows: codes
// as signed bytes with the zeros subtracted, scales as floats. Included only by matmul_blocks.cc of
// this folder; everything has internal linkage. Thread rule: pure functions.
#pragma once

#include "kernels/cpu/avx512/block_groups.h"

namespace hadal::cpu {
namespace {

// What a product depends on when its codes are unpacked.
struct Kind {
  int x_parts, parts;
  bool min, zeros;  // zeros: of columns, beyond what a signed byte can subtract
};
constexpr Kind KindOf(const BlockFormat& f) {
  return {f.x_parts, PartsOf(f), HasMin(f), f.scales == Scales::kHalfZero};
}

constexpr int kHalf = kQuads / 2;

// A group of a panel. With two parts, four rows of zeros lie between the halves: part 0 is rows
// 0..7, part 1 rows 4..11.
template <Kind kKind>
struct alignas(64) TileGroup {
  int8_t codes[kKind.parts == 1 ? kQuads : kQuads + kHalf][kQuadBytes];
  float scale[kKind.parts][kPanel];
  float min[kKind.min ? kKind.parts : 0][kPanel];  // to be added
  int32_t minus_zeros[kKind.zeros ? kPanel : 0];   // pairs
};
template <Kind kKind>
using TilePiece = TileGroup<kKind>[kPieceGroups];
template <Kind kKind>
using Rows = ActivationGroupType<kKind.x_parts>::Type;

template <int kFormat, class To>
HADAL_AVX512_INLINE void Unpack(const uint8_t* block, int g, To* out) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  constexpr int kGap = PartsOf(kF) == 1 ? 0 : kHalf;
  const PackedGroup<kFormat> from = {block, g};
  const __m512i zero = _mm512_set1_epi8(static_cast<char>(kF.zero));
  HADAL_UNROLL
  for (int j = 0; j < kQuads; ++j) {
    const __m512i codes = from.CodesAt(j);
    _mm512_store_si512(out->codes[j < kHalf ? j : j + kGap],
                       kF.zero == 0 ? codes : _mm512_sub_epi8(codes, zero));
  }
  HADAL_UNROLL
  for (int i = 0; i < PartsOf(kF); ++i) {
    const Factors f = from.FactorsAt(i);
    _mm512_store_ps(out->scale[i], f.scale);
    if constexpr (HasMin(kF)) {
      const __m512 sign = _mm512_set1_ps(kF.scales == Scales::kHalfMin ? 0.0f : -0.0f);
      _mm512_store_ps(out->min[i], _mm512_xor_ps(f.min, sign));
    }
  }
  if constexpr (kF.scales == Scales::kHalfZero) {
    _mm512_store_si512(out->minus_zeros, from.MinusZerosAt(0));
  }
}

// Groups [group, group + n) of a panel.
template <int kFormat, class Piece>
void UnpackGroups(const uint8_t* panel, int64_t group, int n, Piece& out) {
  constexpr BlockFormat kF = kBlockFormats[kFormat];
  const uint8_t* block = panel + group / BlockGroups(kF) * BlockBytes(kF);
  for (int i = 0; i < n; i += BlockGroups(kF), block += BlockBytes(kF)) {
    for (int g = 0; g < BlockGroups(kF); ++g) {
      Unpack<kFormat>(block, g, out + i + g);
    }
  }
}

// What unpacking leaves as it is.
template <Kind kKind>
void ZeroGaps(TilePiece<kKind>& piece) {
  if constexpr (kKind.parts == 1) return;
  for (TileGroup<kKind>& group : piece) {
    for (int j = kHalf; j < kQuads; ++j) {
      _mm512_store_si512(group.codes[j], _mm512_setzero_si512());
    }
  }
}

}  // namespace
}  // namespace hadal::cpu
