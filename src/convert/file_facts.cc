#include "convert/file_facts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/version.h"
#include "convert/weight_encoder.h"
#include "formats/json_text.h"

namespace hadal {

void AddFileFacts(const TypeChoice& type, GgufMetadata* metadata) {
  metadata->Add("general.file_type", GgufValue::U32(type.gguf_file_type));
  metadata->Add("general.quantized_by", GgufValue::Text(fmt::format("Hadal {}", Version())));
  metadata->Add("general.quantization_version", GgufValue::U32(2));
}

GgufTypes::GgufTypes(const TypeChoice& type, const ModelConfig& config,
                     const std::vector<GgufTensorPlan>& plans)
    : type_(type),
      n_layers_(config.num_hidden_layers),
      grouped_query_(config.num_key_value_heads < config.num_attention_heads),
      tied_(std::none_of(plans.begin(), plans.end(),
                         [](const GgufTensorPlan& p) { return p.name == "output.weight"; })) {}

TensorType GgufTypes::Of(const GgufTensorPlan& plan) const {
  const int rank = plan.shape.rank();
  return TypeFor(type_, {.gguf_name = plan.name,
                         .cols = rank == 0 ? 1 : plan.shape[rank - 1],
                         .layer = plan.layer,
                         .n_layers = n_layers_,
                         .vector = plan.vector,
                         .router = plan.router,
                         .grouped_query = grouped_query_,
                         .tied = tied_});
}

TensorType HubTypeFor(const TypeChoice& type, TensorRole role) {
  if (role == TensorRole::kChoiceBias) return DType::kF32;
  if (type.base != TensorType(DType::kF8E4M3)) return type.base;
  return IsFp8Matrix(role) ? DType::kF8E4M3 : DType::kBf16;
}

Result<std::string> WithHubType(std::string_view config_json, const TypeChoice& type) {
  HADAL_TRY(nlohmann::json config, ParseJson(config_json, {}));
  if (!config.is_object()) return Fail(ErrorCode::kBadFile, "config.json is not an object");
  const auto dtype = std::get<DType>(type.base);
  config.erase("quantization_config");
  config.erase("dtype");  // the name that transformers 5 gives it
  config["torch_dtype"] = dtype == DType::kF32   ? "float32"
                          : dtype == DType::kF16 ? "float16"
                                                 : "bfloat16";
  if (dtype == DType::kF8E4M3) {
    config["quantization_config"] = {{"activation_scheme", "dynamic"},
                                     {"fmt", "e4m3"},
                                     {"quant_method", "fp8"},
                                     {"weight_block_size", {kFp8Block, kFp8Block}}};
  }
  return config.dump(2) + "\n";
}

}  // namespace hadal
