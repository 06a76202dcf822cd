// Owns: the safetensors container: parsing its header, mapping a file, writing one.
// Must not know checkpoints, models or what a tensor is for.
// Layout: 8 bytes little-endian header length N | N bytes of JSON | tensor data, contiguous.
// Use: HADAL_TRY(auto file, SafetensorsFile::Open(path)); for (const auto& t : file->tensors()) ...
// Thread rule: SafetensorsFile is immutable after Open; any thread may read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "core/dtype.h"
#include "core/tensor.h"

namespace hadal {

struct SafetensorsLimits {
  uint64_t max_header_bytes = 16u << 20;  // the format itself allows 100 000 000
  size_t max_tensors = 100'000;
  size_t max_name_bytes = 512;
};

// An element type as the format spells it. `weight` is empty for those that no weight may have
// (BOOL, F64, I16, U16, U32, U64, F8_E5M2, F8_E8M0).
struct StoredDType {
  std::string_view name;
  uint64_t bytes = 0;
  std::optional<DType> weight;
};

struct SafetensorsTensor {
  std::string name;
  const StoredDType* dtype = nullptr;  // a row of a constant table
  Shape shape;
  uint64_t begin = 0;  // byte offsets in the file; end - begin = elements x dtype bytes
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;       // in the order of their data
  std::map<std::string, std::string> metadata;  // "__metadata__"
  uint64_t data_begin = 0;                      // byte offset in the file
};

// Checks the whole file: length, JSON, names, dtypes, shape x dtype = range, no overlap, no gap,
// nothing missing or left over at the end. kBadFile with the byte offset and the reason.
Result<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file,
                                                 const SafetensorsLimits& limits);

class SafetensorsFile {
 public:
  static Result<std::unique_ptr<SafetensorsFile>> Open(const std::filesystem::path& path,
                                                       const SafetensorsLimits& limits = {});
  const std::vector<SafetensorsTensor>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  const std::filesystem::path& path() const { return file_->path(); }
  std::span<const std::byte> bytes(const SafetensorsTensor& t) const {  // may be unaligned
    return file_->bytes().subspan(t.begin, t.end - t.begin);
  }
  const SafetensorsTensor* Find(std::string_view name) const;  // nullptr when absent
  bool damaged() const { return file_->damaged(); }
  const MappedFile& mapping() const { return *file_; }

 private:
  SafetensorsFile(std::unique_ptr<MappedFile> file, SafetensorsHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}
  std::unique_ptr<MappedFile> file_;
  SafetensorsHeader header_;
};

struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;  // exactly elements x SizeOf(dtype)
};

// Writes atomically; data starts at a multiple of 64 bytes, tensors follow in the order given.
// kInvalidArgument: a name twice, empty or not UTF-8, or bytes that do not match the shape.
Status WriteSafetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                        const std::map<std::string, std::string>& metadata = {});

}  // namespace hadal
