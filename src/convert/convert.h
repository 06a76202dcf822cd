// Owns: writing one model in another form: safetensors directory <-> GGUF file, any type to any
// type. Streams tensor by tensor: memory holds a few slices, never the model.
// Must not know kernels or families: it works on a Checkpoint's decoded rows.
// Use: HADAL_TRY(auto made, Converter::Start(in, out, options)); HADAL_OK(made->Finish());
// Between the two the complete file may be read at temporary_path(): `hadal quantize` measures it
// there, and drops it by not finishing.
// Thread rule: one thread; it encodes on a pool of its own.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "convert/weight_types.h"

namespace hadal {

struct ConvertOptions {
  TypeChoice type;
  // GGUF when the output ends in .gguf, otherwise a safetensors directory.
  int threads = 1;
  std::function<void(uint64_t done_bytes, uint64_t all_bytes)> progress = {};  // of the output
  const std::atomic<bool>* stop = nullptr;  // once true, Start ends soon with kCancelled
  // Bytes kept in the file's metadata for PatchReport (text "hadal.loss"); 0: no such pair.
  size_t report_bytes = 0;
};

class Converter {
 public:
  // Writes everything but the final name. kInvalidArgument: the output exists, or is inside the
  // input; kOutOfMemory never for the model's size.
  static Result<std::unique_ptr<Converter>> Start(const std::filesystem::path& in,
                                                  const std::filesystem::path& out,
                                                  const ConvertOptions& options);
  virtual ~Converter() = default;  // without Finish(): what was written is removed
  virtual const std::filesystem::path& temporary_path() const = 0;  // opens like any model
  virtual uint64_t file_bytes() const = 0;
  virtual std::span<const std::string> notes() const = 0;  // what the user should know
  virtual Status PatchReport(
      std::string_view json) = 0;  // at most report_bytes, padded with spaces
  virtual Status Finish() = 0;     // the final name appears
};

FileFormat FormatOfPath(const std::filesystem::path& out);

}  // namespace hadal
