#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>

#include "formats/json_text.h"

namespace hadal {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kFormatMaxHeader = 100'000'000;  // the format's own bound

constexpr std::array kStoredDTypes = {
    StoredDType{"F32", 4, DType::kF32},
    StoredDType{"F16", 2, DType::kF16},
    StoredDType{"BF16", 2, DType::kBf16},
    StoredDType{"F8_E4M3", 1, DType::kF8E4M3},
    StoredDType{"I8", 1, DType::kI8},
    StoredDType{"U8", 1, DType::kU8},
    StoredDType{"I32", 4, DType::kI32},
    StoredDType{"I64", 8, DType::kI64},
    StoredDType{"BOOL", 1, {}},
    StoredDType{"F64", 8, {}},
    StoredDType{"I16", 2, {}},
    StoredDType{"U16", 2, {}},
    StoredDType{"U32", 4, {}},
    StoredDType{"U64", 8, {}},
    StoredDType{"F8_E5M2", 1, {}},
    StoredDType{"F8_E8M0", 1, {}},
};

const StoredDType* FindDType(std::string_view name) {
  for (const auto& t : kStoredDTypes)
    if (t.name == name) return &t;
  return nullptr;
}

// Reads characters and leaves behind how far it got, so that a refusal can name the byte.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at = nullptr;
  const char** seen = nullptr;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    *seen = ++at;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at == other.at; }
  bool operator!=(const CountingIterator& other) const { return at != other.at; }
};

