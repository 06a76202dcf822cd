#include <string>
#include <string_view>

#include "formats/json_text.h"
#include "formats/model_files.h"
#include "models/model.h"

namespace hadal {

using ModelFactory = Result<std::unique_ptr<Model>>(const ModelFiles& files, Backend& backend,
                                                    const LoadOptions& options);
ModelFactory LoadLlama, LoadQwen2, LoadQwen3, LoadDeepseekV2, LoadDeepseekV3, LoadDeepseek;

namespace {

struct Family {
  std::string_view model_type;  // of config.json
  ModelFactory* load;
};

constexpr Family kFamilies[] = {
    {"llama", LoadLlama},
    {"qwen2", LoadQwen2},
    {"qwen3", LoadQwen3},
    {"deepseek_v2", LoadDeepseekV2},
    {"deepseek_v3", LoadDeepseekV3},
    {"deepseek", LoadDeepseek},
};

}  // namespace

Result<std::unique_ptr<Model>> LoadModel(const std::filesystem::path& path, Backend& backend,
                                         const LoadOptions& options) {
  HADAL_TRY(const ModelFiles files, OpenModelFiles(path));
  std::string supported;
  for (const Family& family : kFamilies) {
    if (family.model_type == files.config.model_type) return family.load(files, backend, options);
    supported += supported.empty() ? "" : ", ";
    supported += family.model_type;
  }
  return FailField(ErrorCode::kUnsupportedModel, "model_type",
                   "model_type is {}; the supported ones are {}", Quoted(files.config.model_type),
                   supported);
}

}  // namespace hadal
