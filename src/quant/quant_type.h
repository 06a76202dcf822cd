// Owns: the element types that store weights in blocks along the columns of a row: their names,
// GGUF numbers and sizes. Layouts and codecs are in quant/codec.h.
// Must not know files or kernels.
// Thread rule: constants and free functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "core/dtype.h"

namespace hadal {

// Values of a matrix of F8_E4M3 that share a scale, as kernels take them.
constexpr int64_t kFp8TileRows = 16, kFp8TileCols = 128;

enum class QuantType : uint8_t {
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  // What AWQ and GPTQ tensors become when they are read, 19 bytes for 32 weights: f16 d, u8 zero z,
  // 16 bytes of nibbles in Q4_0's order; w = d * (q - z). No file has it.
  kU4Z,
};
constexpr int kQuantTypes = 14;

struct QuantTraits {
  QuantType type;
  std::string_view name;  // "q4_k"
  int32_t gguf_id;        // -1: not in GGUF files
  int32_t elements;       // weights of a block
  int32_t bytes;          // of a block
  bool encodable;         // EncodeRow can make it
};
const QuantTraits& TraitsOf(QuantType type);
inline std::string_view NameOf(QuantType type) { return TraitsOf(type).name; }
std::optional<QuantType> QuantTypeOfGguf(uint32_t gguf_id);

// Bytes of a row of `cols` weights; cols must be a multiple of the block.
int64_t RowBytes(QuantType type, int64_t cols);

// How a tensor's elements are stored in a file: plain numbers or blocks.
using TensorType = std::variant<DType, QuantType>;
std::string_view NameOf(const TensorType& type);  // "f32", "bf16", "f8_e4m3", "q4_k", ...
// Any name that NameOf gives, in either case. kInvalidArgument lists them.
Result<TensorType> ParseTensorType(std::string_view name);
// -1 when cols is not a whole number of blocks, a size is negative or the bytes exceed int64.
int64_t BytesOf(const TensorType& type, int64_t rows, int64_t cols);
std::optional<TensorType> TensorTypeOfGguf(uint32_t gguf_id);
// Name of any GGUF tensor type ever published ("IQ2_XXS"), for messages; "" for unknown numbers.
std::string_view GgufTypeName(uint32_t gguf_id);
// -1: has no GGUF number (F8_E4M3).
int32_t GgufIdOf(const TensorType& type);

}  // namespace hadal
