#include "convert/weight_types.h"

#include <algorithm>
#include <cctype>

namespace hadal {
namespace {

constexpr int64_t kLayersOf70B = 80;

TypeChoice Plain(const char* name, DType type, int32_t file_type, const char* en, const char* zh) {
  return {name, type, FileFormat::kGguf, true, file_type, en, zh};
}
TypeChoice Blocks(const char* name, QuantType type, int32_t file_type, const char* en,
                  const char* zh) {
  return {name, type, FileFormat::kGguf, false, file_type, en, zh};
}

// Layers whose attn_v and ffn_down get more bits in the mix: the first and last eighth and every
// third between them.
bool MoreBits(int64_t layer, int64_t n) {
  return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
}

bool IsSuperBlock(QuantType type) { return TraitsOf(type).elements == 256; }

// What rows that are no whole number of 256-weight blocks get: the next larger type of 32.
// llama.cpp takes Q5_1 for Q5_K; it has no encoder here, and Q8_0 loses less.
QuantType SmallBlock(QuantType type) {
  switch (type) {
    case QuantType::kQ4_K:
      return QuantType::kQ5_0;
    case QuantType::kQ5_K:
    case QuantType::kQ6_K:
      return QuantType::kQ8_0;
    default:
      return type;
  }
}

QuantType Mixed(const TypeChoice& choice, const TensorFacts& t) {
  const auto base = std::get<QuantType>(choice.base);
  const bool output =
      t.gguf_name == "output.weight" || (t.tied && t.gguf_name == "token_embd.weight");
  if (output) return base == QuantType::kQ8_0 ? base : QuantType::kQ6_K;
  if (choice.name != "q4_k_m" || t.layer < 0) return base;
  const bool attn_v = t.gguf_name.ends_with("attn_v.weight");
  const bool down = t.gguf_name.find("ffn_down") != std::string_view::npos;
  if ((attn_v || down) && MoreBits(t.layer, t.n_layers)) return QuantType::kQ6_K;
  // 8 heads of a 70B model share one v, so that more bits for it cost next to nothing.
  if (attn_v && t.grouped_query && t.n_layers == kLayersOf70B) return QuantType::kQ5_K;
  return base;
}

}  // namespace

const std::vector<TypeChoice>& TypeChoices() {
  static const std::vector<TypeChoice> choices = {
      Plain("f32", DType::kF32, 0, "float32, exact", "float32，无损"),
      Plain("bf16", DType::kBf16, 32, "bfloat16, as most models are published",
            "bfloat16，多数模型的发布格式"),
      Plain("f16", DType::kF16, 1, "float16", "float16"),
      {"fp8", DType::kF8E4M3, FileFormat::kSafetensors, false, 0,
       "FP8 e4m3 with one scale per 128x128, as DeepSeek publishes",
       "FP8 e4m3，每 128x128 一个缩放，DeepSeek 的发布格式"},
      Blocks("q8_0", QuantType::kQ8_0, 7, "8.5 bits per weight, next to no loss",
             "每权重 8.5 位，几乎无损"),
      Blocks("q6_k", QuantType::kQ6_K, 18, "6.6 bits per weight", "每权重 6.6 位"),
      Blocks("q5_k", QuantType::kQ5_K, 16, "5.5 bits per weight", "每权重 5.5 位"),
      Blocks("q5_0", QuantType::kQ5_0, 8, "5.5 bits per weight, older blocks",
             "每权重 5.5 位，旧式分块"),
      Blocks("q4_k_m", QuantType::kQ4_K, 15, "4.5 bits, more where it matters: the usual choice",
             "4.5 位，关键处更高：常用选择"),
      Blocks("q4_k", QuantType::kQ4_K, 14, "4.5 bits per weight", "每权重 4.5 位"),
      Blocks("q4_0", QuantType::kQ4_0, 2, "4.5 bits per weight, older blocks",
             "每权重 4.5 位，旧式分块"),
  };
  return choices;
}

Result<TypeChoice> ParseTypeChoice(std::string_view name) {
  std::string lower(name), all;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const TypeChoice& c : TypeChoices()) {
    if (c.name == lower) return c;
    all += (all.empty() ? "" : ", ") + c.name;
  }
  return FailField(ErrorCode::kInvalidArgument, "type", "there is no type '{}'; there are {}", name,
                   all);
}

TensorType TypeFor(const TypeChoice& choice, const TensorFacts& tensor) {
  if (tensor.vector || tensor.router) return DType::kF32;
  if (!std::holds_alternative<QuantType>(choice.base)) return choice.base;
  QuantType type = Mixed(choice, tensor);
  if (IsSuperBlock(type) && tensor.cols % TraitsOf(type).elements != 0) type = SmallBlock(type);
  if (tensor.cols % TraitsOf(type).elements != 0) return DType::kF16;
  return type;
}

}  // namespace hadal
