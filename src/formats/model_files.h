// Owns: opening what a model directory holds, in the one order that is right (the block size of FP8
// scales is in config.json, the scales are in the checkpoint).
// Use: HADAL_TRY(ModelFiles files, OpenModelFiles("/models/DeepSeek-V3"));
// Thread rule: see Checkpoint.
#pragma once

#include <filesystem>
#include <memory>

#include "base/error.h"
#include "formats/checkpoint.h"
#include "formats/model_config.h"

namespace hadal {

struct ModelFiles {
  ModelConfig config;
  GenerationConfig generation;
  std::shared_ptr<const Checkpoint> checkpoint;
};

// Whether the path can be a model at all: kNotFound names what is missing, and the GGUF files of a
// directory that holds nothing else; for other files the error of Checkpoint::Open.
Status CheckIsModel(const std::filesystem::path& path);

// A directory, one .safetensors file with its config.json beside it, or a .gguf file (any part of a
// split one), which holds everything itself.
// Errors of CheckIsModel, LoadModelConfig, LoadGenerationConfig and Checkpoint::Open.
Result<ModelFiles> OpenModelFiles(const std::filesystem::path& path);

// The part of it that says how answers are sampled. A .gguf file's own, whatever lies beside it.
Result<GenerationConfig> LoadGenerationDefaults(const std::filesystem::path& path);

}  // namespace hadal
