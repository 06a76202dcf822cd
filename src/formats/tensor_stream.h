// Owns: what the writers of both formats share: declared tensors, where each lies in the file, and
// the bytes arriving in that order. Must not know headers.
// Use: derive from TensorStream (formats/gguf_writer.cc, formats/safetensors_writer.cc).
// Thread rule: one thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/pending_file.h"
#include "formats/weight_writer.h"

namespace hadal {

struct PlacedTensor {
  std::string name;
  uint64_t begin = 0, end = 0;  // byte offsets within the data
};

struct TensorLayout {
  std::vector<PlacedTensor> tensors;
  uint64_t data_bytes = 0;  // padded to the alignment, the last tensor too
};

// Begins of tensors are multiples of `alignment`. kInvalidArgument: a name that is empty or stands
// twice, a row that is no whole number of blocks, sizes beyond 2^62.
Result<TensorLayout> LayOut(std::span<const DeclaredTensor> tensors, uint64_t alignment);

class TensorStream : public WeightWriter {
 public:
  Status Append(std::span<const std::byte> bytes) override;
  Status Finish() override;
  uint64_t file_bytes() const override { return file_bytes_; }
  const std::filesystem::path& temporary_path() const override { return temporary_path_; }

 protected:
  // Creates the file and writes the header; the data follow it at once.
  Status Start(const std::filesystem::path& path, std::string_view header, TensorLayout layout);
  // Overwrites part of the header.
  Status Replace(uint64_t at, std::string_view bytes);

 private:
  Status SkipComplete();

  std::unique_ptr<PendingFile> file_;
  std::filesystem::path temporary_path_;
  TensorLayout layout_;
  uint64_t file_bytes_ = 0;
  uint64_t at_ = 0;     // within the data
  size_t current_ = 0;  // the tensor that is written
};

}  // namespace hadal
