#include "formats/model_files.h"

namespace hadal {

Result<ModelFiles> OpenModelFiles(const std::filesystem::path& directory) {
  ModelFiles files;
  HADAL_TRY(files.config, LoadModelConfig(directory));
  HADAL_TRY(files.generation, LoadGenerationConfig(directory));
  CheckpointOptions options;
  if (files.config.quantization) options.block = files.config.quantization->weight_block_size;
  HADAL_TRY(files.checkpoint, Checkpoint::Open(directory, options));
  return files;
}

}  // namespace hadal
