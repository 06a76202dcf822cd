// Owns: the place that a new model is written to: a GGUF file, or a directory with
// model.safetensors and small files beside it. Until Finish() everything is under a temporary name
// in the same parent directory; a process that is killed leaves nothing under the final one.
// Must not know what the tensors are.
// Use: HADAL_TRY(auto out, ModelOutput::Gguf(path, tensors, metadata));
//      StreamTensors(..., out->writer(), ...); HADAL_OK(out->Complete()); HADAL_OK(out->Finish());
// Thread rule: one thread.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/weight_writer.h"

namespace hadal {

class ModelOutput {
 public:
  using TextFiles = std::map<std::string, std::string>;  // name -> contents

  // kInvalidArgument: something is there already, or the name is that of the other form; kNotFound:
  // no parent directory; kIo: the file system has less room than the model needs, or refuses.
  static Result<std::unique_ptr<ModelOutput>> Gguf(const std::filesystem::path& path,
                                                   const std::vector<DeclaredTensor>& tensors,
                                                   const GgufMetadata& metadata);
  static Result<std::unique_ptr<ModelOutput>> Directory(
      const std::filesystem::path& path, const std::vector<DeclaredTensor>& tensors,
      const TextFiles& files, const std::map<std::string, std::string>& metadata);

  virtual ~ModelOutput() = default;  // without Finish(): what was written is removed
  virtual WeightWriter& writer() = 0;
  // All tensors are written: temporary_path() opens like any model from now on.
  virtual Status Complete() = 0;
  virtual const std::filesystem::path& temporary_path() const = 0;
  virtual uint64_t file_bytes() const = 0;
  // Replaces the text of a metadata pair by another of at most its length, padded with spaces.
  virtual Status PatchText(std::string_view key, std::string_view text) = 0;
  virtual Status Finish() = 0;
};

// kInvalidArgument when `path` exists in any form; kNotFound when its parent does not.
Status CheckOutputIsFree(const std::filesystem::path& path);

}  // namespace hadal
