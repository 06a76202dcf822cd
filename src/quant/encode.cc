#include "base/check.h"
#include "quant/blocks.h"
#include "quant/codec.h"

namespace hadal {
namespace {

using Encoder = void (*)(const float*, uint8_t*);

Encoder EncoderOf(QuantType type) {
  switch (type) {
    case QuantType::kQ4_0:
      return blocks::EncodeQ4_0;
    case QuantType::kQ5_0:
      return blocks::EncodeQ5_0;
    case QuantType::kQ8_0:
      return blocks::EncodeQ8_0;
    case QuantType::kQ4_K:
      return blocks::EncodeQ4_K;
    case QuantType::kQ5_K:
      return blocks::EncodeQ5_K;
    case QuantType::kQ6_K:
      return blocks::EncodeQ6_K;
    default:
      return nullptr;
  }
}

}  // namespace

void EncodeBlocks(QuantType type, const float* values, int64_t n, std::byte* out) {
  const QuantTraits& traits = TraitsOf(type);
  const Encoder encode = EncoderOf(type);
  CHECK(traits.encodable && encode != nullptr && n % traits.elements == 0);
  auto* blocks = reinterpret_cast<uint8_t*>(out);
  for (int64_t i = 0; i < n / traits.elements; ++i) {
    encode(values + i * traits.elements, blocks + i * traits.bytes);
  }
}

}  // namespace hadal
