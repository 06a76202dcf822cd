#include <algorithm>
#include <array>

#include "formats/gguf.h"
#include "formats/gguf_cursor.h"
#include "formats/json_text.h"

namespace hadal {
namespace {

constexpr uint64_t kMinPairBytes = 14;    // key length, one letter, type, one byte
constexpr uint64_t kMinTensorBytes = 33;  // name length, one letter, rank, one dim, type, offset
constexpr int64_t kMinAlignment = 8, kMaxAlignment = 1 << 20;
constexpr uint32_t kRemovedTypes[] = {4, 5};  // Q4_2, Q4_3: no file of version 2 has them

template <class... A>
tl::unexpected<Error> BadTensor(const GgufTensor& t, uint64_t at, fmt::format_string<A...> format,
                                A&&... args) {
  return FailField(ErrorCode::kBadFile, t.name, "byte {}: tensor {}: {}", at, Quoted(t.name),
                   fmt::format(format, std::forward<A>(args)...));
}

std::string TypesThatAreRead() {
  std::string all;
  for (uint32_t id = 0; id < 64; ++id) {
    if (!TensorTypeOfGguf(id)) continue;
    all += (all.empty() ? "" : ", ") + std::string(GgufTypeName(id));
  }
  return all;
}

class HeaderParser {
 public:
  HeaderParser(std::span<const std::byte> file, const GgufLimits& limits)
      : file_(file), limits_(limits), in_(file) {}

  Result<GgufHeader> Parse() {
    HADAL_OK(ReadFront());
    HADAL_OK(ReadPairs());
    HADAL_OK(ReadAlignment());
    HADAL_OK(ReadTensors());
    HADAL_OK(CheckNamesOnce());
    const uint64_t mask = header_.alignment - 1;
    header_.data_begin = (in_.at() + mask) & ~mask;
    for (size_t i = 0; i < header_.tensors.size(); ++i) HADAL_OK(PlaceTensor(i));
    HADAL_OK(CheckNoOverlap());
    return std::move(header_);
  }

 private:
  Status ReadFront() {
    HADAL_TRY(const std::byte* magic, in_.Take(4, "the magic \"GGUF\""));
    if (std::memcmp(magic, "GGUF", 4) != 0) {
      return Fail(ErrorCode::kBadFile, "byte 0: the file begins with {}; a GGUF file with 'GGUF'",
                  Quoted({reinterpret_cast<const char*>(magic), 4}));
    }
    HADAL_TRY(header_.version, in_.U32("the version"));
    HADAL_OK(CheckVersion());
    HADAL_TRY(tensors_, Count("tensor", limits_.max_tensors, kMinTensorBytes));
    HADAL_TRY(pairs_, Count("metadata pair", limits_.max_pairs, kMinPairBytes));
    return {};
  }

  Status CheckVersion() const {
    const uint32_t version = header_.version;
    if (version == 2 || version == 3) return {};
    if (version == 1) {
      return Fail(ErrorCode::kBadFile,
                  "byte 4: GGUF version 1 (2023) is not read; convert the file to version 3");
    }
    const uint32_t swapped = __builtin_bswap32(version);
    if (swapped >= 1 && swapped <= 3) {
      return Fail(ErrorCode::kBadFile,
                  "byte 4: this is a big-endian GGUF file (version {} with its bytes swapped); "
                  "little-endian files are read",
                  swapped);
    }
    return Fail(ErrorCode::kBadFile, "byte 4: the GGUF version is {}; 2 and 3 are read", version);
  }

  Result<uint64_t> Count(std::string_view what, uint64_t most, uint64_t min_bytes) {
    const uint64_t at = in_.at();
    HADAL_TRY(const uint64_t count, in_.U64("a count"));
    if (count > most) {
      return Fail(ErrorCode::kBadFile, "byte {}: the {} count is {}; at most {} is allowed", at,
                  what, count, most);
    }
    if (count > in_.left() / min_bytes) {
      return Fail(ErrorCode::kBadFile,
                  "byte {}: the {} count is {}, each of at least {} bytes, but only {} bytes of "
                  "the file are left",
                  at, what, count, min_bytes, in_.left());
    }
    return count;
  }