// Receives the header as a stream of JSON events and accepts exactly
//   {"name": {"dtype": "F32", "shape": [n...], "data_offsets": [a, b]}, "__metadata__": {"k": "v"}}
// so that depth and memory are bounded by the limits, whatever the text holds.
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(const SafetensorsLimits& limits) : limits_(limits) {}

  SafetensorsHeader& header() { return header_; }
  const std::string& reason() const { return reason_; }

  bool start_object(size_t) override {
    if (in_ == In::kStart) return Enter(In::kTop);
    if (in_ != In::kTop) return Refuse("an object where none may stand");
    if (key_ == "__metadata__") {
      if (metadata_seen_) return Refuse("'__metadata__' stands twice");
      metadata_seen_ = true;
      return Enter(In::kMetadata);
    }
    if (header_.tensors.size() >= limits_.max_tensors) {
      return Refuse(fmt::format("more than {} tensors", limits_.max_tensors));
    }
    header_.tensors.emplace_back().name = key_;
    has_shape_ = has_range_ = false;
    return Enter(In::kTensor);
  }

  bool key(string_t& text) override {
    if (in_ == In::kTop) {
      if (text.size() > limits_.max_name_bytes) {
        return Refuse(fmt::format("a tensor name of {} bytes; the limit is {}", text.size(),
                                  limits_.max_name_bytes));
      }
      if (text.empty()) return Refuse("an empty tensor name");
    }
    if (in_ == In::kMetadata && header_.metadata.contains(text)) {
      return Refuse(fmt::format("'__metadata__' has the key {} twice", Quoted(text)));
    }
    key_ = std::move(text);
    return true;
  }

  bool end_object() override {
    if (in_ == In::kTensor) {
      if (tensor().dtype == nullptr) return RefuseTensor("has no 'dtype'");
      if (!has_shape_) return RefuseTensor("has no 'shape'");
      if (!has_range_) return RefuseTensor("has no 'data_offsets'");
      return Enter(In::kTop);
    }
    return Enter(in_ == In::kMetadata ? In::kTop : In::kEnd);
  }

  bool start_array(size_t) override {
    if (in_ != In::kTensor) return Refuse("an array where none may stand");
    numbers_.clear();
    if (key_ == "shape" && !has_shape_) return Enter(In::kShape);
    if (key_ == "data_offsets" && !has_range_) return Enter(In::kRange);
    return RefuseTensor(fmt::format("has an array {} that may not stand there", Quoted(key_)));
  }

  bool end_array() override {
    if (in_ == In::kShape) {
      auto shape = Shape::From(numbers_);
      if (!shape) return RefuseTensor(": " + shape.error().message);
      tensor().shape = *shape;
      has_shape_ = true;
    } else {
      if (numbers_.size() != 2) {
        return RefuseTensor(
            fmt::format("has {} data_offsets; it must be 2 (begin, end)", numbers_.size()));
      }
      tensor().begin = numbers_[0];
      tensor().end = numbers_[1];
      has_range_ = true;
    }
    return Enter(In::kTensor);
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (in_ != In::kShape && in_ != In::kRange) return Refuse("a number where none may stand");
    if (numbers_.size() >= kMaxNumbers) return RefuseTensor("has an array that is too long");
    numbers_.push_back(value);
    return true;
  }

  bool string(string_t& text) override {
    if (in_ == In::kMetadata) {
      header_.metadata.emplace(key_, std::move(text));
      return true;
    }
    if (in_ != In::kTensor) return Refuse("a string where none may stand");
    if (key_ != "dtype" || tensor().dtype != nullptr) {
      return RefuseTensor(fmt::format("has a string {} that may not stand there", Quoted(key_)));
    }
    tensor().dtype = FindDType(text);
    if (tensor().dtype == nullptr) {
      return RefuseTensor(fmt::format("has the unknown dtype {}", Quoted(text)));
    }
    return true;
  }

  bool null() override { return Refuse("a null where none may stand"); }
  bool boolean(bool) override { return Refuse("a boolean where none may stand"); }
  bool number_integer(number_integer_t value) override {
    return Refuse(fmt::format("the negative number {}", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return Refuse(fmt::format("the number {} is not an unsigned 64-bit integer", Quoted(text)));
  }
  bool binary(binary_t&) override { return Refuse("binary data"); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return Refuse("not valid JSON");
  }

 private:
  enum class In { kStart, kTop, kMetadata, kTensor, kShape, kRange, kEnd };
  static constexpr size_t kMaxNumbers = 16;

  SafetensorsTensor& tensor() { return header_.tensors.back(); }
  bool Enter(In in) {
    in_ = in;
    return true;
  }
  bool Refuse(std::string reason) {
    if (reason_.empty()) reason_ = std::move(reason);
    return false;
  }
  bool RefuseTensor(std::string_view what) {
    return Refuse(fmt::format("tensor {} {}", Quoted(tensor().name), what));
  }

  const SafetensorsLimits& limits_;
  SafetensorsHeader header_;
  std::string reason_;
  std::string key_;
  std::vector<uint64_t> numbers_;
  In in_ = In::kStart;
  bool metadata_seen_ = false, has_shape_ = false, has_range_ = false;
};

Status CheckNamesOnce(const std::vector<SafetensorsTensor>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const auto& t : tensors) names.push_back(t.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return {};
  return FailField(ErrorCode::kBadFile, std::string(*twice), "tensor {} stands twice in the header",
                   Quoted(*twice));
}

// Offsets become absolute; each range must be what dtype x shape needs.
Status CheckRange(SafetensorsTensor& t, uint64_t data_begin, uint64_t file_bytes) {
  const auto fail = [&](std::string reason) {
    return FailField(ErrorCode::kBadFile, t.name, "tensor {}: {}", Quoted(t.name), reason);
  };
  const uint64_t data_bytes = file_bytes - data_begin;
  if (t.begin > t.end) {
    return fail(fmt::format("data_offsets [{}, {}] run backwards", t.begin, t.end));
  }
  if (t.end > data_bytes) {
    return fail(fmt::format(
        "data_offsets [{}, {}] end beyond the {} bytes of data in the file: the file is truncated "
        "at byte {} or the offsets are wrong",
        t.begin, t.end, data_bytes, file_bytes));
  }
  uint64_t needed = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(t.shape.elements()), t.dtype->bytes, &needed) ||
      needed != t.end - t.begin) {
    return fail(fmt::format("{} {} needs {} x {} bytes, but data_offsets [{}, {}] hold {}",
                            t.dtype->name, t.shape.ToString(), t.shape.elements(), t.dtype->bytes,
                            t.begin, t.end, t.end - t.begin));
  }
  t.begin += data_begin;
  t.end += data_begin;
  return {};
}

