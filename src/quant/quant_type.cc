#include "quant/quant_type.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "base/check.h"

namespace hadal {
namespace {

constexpr std::array<QuantTraits, kQuantTypes> kTraits = {{
    {QuantType::kQ4_0, "q4_0", 2, 32, 18, true},
    {QuantType::kQ4_1, "q4_1", 3, 32, 20, false},
    {QuantType::kQ5_0, "q5_0", 6, 32, 22, true},
    {QuantType::kQ5_1, "q5_1", 7, 32, 24, false},
    {QuantType::kQ8_0, "q8_0", 8, 32, 34, true},
    {QuantType::kQ2_K, "q2_k", 10, 256, 84, false},
    {QuantType::kQ3_K, "q3_k", 11, 256, 110, false},
    {QuantType::kQ4_K, "q4_k", 12, 256, 144, true},
    {QuantType::kQ5_K, "q5_k", 13, 256, 176, true},
    {QuantType::kQ6_K, "q6_k", 14, 256, 210, true},
    {QuantType::kIQ4_NL, "iq4_nl", 20, 32, 18, false},
    {QuantType::kIQ4_XS, "iq4_xs", 23, 256, 136, false},
    {QuantType::kMXFP4, "mxfp4", 39, 32, 17, false},
    {QuantType::kU4Z, "u4z", -1, 32, 19, false},
}};

struct PlainType {
  DType dtype;
  std::string_view name;
  int32_t gguf_id;
};
constexpr PlainType kPlain[] = {
    {DType::kF32, "f32", 0}, {DType::kF16, "f16", 1},         {DType::kBf16, "bf16", 30},
    {DType::kI8, "i8", 24},  {DType::kI32, "i32", 26},        {DType::kI64, "i64", 27},
    {DType::kU8, "u8", -1},  {DType::kF8E4M3, "f8_e4m3", -1},
};

struct Named {
  uint32_t id;
  std::string_view name;
};
constexpr Named kGgufNames[] = {
    {0, "F32"},      {1, "F16"},    {2, "Q4_0"},    {3, "Q4_1"},   {4, "Q4_2"},     {5, "Q4_3"},
    {6, "Q5_0"},     {7, "Q5_1"},   {8, "Q8_0"},    {9, "Q8_1"},   {10, "Q2_K"},    {11, "Q3_K"},
    {12, "Q4_K"},    {13, "Q5_K"},  {14, "Q6_K"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"},
    {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"},
    {24, "I8"},      {25, "I16"},   {26, "I32"},    {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},
    {30, "BF16"},    {34, "TQ1_0"}, {35, "TQ2_0"},  {39, "MXFP4"}, {40, "NVFP4"},
};

}  // namespace

const QuantTraits& TraitsOf(QuantType type) {
  const QuantTraits& traits = kTraits[static_cast<size_t>(type)];
  CHECK(traits.type == type);
  return traits;
}

std::optional<QuantType> QuantTypeOfGguf(uint32_t gguf_id) {
  for (const QuantTraits& t : kTraits) {
    if (t.gguf_id >= 0 && static_cast<uint32_t>(t.gguf_id) == gguf_id) return t.type;
  }
  return std::nullopt;
}

int64_t RowBytes(QuantType type, int64_t cols) {
  const QuantTraits& t = TraitsOf(type);
  CHECK(cols % t.elements == 0);
  return cols / t.elements * t.bytes;
}

std::string_view NameOf(const TensorType& type) {
  if (const auto* quant = std::get_if<QuantType>(&type)) return NameOf(*quant);
  for (const PlainType& p : kPlain) {
    if (p.dtype == std::get<DType>(type)) return p.name;
  }
  return "";
}

Result<TensorType> ParseTensorType(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string all;
  for (const PlainType& p : kPlain) {
    if (p.name == lower) return TensorType(p.dtype);
    all += (all.empty() ? "" : ", ") + std::string(p.name);
  }
  for (const QuantTraits& t : kTraits) {
    if (t.name == lower) return TensorType(t.type);
    all += ", " + std::string(t.name);
  }
  return Fail(ErrorCode::kInvalidArgument, "there is no tensor type '{}'; there are {}", name, all);
}

int64_t BytesOf(const TensorType& type, int64_t rows, int64_t cols) {
  int64_t elements = 1, bytes = 0;  // of a block
  if (const auto* plain = std::get_if<DType>(&type)) {
    bytes = static_cast<int64_t>(SizeOf(*plain));
  } else {
    const QuantTraits& t = TraitsOf(std::get<QuantType>(type));
    elements = t.elements;
    bytes = t.bytes;
  }
  int64_t total = 0;
  if (rows < 0 || cols < 0 || cols % elements != 0 ||
      __builtin_mul_overflow(cols / elements, rows, &total) ||
      __builtin_mul_overflow(total, bytes, &total)) {
    return -1;
  }
  return total;
}

std::optional<TensorType> TensorTypeOfGguf(uint32_t gguf_id) {
  for (const PlainType& p : kPlain) {
    if (p.gguf_id >= 0 && static_cast<uint32_t>(p.gguf_id) == gguf_id) return p.dtype;
  }
  if (const auto quant = QuantTypeOfGguf(gguf_id)) return *quant;
  return std::nullopt;
}

std::string_view GgufTypeName(uint32_t gguf_id) {
  for (const Named& n : kGgufNames) {
    if (n.id == gguf_id) return n.name;
  }
  return "";
}

int32_t GgufIdOf(const TensorType& type) {
  if (const auto* quant = std::get_if<QuantType>(&type)) return TraitsOf(*quant).gguf_id;
  for (const PlainType& p : kPlain) {
    if (p.dtype == std::get<DType>(type)) return p.gguf_id;
  }
  return -1;
}

}  // namespace hadal
