#include "convert/weight_encoder.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "quant/codec.h"

namespace hadal {
namespace {

constexpr float kLargestF16 = 65504;
constexpr float kLargestFp8 = 448;

Status CheckFinite(std::span<const float> values, std::string_view name) {
  constexpr uint32_t kExponent = 0x7f800000u;  // all ones: infinity or NaN
  bool found = false;
  for (const float v : values) found |= (std::bit_cast<uint32_t>(v) & kExponent) == kExponent;
  if (!found) return {};
  return FailField(ErrorCode::kBadFile, std::string(name),
                   "weights must be finite, but NaN or infinity is in {}", name);
}

Status CheckRange(const TensorType& type, std::span<const float> values, std::string_view name) {
  float largest = 0;
  for (const float v : values) largest = std::max(largest, std::fabs(v));
  if (largest <= kLargestF16) return {};
  return FailField(ErrorCode::kInvalidArgument, std::string(name),
                   "{} holds {:g}; {} ends at {:g}, so bf16 or f32 must be taken", name, largest,
                   NameOf(type), kLargestF16);
}

template <class Convert>
void Store16(std::span<const float> values, std::byte* out, Convert convert) {
  for (const float v : values) {
    const uint16_t bits = convert(v);
    std::memcpy(out, &bits, 2);
    out += 2;
  }
}

}  // namespace

Status EncodeRows(const TensorType& type, std::span<const float> values, std::string_view name,
                  std::byte* out) {
  HADAL_OK(CheckFinite(values, name));
  if (const auto* quant = std::get_if<QuantType>(&type)) {
    HADAL_OK(CheckRange(type, values, name));
    EncodeBlocks(*quant, values.data(), static_cast<int64_t>(values.size()), out);
    return {};
  }
  switch (std::get<DType>(type)) {
    case DType::kF32:
      std::memcpy(out, values.data(), values.size_bytes());
      return {};
    case DType::kBf16:
      Store16(values, out, FloatToBf16);
      return {};
    case DType::kF16:
      HADAL_OK(CheckRange(type, values, name));
      Store16(values, out, FloatToF16);
      return {};
    default:
      CHECK(false);  // not chosen for weights, or another function's
  }
  return {};
}

Status EncodeFp8(const Fp8Rows& in, std::string_view name, std::byte* out, float* scales) {
  HADAL_OK(CheckFinite({in.values, static_cast<size_t>(in.rows * in.cols)}, name));
  for (int64_t r0 = 0; r0 < in.rows; r0 += kFp8Block) {
    for (int64_t c0 = 0; c0 < in.cols; c0 += kFp8Block) {
      const int64_t r1 = std::min(r0 + kFp8Block, in.rows), c1 = std::min(c0 + kFp8Block, in.cols);
      float largest = 0;
      for (int64_t r = r0; r < r1; ++r) {
        for (int64_t c = c0; c < c1; ++c) {
          largest = std::max(largest, std::fabs(in.values[r * in.cols + c]));
        }
      }
      const float scale = largest / kLargestFp8;
      const bool usable = std::isnormal(scale);  // otherwise all are zero, or next to it
      *scales++ = usable ? scale : 1;
      for (int64_t r = r0; r < r1; ++r) {
        for (int64_t c = c0; c < c1; ++c) {
          const float value = in.values[r * in.cols + c];
          out[r * in.cols + c] =
              static_cast<std::byte>(FloatToF8E4M3(usable ? value / scale : 0.0f));
        }
      }
    }
  }
  return {};
}

}  // namespace hadal
