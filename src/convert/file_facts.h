// Owns: what a converted file says of itself beside its weights, and which type each of its tensors
// gets in the two formats.
// Must not know where weights come from. Thread rule: values and free functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "convert/hub_tensors.h"
#include "convert/weight_types.h"
#include "formats/gguf_model.h"

namespace hadal {

// general.file_type, general.quantization_version, general.quantized_by.
void AddFileFacts(const TypeChoice& type, GgufMetadata* metadata);

// The types of a plan's tensors.
class GgufTypes {
 public:
  GgufTypes(const TypeChoice& type, const ModelConfig& config,
            const std::vector<GgufTensorPlan>& plans);
  TensorType Of(const GgufTensorPlan& plan) const;

 private:
  TypeChoice type_;
  int64_t n_layers_;
  bool grouped_query_, tied_;
};

// Type of a hub tensor: what FP8 does not cover is bf16, e_score_correction_bias is float32.
TensorType HubTypeFor(const TypeChoice& type, TensorRole role);

// config.json with torch_dtype and quantization_config of this type; all else stays.
Result<std::string> WithHubType(std::string_view config_json, const TypeChoice& type);

}  // namespace hadal
