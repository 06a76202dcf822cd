#include "formats/model_files.h"

namespace hadal {

Result<ModelFiles> OpenModelFiles(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool one_file = std::filesystem::is_regular_file(path, ignored);
  const std::filesystem::path directory = one_file ? path.parent_path() : path;
  ModelFiles files;
  HADAL_TRY(files.config, LoadModelConfig(directory));
  HADAL_TRY(files.generation, LoadGenerationConfig(directory));
  CheckpointOptions options;
  if (files.config.quantization) options.block = files.config.quantization->weight_block_size;
  HADAL_TRY(files.checkpoint, Checkpoint::Open(path, options));
  return files;
}

}  // namespace hadal