// Sorts by place and demands that the ranges tile the data exactly.
Status CheckTiling(std::vector<SafetensorsTensor>& tensors, uint64_t data_begin,
                   uint64_t file_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t expected = data_begin;
  std::string_view previous = "the header";
  for (const auto& t : tensors) {
    if (t.begin != expected) {
      return FailField(
          ErrorCode::kBadFile, t.name,
          "tensor {} begins at byte {} of the file, expected {}: {} {}", Quoted(t.name), t.begin,
          expected, t.begin < expected ? "it overlaps" : "there is a gap after", Quoted(previous));
    }
    expected = t.end;
    previous = t.name;
  }
  if (expected == file_bytes) return {};
  return Fail(ErrorCode::kBadFile, "the data ends at byte {}, but the file has {} bytes", expected,
              file_bytes);
}

}  // namespace

Result<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file,
                                                 const SafetensorsLimits& limits) {
  if (file.size() < kLengthBytes) {
    return Fail(ErrorCode::kBadFile,
                "truncated at byte {}: a safetensors file begins with an 8-byte header length",
                file.size());
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= static_cast<uint64_t>(file[i]) << (8 * i);
  const uint64_t most = std::min(limits.max_header_bytes, kFormatMaxHeader);
  if (length > most) {
    return Fail(
        ErrorCode::kBadFile,
        "header length at byte 0 is {}; at most {} is allowed (is this a safetensors file?)",
        length, most);
  }
  if (length > file.size() - kLengthBytes) {
    return Fail(ErrorCode::kBadFile, "the header needs bytes 8 to {}, but the file has {} bytes",
                kLengthBytes + length, file.size());
  }
  if (length == 0 || static_cast<char>(file[kLengthBytes]) != '{') {
    return Fail(ErrorCode::kBadFile, "the header at byte 8 does not begin with '{{'");
  }
  const char* begin = reinterpret_cast<const char*>(file.data()) + kLengthBytes;
  const char* seen = begin;
  HeaderReader reader(limits);
  bool accepted = false;
  try {
    accepted = Json::sax_parse(CountingIterator{begin, &seen},
                               CountingIterator{begin + length, &seen}, &reader);
  } catch (const std::exception& e) {
    return Fail(ErrorCode::kBadFile, "the header cannot be parsed: {}", e.what());
  }
  if (!accepted) {
    return Fail(ErrorCode::kBadFile, "header at byte {}: {}",
                kLengthBytes + static_cast<uint64_t>(seen - begin), reader.reason());
  }
  SafetensorsHeader header = std::move(reader.header());
  header.data_begin = kLengthBytes + length;
  HADAL_OK(CheckNamesOnce(header.tensors));
  for (auto& t : header.tensors) HADAL_OK(CheckRange(t, header.data_begin, file.size()));
  HADAL_OK(CheckTiling(header.tensors, header.data_begin, file.size()));
  return header;
}

Result<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::filesystem::path& path,
                                                               const SafetensorsLimits& limits) {
  HADAL_TRY(auto file, MappedFile::Open(path));
  auto header = ParseSafetensorsHeader(file->bytes(), limits);
  if (!header) return tl::make_unexpected(header.error().In(path.string()));
  if (file->damaged()) {
    return Fail(ErrorCode::kBadFile, "{}: the file shrank while it was read", path.string());
  }
  return std::unique_ptr<SafetensorsFile>(new SafetensorsFile(std::move(file), std::move(*header)));
}

const SafetensorsTensor* SafetensorsFile::Find(std::string_view name) const {
  for (const auto& t : header_.tensors)
    if (t.name == name) return &t;
  return nullptr;
}

}  // namespace hadal
