// Owns: writing one checkpoint file tensor by tensor, in bounded memory, under a temporary name
// that becomes the final one only in Finish(): a process that is killed leaves nothing under it.
// Must not know what a tensor is for.
// Use:
//   HADAL_TRY(auto out, NewGgufWriter(path, tensors, metadata));
//   for each tensor, in order: HADAL_OK(out->Append(bytes)) as often as needed
//   HADAL_OK(out->Finish());
// Thread rule: one thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "core/tensor.h"
#include "formats/gguf.h"
#include "quant/quant_type.h"

namespace hadal {

struct DeclaredTensor {
  std::string name;
  TensorType type;
  Shape shape;  // outermost first
};

class WeightWriter {
 public:
  virtual ~WeightWriter() = default;  // without Finish(): the temporary file is removed
  // The next bytes of the current tensor; a tensor is complete when its size is reached, and bytes
  // never span two tensors (kInvalidArgument). kIo names the path and the reason (disk full).
  virtual Status Append(std::span<const std::byte> bytes) = 0;
  // Replaces the value of a text pair by one of the same length; before Finish().
  virtual Status PatchText(std::string_view key, std::string_view value) = 0;
  // All tensors must be complete. Flushes to disk, renames, flushes the directory.
  virtual Status Finish() = 0;
  // Bytes of the whole file.
  virtual uint64_t file_bytes() const = 0;
  // Where the bytes are until Finish(): the complete file may be read there once every tensor is
  // complete.
  virtual const std::filesystem::path& temporary_path() const = 0;
};

// GGUF v3, alignment 32, in one file.
Result<std::unique_ptr<WeightWriter>> NewGgufWriter(const std::filesystem::path& path,
                                                    std::span<const DeclaredTensor> tensors,
                                                    const GgufMetadata& metadata);
// Plain types only (kInvalidArgument for blocks).
Result<std::unique_ptr<WeightWriter>> NewSafetensorsWriter(
    const std::filesystem::path& path, std::span<const DeclaredTensor> tensors,
    const std::map<std::string, std::string>& metadata);

}  // namespace hadal
