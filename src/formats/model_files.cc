#include "formats/model_files.h"

#include "formats/gguf_model.h"

namespace hadal {
namespace {

Result<ModelFiles> OpenGguf(const std::filesystem::path& path) {
  HADAL_TRY(auto file, GgufFile::Open(path));
  ModelFiles files;
  HADAL_TRY(files.config, ModelConfigOfGguf(*file));
  files.generation = GenerationConfigOfGguf(*file);
  HADAL_TRY(files.checkpoint, Checkpoint::OfGguf(std::move(file), files.config));
  return files;
}

}  // namespace

Result<ModelFiles> OpenModelFiles(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored) && IsGguf(path)) return OpenGguf(path);
  const bool one_file = std::filesystem::is_regular_file(path, ignored);
  const std::filesystem::path directory = one_file ? path.parent_path() : path;
  ModelFiles files;
  HADAL_TRY(files.config, LoadModelConfig(directory));
  HADAL_TRY(files.generation, LoadGenerationConfig(directory));
  CheckpointOptions options;
  if (files.config.quantization) options.block = files.config.quantization->weight_block_size;
  options.int4 = files.config.int4;
  HADAL_TRY(files.checkpoint, Checkpoint::Open(path, options));
  return files;
}

}  // namespace hadal
