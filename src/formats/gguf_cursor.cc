#include "formats/gguf_cursor.h"

#include <string>
#include <type_traits>
#include <vector>

#include "formats/json_text.h"

namespace hadal {
namespace {

constexpr uint32_t kTypes = 13;
constexpr uint64_t kLengthBytes = 8;
// Bytes of an element in the file; of a text, those of its length.
constexpr uint64_t kStoredBytes[kTypes] = {1, 1, 2, 2, 4, 4, 4, 1, kLengthBytes, 0, 8, 8, 8};

// What a value is read from.
struct Source {
  GgufType type;
  bool array;
  uint64_t count;  // 1 when it is no array
  uint64_t at;     // byte offset of the first element
  std::string_view key;
};

template <class Stored>
GgufValue::Data Numbers(const std::byte* p, const Source& from) {
  using Held = std::conditional_t<std::is_floating_point_v<Stored>, double, int64_t>;
  if (!from.array) return static_cast<Held>(LoadLittleEndian<Stored>(p));
  std::vector<Held> out(from.count);
  for (uint64_t i = 0; i < from.count; ++i) {
    out[i] = static_cast<Held>(LoadLittleEndian<Stored>(p + i * sizeof(Stored)));
  }
  return out;
}

Result<GgufValue::Data> Unsigned64(const std::byte* p, const Source& from) {
  for (uint64_t i = 0; i < from.count; ++i) {
    const auto value = LoadLittleEndian<uint64_t>(p + i * 8);
    if (value <= INT64_MAX) continue;
    return FailField(ErrorCode::kBadFile, std::string(from.key),
                     "byte {}: the value of {} is {}; at most {} is allowed", from.at + i * 8,
                     Quoted(from.key), value, INT64_MAX);
  }
  return Numbers<uint64_t>(p, from);
}

Result<GgufValue::Data> Booleans(const std::byte* p, const Source& from) {
  std::vector<uint8_t> out(from.count);
  for (uint64_t i = 0; i < from.count; ++i) {
    out[i] = static_cast<uint8_t>(p[i]);
    if (out[i] <= 1) continue;
    return FailField(ErrorCode::kBadFile, std::string(from.key),
                     "byte {}: the value of {} is {}; a bool must be 0 or 1", from.at + i,
                     Quoted(from.key), out[i]);
  }
  if (!from.array) return out[0] == 1;
  return out;
}

Status Account(uint64_t bytes, uint64_t at, const GgufLimits& limits, uint64_t* decoded) {
  if (bytes > limits.max_metadata_bytes - *decoded) {
    return Fail(ErrorCode::kBadFile, "byte {}: the metadata needs more than {} bytes of memory", at,
                limits.max_metadata_bytes);
  }
  *decoded += bytes;
  return {};
}

Result<GgufValue::Data> Texts(GgufCursor* in, const Source& from, const GgufLimits& limits,
                              uint64_t* decoded) {
  std::vector<std::string> out;
  out.reserve(from.count);
  for (uint64_t i = 0; i < from.count; ++i) {
    HADAL_TRY(const auto text, in->Text(from.key, limits.max_string_bytes));
    HADAL_OK(Account(text.size(), in->at(), limits, decoded));
    out.emplace_back(text);
  }
  if (!from.array) return std::move(out[0]);
  return out;
}

Result<GgufValue::Data> Plain(GgufCursor* in, const Source& from) {
  HADAL_TRY(const std::byte* p,
            in->Take(from.count * kStoredBytes[static_cast<uint32_t>(from.type)], from.key));
  switch (from.type) {
    case GgufType::kU8:
      return Numbers<uint8_t>(p, from);
    case GgufType::kI8:
      return Numbers<int8_t>(p, from);
    case GgufType::kU16:
      return Numbers<uint16_t>(p, from);
    case GgufType::kI16:
      return Numbers<int16_t>(p, from);
    case GgufType::kU32:
      return Numbers<uint32_t>(p, from);
    case GgufType::kI32:
      return Numbers<int32_t>(p, from);
    case GgufType::kF32:
      return Numbers<float>(p, from);
    case GgufType::kBool:
      return Booleans(p, from);
    case GgufType::kU64:
      return Unsigned64(p, from);
    case GgufType::kI64:
      return Numbers<int64_t>(p, from);
    case GgufType::kF64:
      return Numbers<double>(p, from);
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  CHECK(false);
}

Result<GgufType> Type(GgufCursor* in, std::string_view key, bool element) {
  const uint64_t at = in->at();
  HADAL_TRY(const uint32_t type, in->U32("a value type"));
  if (type >= kTypes) {
    return FailField(ErrorCode::kBadFile, std::string(key),
                     "byte {}: the value type of {} is {}; 0 to {} are allowed", at, Quoted(key),
                     type, kTypes - 1);
  }
  if (element && static_cast<GgufType>(type) == GgufType::kArray) {
    return FailField(ErrorCode::kBadFile, std::string(key),
                     "byte {}: {} is an array of arrays (element type 9); numbers, bools and texts "
                     "are allowed",
                     at, Quoted(key));
  }
  return static_cast<GgufType>(type);
}

// The count of an array, checked so that it may be allocated.
Result<uint64_t> ArrayCount(GgufCursor* in, std::string_view key, GgufType type,
                            const GgufLimits& limits) {
  const uint64_t at = in->at();
  HADAL_TRY(const uint64_t count, in->U64("an array length"));
  if (count > limits.max_array_elements) {
    return FailField(ErrorCode::kBadFile, std::string(key),
                     "byte {}: the array {} has {} elements; at most {} are allowed", at,
                     Quoted(key), count, limits.max_array_elements);
  }
  const uint64_t stored = kStoredBytes[static_cast<uint32_t>(type)];
  if (count > in->left() / stored) {
    return FailField(ErrorCode::kBadFile, std::string(key),
                     "byte {}: the array {} has {} elements of at least {} bytes, but only {} "
                     "bytes of the file are left",
                     at, Quoted(key), count, stored, in->left());
  }
  return count;
}

uint64_t HeldBytes(GgufType type) {
  if (type == GgufType::kString) return sizeof(std::string);
  return type == GgufType::kBool ? 1 : 8;
}

}  // namespace

Result<const std::byte*> GgufCursor::Take(uint64_t bytes, std::string_view what) {
  if (bytes > left()) {
    return Fail(ErrorCode::kBadFile, "byte {}: {} needs {} bytes, but the file ends at byte {}",
                at_, Quoted(what), bytes, file_.size());
  }
  const std::byte* p = file_.data() + at_;
  at_ += bytes;
  return p;
}

Result<uint32_t> GgufCursor::U32(std::string_view what) {
  HADAL_TRY(const std::byte* p, Take(4, what));
  return LoadLittleEndian<uint32_t>(p);
}

Result<uint64_t> GgufCursor::U64(std::string_view what) {
  HADAL_TRY(const std::byte* p, Take(8, what));
  return LoadLittleEndian<uint64_t>(p);
}

Result<std::string_view> GgufCursor::Text(std::string_view what, uint64_t max_bytes) {
  const uint64_t begin = at_;
  HADAL_TRY(const uint64_t length, U64(what));
  if (length > max_bytes) {
    return Fail(ErrorCode::kBadFile,
                "byte {}: the text {} has a length of {}; at most {} is "
                "allowed",
                begin, Quoted(what), length, max_bytes);
  }
  HADAL_TRY(const std::byte* p, Take(length, what));
  return std::string_view(reinterpret_cast<const char*>(p), length);
}

Result<std::string_view> GgufCursor::Name(std::string_view what, uint64_t max_bytes) {
  const uint64_t begin = at_;
  HADAL_TRY(const std::string_view name, Text(what, max_bytes));
  if (name.empty()) {
    return Fail(ErrorCode::kBadFile, "byte {}: {} is empty; 1 to {} bytes are allowed", begin, what,
                max_bytes);
  }
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] >= 0x20 && name[i] < 0x7f) continue;
    return Fail(ErrorCode::kBadFile,
                "byte {}: {} {} has a byte 0x{:02x}; printable ASCII is allowed",
                begin + kLengthBytes + i, what, Quoted(name), static_cast<uint8_t>(name[i]));
  }
  return name;
}

Result<GgufValue> ReadGgufValue(GgufCursor* in, std::string_view key, const GgufLimits& limits,
                                uint64_t* decoded) {
  HADAL_TRY(GgufType type, Type(in, key, false));
  const bool array = type == GgufType::kArray;
  uint64_t count = 1;
  if (array) {
    HADAL_TRY(type, Type(in, key, true));
    HADAL_TRY(count, ArrayCount(in, key, type, limits));
    HADAL_OK(Account(count * HeldBytes(type), in->at(), limits, decoded));
  }
  HADAL_OK(Account(sizeof(GgufValue), in->at(), limits, decoded));
  const Source from{type, array, count, in->at(), key};
  if (type == GgufType::kString) {
    HADAL_TRY(auto data, Texts(in, from, limits, decoded));
    return GgufValue{type, array, std::move(data)};
  }
  HADAL_TRY(auto data, Plain(in, from));
  return GgufValue{type, array, std::move(data)};
}

}  // namespace hadal
