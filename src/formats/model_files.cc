#include "formats/model_files.h"

#include <algorithm>
#include <string>
#include <vector>

#include "formats/gguf_model.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

// "; it holds a.gguf, b.gguf: name one of them"
std::string HintOfGgufFiles(const fs::path& directory) {
  constexpr size_t kMostNames = 3;
  constexpr int kMostEntries = 10'000;
  std::error_code ec;
  std::vector<std::string> names;
  int n = 0;
  for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
    if (++n > kMostEntries) break;
    if (it->path().extension() == ".gguf") names.push_back(it->path().filename().string());
  }
  if (names.empty()) return "";
  std::sort(names.begin(), names.end());
  std::string all;
  for (size_t i = 0; i < std::min(names.size(), kMostNames); ++i) {
    all += (i > 0 ? ", " : "") + names[i];
  }
  return fmt::format("; it holds {}{}: give the path of the file", all,
                     names.size() > kMostNames ? ", ..." : "");
}

Result<ModelFiles> OpenGguf(const std::filesystem::path& path) {
  HADAL_TRY(auto file, GgufFile::Open(path));
  ModelFiles files;
  HADAL_TRY(files.config, ModelConfigOfGguf(*file));
  files.generation = GenerationConfigOfGguf(*file);
  HADAL_TRY(files.checkpoint, Checkpoint::OfGguf(std::move(file), files.config));
  return files;
}

}  // namespace

Status CheckIsModel(const fs::path& path) {
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (!fs::exists(status)) {
    return Fail(ErrorCode::kNotFound, "there is no file or directory {}", path.string());
  }
  if (fs::is_directory(status)) {
    if (fs::exists(path / "config.json", ec)) return {};
    return Fail(ErrorCode::kNotFound, "{} has no config.json, so it is no model directory{}",
                path.string(), HintOfGgufFiles(path));
  }
  if (IsGguf(path) || path.extension() == ".safetensors") return {};
  const auto opened = Checkpoint::Open(path);  // says what the file is and is not
  if (!opened) return tl::make_unexpected(opened.error());
  return {};
}

Result<GenerationConfig> LoadGenerationDefaults(const fs::path& path) {
  HADAL_OK(CheckIsModel(path));
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return LoadGenerationConfig(path);
  if (!IsGguf(path)) return LoadGenerationConfig(path.parent_path());
  HADAL_TRY(const auto file, GgufFile::Open(path));
  return GenerationConfigOfGguf(*file);
}

Result<ModelFiles> OpenModelFiles(const std::filesystem::path& path) {
  HADAL_OK(CheckIsModel(path));
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