  Status ReadPairs() {
    uint64_t decoded = 0;
    for (uint64_t i = 0; i < pairs_; ++i) {
      const uint64_t at = in_.at();
      HADAL_TRY(const auto key, in_.Name("a metadata key", limits_.max_key_bytes));
      const uint64_t value_at = in_.at();
      HADAL_TRY(auto value, ReadGgufValue(&in_, key, limits_, &decoded));
      if (key == "general.alignment") alignment_at_ = value_at;
      if (!header_.metadata.Add(std::string(key), std::move(value))) {
        return FailField(ErrorCode::kBadFile, std::string(key),
                         "byte {}: the metadata key {} stands twice", at, Quoted(key));
      }
    }
    return {};
  }

  Status ReadAlignment() {
    if (header_.metadata.Find("general.alignment") == nullptr) return {};
    const auto value = header_.metadata.Int("general.alignment");
    if (!value || *value < kMinAlignment || *value > kMaxAlignment ||
        (*value & (*value - 1)) != 0) {
      return FailField(ErrorCode::kBadFile, "general.alignment",
                       "byte {}: general.alignment is {}; it must be a power of two from {} to {}",
                       alignment_at_, value ? std::to_string(*value) : "not an integer",
                       kMinAlignment, kMaxAlignment);
    }
    header_.alignment = static_cast<uint64_t>(*value);
    return {};
  }

  Status ReadTensors() {
    header_.tensors.reserve(tensors_);
    info_at_.reserve(tensors_);
    for (uint64_t i = 0; i < tensors_; ++i) {
      info_at_.push_back(in_.at());
      GgufTensor& t = header_.tensors.emplace_back();
      HADAL_TRY(const auto name, in_.Name("a tensor name", limits_.max_name_bytes));
      t.name = std::string(name);
      HADAL_OK(ReadShape(&t));
      HADAL_OK(ReadType(&t));
      HADAL_OK(ReadOffset(&t));
    }
    return {};
  }

  Status ReadShape(GgufTensor* t) {
    const uint64_t at = in_.at();
    HADAL_TRY(const uint32_t rank, in_.U32("a rank"));
    if (rank < 1 || rank > Shape::kMaxRank) {
      return BadTensor(*t, at, "its rank is {}; 1 to {} are allowed", rank, Shape::kMaxRank);
    }
    std::array<uint64_t, Shape::kMaxRank> dims;
    for (uint32_t i = 0; i < rank; ++i) {
      HADAL_TRY(dims[rank - 1 - i], in_.U64("a dimension"));
      if (dims[rank - 1 - i] != 0) continue;
      return BadTensor(*t, in_.at() - 8, "ne[{}] is 0; at least 1 is allowed", i);
    }
    auto shape = Shape::From({dims.data(), rank});
    if (!shape) return BadTensor(*t, at, "{}", shape.error().message);
    t->shape = *shape;
    return {};
  }

  Status ReadType(GgufTensor* t) {
    const uint64_t at = in_.at();
    HADAL_TRY(const uint32_t id, in_.U32("a tensor type"));
    if (const auto type = TensorTypeOfGguf(id)) {
      t->type = *type;
      return {};
    }
    const auto name = GgufTypeName(id);
    const bool removed = std::find(std::begin(kRemovedTypes), std::end(kRemovedTypes), id) !=
                         std::end(kRemovedTypes);
    if (name.empty() || removed) {
      return BadTensor(*t, at, "its type number {} is {}; the types {} are read", id,
                       removed ? "no longer in use" : "unknown", TypesThatAreRead());
    }
    return FailField(ErrorCode::kUnsupportedModel, t->name,
                     "byte {}: tensor {} is stored as {} (type {}); the types {} are read", at,
                     Quoted(t->name), name, id, TypesThatAreRead());
  }

