// Owns: which type each tensor of a converted model gets: the names that users give ("q4_k_m"), the
// mix rules behind them and the fallbacks for rows that are no whole number of blocks.
// Must not know files. Thread rule: free functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "quant/quant_type.h"

namespace hadal {

enum class FileFormat { kSafetensors, kGguf };

struct TypeChoice {
  std::string name;  // "q4_k_m"
  TensorType base;   // of matrices that no rule lifts
  FileFormat only = FileFormat::kGguf;
  bool both_formats = false;   // f32, bf16, f16
  int32_t gguf_file_type = 0;  // general.file_type
  const char* en = "";
  const char* zh = "";

  bool Allows(FileFormat format) const { return both_formats || only == format; }
};
// f32 bf16 f16 (both formats), fp8 (safetensors), q8_0 q4_0 q5_0 q4_k q5_k q6_k q4_k_m (GGUF).
const std::vector<TypeChoice>& TypeChoices();
Result<TypeChoice> ParseTypeChoice(std::string_view name);  // kInvalidArgument lists them

struct TensorFacts {
  std::string_view gguf_name;  // "blk.3.attn_v.weight"
  int64_t cols = 0;
  int64_t layer = -1;  // of n_layers; -1 outside layers
  int64_t n_layers = 0;
  bool vector = false, router = false;  // always F32
  bool grouped_query = false;           // fewer kv heads than heads
  bool tied = false;                    // the model has no output.weight
};
// Source of the rule: llama.cpp's mix for Q4_K_M (facts in docs/QUANTISATION.md). With tied
// embeddings token_embd.weight is treated as the output that it also is.
TensorType TypeFor(const TypeChoice& choice, const TensorFacts& tensor);

}  // namespace hadal
