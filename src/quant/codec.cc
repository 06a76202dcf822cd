#include "quant/codec.h"

#include "base/check.h"
#include "quant/blocks.h"

namespace hadal {
namespace {

using Decoder = void (*)(const uint8_t*, float*);

Decoder DecoderOf(QuantType type) {
  switch (type) {
    case QuantType::kQ4_0:
      return blocks::DecodeQ4_0;
    case QuantType::kQ4_1:
      return blocks::DecodeQ4_1;
    case QuantType::kQ5_0:
      return blocks::DecodeQ5_0;
    case QuantType::kQ5_1:
      return blocks::DecodeQ5_1;
    case QuantType::kQ8_0:
      return blocks::DecodeQ8_0;
    case QuantType::kQ2_K:
      return blocks::DecodeQ2_K;
    case QuantType::kQ3_K:
      return blocks::DecodeQ3_K;
    case QuantType::kQ4_K:
      return blocks::DecodeQ4_K;
    case QuantType::kQ5_K:
      return blocks::DecodeQ5_K;
    case QuantType::kQ6_K:
      return blocks::DecodeQ6_K;
    case QuantType::kIQ4_NL:
      return blocks::DecodeIQ4_NL;
    case QuantType::kIQ4_XS:
      return blocks::DecodeIQ4_XS;
    case QuantType::kMXFP4:
      return blocks::DecodeMXFP4;
    case QuantType::kU4Z:
      return blocks::DecodeU4Z;
  }
  return nullptr;
}

}  // namespace

void DecodeBlocks(QuantType type, const std::byte* blocks, int64_t n, float* out) {
  const QuantTraits& traits = TraitsOf(type);
  CHECK(n % traits.elements == 0);
  const Decoder decode = DecoderOf(type);
  const auto* in = reinterpret_cast<const uint8_t*>(blocks);
  for (int64_t i = 0; i < n / traits.elements; ++i) {
    decode(in + i * traits.bytes, out + i * traits.elements);
  }
}

}  // namespace hadal
