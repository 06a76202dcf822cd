// Owns: the GGUF container, versions 2 and 3, little-endian: parsing and checking the header,
// mapping a file and its split parts. Must not know architectures: metadata keys and tensor names
// are text. Layout: magic "GGUF" | u32 version | u64 tensors | u64 pairs | pairs | tensor infos |
// padding | data. Everything is hostile: counts, lengths, offsets and types are checked in 64-bit
// arithmetic against the file's size before anything is read or allocated. Use: HADAL_TRY(auto
// file, GgufFile::Open("/models/r1-q4_k_m.gguf"));
//      std::optional<int64_t> n = file->metadata().Int("qwen2.block_count");
// Thread rule: immutable after Open; any thread may read it.
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
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "core/tensor.h"
#include "quant/quant_type.h"

namespace hadal {

struct GgufLimits {
  uint64_t max_pairs = 65'536;
  uint64_t max_tensors = 100'000;
  uint64_t max_string_bytes = 4u << 20;      // one string (chat templates)
  uint64_t max_key_bytes = 65'535;           // as the format says
  uint64_t max_name_bytes = 512;             // tensor names
  uint64_t max_array_elements = 4'000'000;   // one array
  uint64_t max_metadata_bytes = 512u << 20;  // decoded, all pairs together
  uint64_t max_splits = 1000;
};

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// One metadata value. `element` is the stored type, of the elements when it is an array; integers
// of every width are held as int64 (U64 above int64's range is refused), floats as double.
struct GgufValue {
  using Data = std::variant<int64_t, double, bool, std::string, std::vector<int64_t>,
                            std::vector<double>, std::vector<uint8_t>, std::vector<std::string>>;
  GgufType element = GgufType::kU32;
  bool array = false;
  Data data;  // an array of bools is vector<uint8_t>

  static GgufValue U32(int64_t v) { return {GgufType::kU32, false, v}; }
  static GgufValue U64(int64_t v) { return {GgufType::kU64, false, v}; }
  static GgufValue F32(double v) { return {GgufType::kF32, false, v}; }
  static GgufValue Bool(bool v) { return {GgufType::kBool, false, v}; }
  static GgufValue Text(std::string v) { return {GgufType::kString, false, std::move(v)}; }
  static GgufValue Texts(std::vector<std::string> v) {
    return {GgufType::kString, true, std::move(v)};
  }
  static GgufValue I32s(std::vector<int64_t> v) { return {GgufType::kI32, true, std::move(v)}; }
  static GgufValue F32s(std::vector<double> v) { return {GgufType::kF32, true, std::move(v)}; }
};

// Pairs in file order, with lookups that are empty when the key is absent or of another kind.
class GgufMetadata {
 public:
  // False when the key is there already.
  bool Add(std::string key, GgufValue value);
  const GgufValue* Find(std::string_view key) const;
  std::optional<int64_t> Int(std::string_view key) const;
  std::optional<double> Real(std::string_view key) const;  // also an integer
  std::optional<bool> Bool(std::string_view key) const;
  const std::string* Text(std::string_view key) const;  // nullptr when absent
  const std::vector<std::string>* Texts(std::string_view key) const;
  const std::vector<int64_t>* Ints(std::string_view key) const;
  const std::vector<double>* Reals(std::string_view key) const;
  const std::vector<std::pair<std::string, GgufValue>>& pairs() const { return pairs_; }

 private:
  std::vector<std::pair<std::string, GgufValue>> pairs_;
  std::map<std::string, size_t, std::less<>> index_;
};

struct GgufTensor {
  std::string name;
  TensorType type;
  // Outermost first, as everywhere in Hadal: GGUF's ne reversed. ne[0], the columns, is last.
  Shape shape;
  uint64_t begin = 0, end = 0;  // byte offsets in its file
  size_t part = 0;              // which file of a split
};

struct GgufHeader {
  uint32_t version = 3;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // in the order of the file; names are distinct
  uint64_t alignment = 32;          // general.alignment
  uint64_t data_begin = 0;          // byte offset in the file
};

// Checks the whole file: magic, version (1 and big-endian files get a message of their own),
// counts, keys, types, names, shapes, offsets (aligned, inside the file, not overlapping). kBadFile
// with the byte offset and the reason; kUnsupportedModel for a tensor type that is not read, by
// name.
Result<GgufHeader> ParseGgufHeader(std::span<const std::byte> file, const GgufLimits& limits);

class GgufFile {
 public:
  // A single file, or any part of a split "name-00001-of-00003.gguf": the others are found beside
  // it and checked (split.no, split.count, split.tensors.count, no tensor twice). metadata() is the
  // first part's. kNotFound names the missing part.
  static Result<std::unique_ptr<GgufFile>> Open(const std::filesystem::path& path,
                                                const GgufLimits& limits = {});
  // A single file that is in memory already; path() is empty.
  static Result<std::unique_ptr<GgufFile>> FromMemory(std::vector<std::byte> bytes,
                                                      const GgufLimits& limits = {});
  const GgufMetadata& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // of all parts
  const GgufTensor* Find(std::string_view name) const;                 // nullptr when absent
  std::span<const std::byte> bytes(const GgufTensor& t) const {        // may be unaligned
    return parts_[t.part].bytes.subspan(t.begin, t.end - t.begin);
  }
  const std::filesystem::path& path() const { return path_; }  // as given to Open
  uint32_t version() const { return version_; }
  size_t parts() const { return parts_.size(); }
  uint64_t total_bytes() const;                           // of tensor data
  uint64_t file_bytes() const;                            // of all parts
  bool damaged() const;                                   // MappedFile::damaged of any part
  const MappedFile* mapping(const GgufTensor& t) const {  // nullptr: in memory
    return parts_[t.part].mapped.get();
  }

 private:
  struct Part {
    std::unique_ptr<MappedFile> mapped;
    std::vector<std::byte> memory;  // when it is not mapped
    std::span<const std::byte> bytes;
  };
  GgufFile() = default;
  Status AddPart(std::unique_ptr<MappedFile> mapped, std::vector<std::byte> memory,
                 GgufHeader header);
  std::filesystem::path path_;
  uint32_t version_ = 3;
  GgufMetadata metadata_;
  std::vector<Part> parts_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
};

// True when the path names a GGUF file: the extension, or the magic of an existing file.
bool IsGguf(const std::filesystem::path& path);

}  // namespace hadal