  // Leaves the offset within the data in t->begin and the byte count in t->end.
  Status ReadOffset(GgufTensor* t) {
    const uint64_t at = in_.at();
    HADAL_TRY(t->begin, in_.U64("a tensor offset"));
    if (t->begin % header_.alignment != 0) {
      return BadTensor(*t, at, "its offset {} is not a multiple of the alignment {}", t->begin,
                       header_.alignment);
    }
    uint64_t unit = 1, unit_bytes = 0;
    if (const auto* quant = std::get_if<QuantType>(&t->type)) {
      unit = static_cast<uint64_t>(TraitsOf(*quant).elements);
      unit_bytes = static_cast<uint64_t>(TraitsOf(*quant).bytes);
    } else {
      unit_bytes = SizeOf(std::get<DType>(t->type));
    }
    const auto columns = static_cast<uint64_t>(t->shape[t->shape.rank() - 1]);
    if (columns % unit != 0) {
      return BadTensor(*t, at - 4, "ne[0] is {}; {} needs a multiple of {}", columns,
                       NameOf(t->type), unit);
    }
    const uint64_t units = static_cast<uint64_t>(t->shape.elements()) / unit;
    if (__builtin_mul_overflow(units, unit_bytes, &t->end)) {
      return BadTensor(*t, at - 4, "{} {} needs more than 2^64 bytes", NameOf(t->type),
                       t->shape.ToString());
    }
    return {};
  }

  // Offsets become absolute; the range must lie inside the file.
  Status PlaceTensor(size_t i) {
    GgufTensor& t = header_.tensors[i];
    const uint64_t offset = t.begin, bytes = t.end;
    const uint64_t data_bytes =
        file_.size() > header_.data_begin ? file_.size() - header_.data_begin : 0;
    if (offset > data_bytes || bytes > data_bytes - offset) {
      return BadTensor(t, info_at_[i],
                       "{} {} needs {} bytes at offset {} of the data, which begins at byte {}, "
                       "but the file ends at byte {}: it is truncated, or the offset is wrong",
                       NameOf(t.type), t.shape.ToString(), bytes, offset, header_.data_begin,
                       file_.size());
    }
    t.begin = header_.data_begin + offset;
    t.end = t.begin + bytes;
    return {};
  }

  // Positions of the tensors, sorted so that neighbours can be compared.
  template <class Less>
  std::vector<size_t> Sorted(Less less) const {
    std::vector<size_t> order(header_.tensors.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return less(header_.tensors[a], header_.tensors[b]); });
    return order;
  }

  Status CheckNamesOnce() const {
    const auto order = Sorted([](const auto& a, const auto& b) { return a.name < b.name; });
    for (size_t i = 1; i < order.size(); ++i) {
      const GgufTensor& t = header_.tensors[order[i]];
      if (t.name != header_.tensors[order[i - 1]].name) continue;
      const uint64_t at = std::max(info_at_[order[i]], info_at_[order[i - 1]]);
      return BadTensor(t, at, "its name stands twice");
    }
    return {};
  }

  Status CheckNoOverlap() const {
    const auto order = Sorted([](const auto& a, const auto& b) { return a.begin < b.begin; });
    for (size_t i = 1; i < order.size(); ++i) {
      const GgufTensor& previous = header_.tensors[order[i - 1]];
      const GgufTensor& t = header_.tensors[order[i]];
      if (previous.end <= t.begin) continue;
      return BadTensor(t, info_at_[order[i]],
                       "its bytes {} to {} overlap those of {}, {} to {}; tensors must not overlap",
                       t.begin, t.end, Quoted(previous.name), previous.begin, previous.end);
    }
    return {};
  }

  std::span<const std::byte> file_;
  const GgufLimits& limits_;
  GgufCursor in_;
  GgufHeader header_;
  uint64_t tensors_ = 0, pairs_ = 0;
  uint64_t alignment_at_ = 0;
  std::vector<uint64_t> info_at_;  // byte offset of each tensor's description
};

}  // namespace

Result<GgufHeader> ParseGgufHeader(std::span<const std::byte> file, const GgufLimits& limits) {
  return HeaderParser(file, limits).Parse();
}

}  // namespace hadal
