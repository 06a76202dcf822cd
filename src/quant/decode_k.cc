// Decoders of the k-quants: 256 weights, sub-blocks of 16 or 32 with scales of their own.
#include "quant/blocks.h"

namespace hadal::blocks {
namespace {

float AsFloat(int v) { return static_cast<float>(v); }

// 16 two-bit codes at `shift` of bytes q.
int TwoBits(uint8_t byte, int shift) { return byte >> shift & 3; }

// Scale k of the 12 bytes of Q3_K, without its offset of 32: low nibbles of scales 0-7 and 8-15
// share bytes 0-7; the two high bits of scales k, k + 4, ... share byte 8 + k.
int Q3Scale(const uint8_t* s, int k) {
  const int low = k < 8 ? s[k] & 15 : s[k - 8] >> 4;
  return low | (s[8 + k % 4] >> (k / 4 * 2) & 3) << 4;
}

}  // namespace

// In both halves of 128, sub-blocks 2j and 2j + 1 are bits 2j of the half's bytes 0-15 and 16-31.
void DecodeQ2_K(const uint8_t* block, float* out) {
  const float d = LoadF16(block + 80), dmin = LoadF16(block + 82);
  for (int sub = 0; sub < 16; ++sub) {
    const float scale = d * AsFloat(block[sub] & 15), min = dmin * AsFloat(block[sub] >> 4);
    const uint8_t* q = block + 16 + sub / 8 * 32 + sub % 2 * 16;
    const int shift = sub % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) out[16 * sub + i] = scale * AsFloat(TwoBits(q[i], shift)) - min;
  }
}

// Low bits as Q2_K; third bits: bit sub / 2 of bytes 0-15 (even sub) or 16-31; unset means - 4.
void DecodeQ3_K(const uint8_t* block, float* out) {
  const float d = LoadF16(block + 108);
  for (int sub = 0; sub < 16; ++sub) {
    const float scale = d * AsFloat(Q3Scale(block + 96, sub) - 32);
    const uint8_t* high = block + sub % 2 * 16;
    const uint8_t* q = block + 32 + sub / 8 * 32 + sub % 2 * 16;
    const int shift = sub % 8 / 2 * 2, bit = sub / 2;
    for (int i = 0; i < 16; ++i) {
      out[16 * sub + i] = scale * AsFloat(TwoBits(q[i], shift) + (high[i] >> bit & 1) * 4 - 4);
    }
  }
}

void DecodeQ4_K(const uint8_t* block, float* out) {
  const float d = LoadF16(block), dmin = LoadF16(block + 2);
  for (int sub = 0; sub < 8; ++sub) {
    const ScaleMin s = UnpackScaleMin(block + 4, sub);
    const float scale = d * AsFloat(s.scale), min = dmin * AsFloat(s.min);
    const uint8_t* q = block + 16 + sub / 2 * 32;
    const int shift = sub % 2 * 4;
    for (int i = 0; i < 32; ++i) out[32 * sub + i] = scale * AsFloat(q[i] >> shift & 15) - min;
  }
}

void DecodeQ5_K(const uint8_t* block, float* out) {
  const float d = LoadF16(block), dmin = LoadF16(block + 2);
  const uint8_t* high = block + 16;
  for (int sub = 0; sub < 8; ++sub) {
    const ScaleMin s = UnpackScaleMin(block + 4, sub);
    const float scale = d * AsFloat(s.scale), min = dmin * AsFloat(s.min);
    const uint8_t* q = block + 48 + sub / 2 * 32;
    const int shift = sub % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int code = (q[i] >> shift & 15) | (high[i] >> sub & 1) << 4;
      out[32 * sub + i] = scale * AsFloat(code) - min;
    }
  }
}

// In both halves of 128, quarter k of 32 weights has its nibbles in bytes 32 * (k % 2) of the
// half's 64 (high ones for k >= 2) and bits 2k of the half's 32 bytes of high bits.
void DecodeQ6_K(const uint8_t* block, float* out) {
  const float d = LoadF16(block + 208);
  for (int part = 0; part < 8; ++part) {
    const int half = part / 4, k = part % 4;
    const uint8_t* low = block + half * 64 + k % 2 * 32;
    const uint8_t* high = block + 128 + half * 32;
    const auto* scales = reinterpret_cast<const int8_t*>(block + 192 + 2 * part);
    const int low_shift = k / 2 * 4, high_shift = 2 * k;
    for (int sub = 0; sub < 2; ++sub) {
      const float scale = d * AsFloat(scales[sub]);
      for (int i = 16 * sub; i < 16 * sub + 16; ++i) {
        const int code = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
        out[32 * part + i] = scale * AsFloat(code - 32);
      }
    }
  }
}

}  // namespace hadal::blocks
