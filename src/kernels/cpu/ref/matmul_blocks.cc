// Matrices in blocks, one value at a time: what block_format.h means.
#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/dtype.h"
#include "kernels/cpu/ref/ref_kernels.h"

namespace hadal::cpu::ref {
namespace {

uint16_t LoadU16(const uint8_t* at, int index) {
  uint16_t v;
  std::memcpy(&v, at + 2 * index, sizeof v);
  return v;
}

// Code of value k of a group, before its zero point.
int Code(const BlockFormat& f, const uint8_t* low, const uint8_t* high, int column, int k) {
  const int quad = k / 4, byte = column * 4 + k % 4;
  const auto bits = [&](const uint8_t* plane, int width) {
    const int at = quad * width;
    return plane[at / 8 * kQuadBytes + byte] >> (at % 8) & ((1 << width) - 1);
  };
  const int code = bits(low, f.low_bits);
  if (f.table == ValueTable::kIq4) return kIq4Table[code];
  if (f.table == ValueTable::kMxfp4) return kMxfp4Table[code];
  return f.high_bits == 0 ? code : code | bits(high, f.high_bits) << f.low_bits;
}

// w = scale * (code - zero) + min.
struct Factors {
  float scale = 0, min = 0;
  int zero = 0;
};

// Of a column and a part of a packed block.
Factors FactorsOf(const BlockFormat& f, const uint8_t* block, int column, int part) {
  const uint16_t first = LoadU16(block, column);
  const float d = f.scales == Scales::kBf16 ? Bf16ToFloat(first) : F16ToFloat(first);
  const int at = part * kPanel + column;
  switch (f.scales) {
    case Scales::kHalf:
    case Scales::kBf16:
      return {d, 0, f.zero};
    case Scales::kHalfMin:
      return {d, F16ToFloat(LoadU16(block, kPanel + column)), 0};
    case Scales::kHalfZero:
      return {d, 0, block[32 + column]};
    case Scales::kSuper:
      return {d * static_cast<float>(std::bit_cast<int8_t>(block[32 + at])), 0, f.zero};
    case Scales::kSuperMin:
    case Scales::kSuperMinNibbles:
      break;
  }
  const float d_min = F16ToFloat(LoadU16(block, kPanel + column));
  const bool nibbles = f.scales == Scales::kSuperMinNibbles;
  const int scale = nibbles ? block[64 + at] & 15 : block[64 + at];
  const int min = nibbles ? block[64 + at] >> 4 : block[64 + BlockGroups(f) * kPanel + at];
  return {d * static_cast<float>(scale), -(d_min * static_cast<float>(min)), 0};
}

template <class Group>
float Dot(const BlockFormat& f, const Group* x, const uint8_t* blocks, int64_t n_blocks,
          int column) {
  float total = 0;
  for (int64_t b = 0; b < n_blocks; ++b) {
    const uint8_t* block = blocks + b * BlockBytes(f);
    for (int part = 0; part < BlockK(f) / f.part; ++part) {
      const int group = part * f.part / kGroup, begin = part * f.part % kGroup;
      const Group& a = x[b * BlockGroups(f) + group];
      const Factors factors = FactorsOf(f, block, column, part);
      int32_t sum = 0;
      for (int k = begin; k < begin + f.part; ++k) {
        const int code = Code(f, block + LowAt(f, group), block + HighAt(f, group), column, k);
        sum += a.x[k] * (code - factors.zero);
      }
      total = std::fma(static_cast<float>(sum) * a.scale, factors.scale, total);
      const int sums = f.part == kGroup ? 2 : begin / 16;
      if (f.scales == Scales::kHalfMin || f.scales >= Scales::kSuperMin) {
        total = std::fma(factors.min, a.scaled_sum[sums], total);
      }
    }
  }
  return total;
}

template <class Group>
void Multiply(const BlockFormat& f, const MatMulTile& t) {
  const auto* x = static_cast<const Group*>(t.x);
  for (int64_t c = t.panel0 * kPanel; c < std::min(t.n, t.panel1 * kPanel); ++c) {
    const auto* w = static_cast<const uint8_t*>(t.w) + c / kPanel * PanelBytesBlocks(f, t.k);
    for (int64_t r = 0; r < t.m; ++r) {
      const float sum = Dot(f, x + r * t.ldx, w, t.k / BlockK(f), static_cast<int>(c % kPanel));
      t.out[r * t.ldo + c] = t.bias ? sum + t.bias[c] : sum;
    }
  }
}

// Of a group, or NaN when one is not finite or above `most`.
float LargestMagnitude(const float* x, float most) {
  float amax = 0;
  for (int i = 0; i < kGroup; ++i) {
    if (!(std::fabs(x[i]) <= most)) return std::nanf("");
    amax = std::max(amax, std::fabs(x[i]));
  }
  return amax;
}

// The integers, in steps of amax / steps, and their sums; the caller has set the scale.
template <class Group, class Sum>
void Round(const float* x, float amax, float steps, Group* g, Sum (&sum)[2]) {
  // Zero where that is too small to invert or not a number.
  const float inverse = amax >= 1e-30f ? steps / amax : 0;
  int32_t sums[2] = {};
  for (int i = 0; i < kGroup; ++i) {
    const auto n = inverse == 0 ? 0 : std::lrintf(x[i] * inverse);
    g->x[i] = static_cast<std::remove_reference_t<decltype(g->x[0])>>(n);
    sums[i / 16] += static_cast<int32_t>(n);
  }
  for (int i = 0; i < 2; ++i) {
    sum[i] = static_cast<Sum>(sums[i]);
    g->scaled_sum[i] = static_cast<float>(sums[i]) * g->scale;
  }
  g->scaled_sum[2] = static_cast<float>(sums[0] + sums[1]) * g->scale;
}

}  // namespace

void MatMulBlocks(const BlockFormat& f, const MatMulTile& t) {
  if (f.x_parts == 1) return Multiply<ActivationGroup8>(f, t);
  Multiply<ActivationGroup16>(f, t);
}

void QuantiseGroups8(const float* x, int64_t k, ActivationGroup8* out) {
  for (int64_t k0 = 0; k0 < k; k0 += kGroup, ++out) {
    *out = {};
    const float amax = LargestMagnitude(x + k0, kLargestActivation);
    const auto bits = std::bit_cast<uint32_t>(amax / kActivationSteps8);
    out->scale = std::bit_cast<float>((bits + 2) & ~3u);
    out->minus_offset = -kSumOffset * out->scale;
    Round(x + k0, amax, kActivationSteps8, out, out->sum);
  }
}

void QuantiseGroups16(const float* x, int64_t k, ActivationGroup16* out) {
  for (int64_t k0 = 0; k0 < k; k0 += kGroup, ++out) {
    *out = {};
    const float amax = LargestMagnitude(x + k0, FLT_MAX);
    out->scale = amax / kActivationSteps16;
    int32_t halves[2];
    Round(x + k0, amax, kActivationSteps16, out, halves);
    for (int i = 0; i < 2; ++i) out->sum[i] = halves[i];
    out->sum[2] = halves[0] + halves[1];
  }
}

}  // namespace hadal::cpu::ref
