// Owns: what `hadal inspect` finds out about a model on disk, whole or broken.
// Must not know how it is printed. Thread rule: values and a free function.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/model_config.h"
#include "kernels/backend.h"

namespace hadal::cli {

struct TypeShare {
  std::string type;
  int64_t tensors = 0, weights = 0;
  uint64_t bytes = 0;
};

struct Inspection {
  std::string path, format;  // "GGUF v3", "safetensors"; empty when neither could be read
  std::string name;          // general.name
  int64_t files = 0;
  uint64_t file_bytes = 0;
  std::optional<ModelConfig> config;
  int64_t parameters = 0, active_parameters = 0;  // 0: not known
  std::vector<TypeShare> types;                   // largest first
  int64_t kv_f32 = 0, kv_bf16 = 0, kv_fp8 = 0;    // bytes per token; 0: not known
  // Of weights, were it loaded now: in memory, and read from the file at every use.
  uint64_t resident_bytes = 0, from_file_bytes = 0;

  int64_t vocabulary = 0;  // 0: none could be read
  std::string pre_tokenizer;
  std::vector<std::pair<std::string, int64_t>> tokens;  // "bos" or the token's text -> id
  std::string chat_format;                              // empty: none fits
  bool has_template = false;
  std::string loss_json;  // what `hadal quantize` measured; may be empty

  std::vector<std::string> problems;  // any: it would not run
  std::vector<std::string> notes;     // worth knowing, harmless

  int64_t weights() const;
  uint64_t tensor_bytes() const;
};

struct InspectSettings {
  bool deep = false;          // reads every weight and looks for NaN and infinity
  CpuBackendOptions backend;  // it would be loaded with; its threads read
  size_t weight_memory = SIZE_MAX;
};
Inspection InspectModel(const std::filesystem::path& path, const InspectSettings& settings);

}  // namespace hadal::cli
