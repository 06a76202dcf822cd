// Matrices in blocks, one value at a time: what block_format.h means.
#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstring>

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

float Dot(const BlockFormat& f, const ActivationGroup* x, const uint8_t* blocks, int64_t n_blocks,
          int column) {
  float total = 0;
  for (int64_t b = 0; b < n_blocks; ++b) {
    const uint8_t* block = blocks + b * BlockBytes(f);
    for (int part = 0; part < BlockK(f) / f.part; ++part) {
      const int group = part * f.part / kGroup, begin = part * f.part % kGroup;
      const ActivationGroup& a = x[b * BlockGroups(f) + group];
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

}  // namespace

void MatMulBlocks(const BlockFormat& f, const MatMulTile& t) {
  const auto* x = static_cast<const ActivationGroup*>(t.x);
  for (int64_t c = t.panel0 * kPanel; c < std::min(t.n, t.panel1 * kPanel); ++c) {
    const auto* w = static_cast<const uint8_t*>(t.w) + c / kPanel * PanelBytesBlocks(f, t.k);
    for (int64_t r = 0; r < t.m; ++r) {
      const float sum = Dot(f, x + r * t.ldx, w, t.k / BlockK(f), static_cast<int>(c % kPanel));
      t.out[r * t.ldo + c] = t.bias ? sum + t.bias[c] : sum;
    }
  }
}

void QuantiseBlocks(const float* x, int64_t k, ActivationGroup* out) {
  for (int64_t k0 = 0; k0 < k; k0 += kGroup) {
    ActivationGroup& g = *out++;
    g = {};
    float amax = 0;
    bool finite = true;
    for (int64_t i = k0; i < k0 + kGroup; ++i) {
      finite &= std::fabs(x[i]) <= FLT_MAX;
      amax = std::max(amax, std::fabs(x[i]));
    }
    // Groups too small to invert are zero.
    const float inverse = !finite || amax < 1e-30f ? 0 : kActivationSteps / amax;
    for (int i = 0; i < kGroup; ++i) {
      g.x[i] = static_cast<int16_t>(finite ? std::lrintf(x[k0 + i] * inverse) : 0);
      g.sum[i / 16] += g.x[i];
    }
    g.sum[2] = g.sum[0] + g.sum[1];
    g.scale = finite ? amax / kActivationSteps : std::nanf("");
    for (int i = 0; i < 3; ++i) g.scaled_sum[i] = static_cast<float>(g.sum[i]) * g.scale;
  }
}

}  // namespace hadal::cpu::ref
