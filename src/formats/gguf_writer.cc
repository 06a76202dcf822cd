#include <cfloat>
#include <cmath>
#include <cstring>

#include "formats/json_text.h"
#include "formats/tensor_stream.h"

namespace hadal {
namespace {

constexpr uint32_t kVersion = 3;
constexpr uint64_t kAlignment = 32;
// The format says 64; readers exist that keep a name in 64 bytes with a zero at the end.
constexpr size_t kMaxNameBytes = 63;
constexpr size_t kMaxKeyBytes = 65'535;

struct Place {
  uint64_t at = 0, bytes = 0;
};

tl::unexpected<Error> BadPair(std::string_view key, std::string_view why) {
  return FailField(ErrorCode::kInvalidArgument, std::string(key), "metadata {}: {}", Quoted(key),
                   why);
}

// The bytes before the data.
class HeaderBuilder {
 public:
  Result<std::string> Build(std::span<const DeclaredTensor> tensors, const TensorLayout& layout,
                            const GgufMetadata& metadata) {
    out_ = "GGUF";
    Put<uint32_t>(kVersion);
    Put<uint64_t>(tensors.size());
    Put<uint64_t>(metadata.pairs().size());
    for (const auto& [key, value] : metadata.pairs()) HADAL_OK(PutPair(key, value));
    for (size_t i = 0; i < tensors.size(); ++i) {
      HADAL_OK(PutTensor(tensors[i], layout.tensors[i].begin));
    }
    out_.resize((out_.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
    return std::move(out_);
  }

  // Where the texts of pairs stand.
  std::map<std::string, Place, std::less<>>& texts() { return texts_; }

 private:
  template <class T>
  void Put(T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.append(bytes, sizeof value);
  }
  void PutText(std::string_view text) {
    Put<uint64_t>(text.size());
    out_ += text;
  }

  Status PutPair(const std::string& key, const GgufValue& value) {
    if (key.empty() || key.size() > kMaxKeyBytes) return BadPair(key, "a key has 1 to 65535 bytes");
    if (key.starts_with("split.")) return BadPair(key, "this writer makes single files");
    if (key == "general.alignment" &&
        (value.array || value.data != GgufValue::Data(int64_t{kAlignment}))) {
      return BadPair(key, "this writer aligns to 32 bytes");
    }
    PutText(key);
    if (!value.array) {
      Put(static_cast<uint32_t>(value.element));
      if (value.element == GgufType::kString) return PutScalarText(key, value);
      return PutScalar(key, value.element, value.data);
    }
    Put(static_cast<uint32_t>(GgufType::kArray));
    Put(static_cast<uint32_t>(value.element));
    return PutArray(key, value);
  }

  Status PutScalarText(const std::string& key, const GgufValue& value) {
    const auto* text = std::get_if<std::string>(&value.data);
    if (text == nullptr) return BadPair(key, "its type is text, its value is not");
    texts_[key] = {out_.size() + sizeof(uint64_t), text->size()};
    PutText(*text);
    return {};
  }

  Status PutArray(const std::string& key, const GgufValue& value) {
    if (const auto* texts = std::get_if<std::vector<std::string>>(&value.data)) {
      if (value.element != GgufType::kString) return BadPair(key, "texts of another type");
      Put<uint64_t>(texts->size());
      for (const auto& text : *texts) PutText(text);
      return {};
    }
    if (const auto* bools = std::get_if<std::vector<uint8_t>>(&value.data)) {
      Put<uint64_t>(bools->size());
      for (uint8_t b : *bools) HADAL_OK(PutScalar(key, value.element, b != 0));
      return {};
    }
    if (const auto* ints = std::get_if<std::vector<int64_t>>(&value.data)) {
      Put<uint64_t>(ints->size());
      for (int64_t v : *ints) HADAL_OK(PutScalar(key, value.element, v));
      return {};
    }
    const auto* reals = std::get_if<std::vector<double>>(&value.data);
    if (reals == nullptr) return BadPair(key, "it is an array, its value is not");
    Put<uint64_t>(reals->size());
    for (double v : *reals) HADAL_OK(PutScalar(key, value.element, v));
    return {};
  }

  template <class T>
  Status PutInteger(std::string_view key, const GgufValue::Data& data) {
    const auto* value = std::get_if<int64_t>(&data);
    if (value == nullptr) return BadPair(key, "its type is an integer, its value is not");
    if (!std::in_range<T>(*value)) {
      return BadPair(key,
                     fmt::format("{} does not fit the {} bytes of its type", *value, sizeof(T)));
    }
    Put(static_cast<T>(*value));
    return {};
  }

  Status PutReal(std::string_view key, GgufType type, const GgufValue::Data& data) {
    const auto* value = std::get_if<double>(&data);
    if (value == nullptr) return BadPair(key, "its type is a real number, its value is not");
    if (type == GgufType::kF64) {
      Put(*value);
    } else if (std::isfinite(*value) && std::fabs(*value) > static_cast<double>(FLT_MAX)) {
      return BadPair(key, fmt::format("{} does not fit a float", *value));
    } else {
      Put(static_cast<float>(*value));
    }
    return {};
  }

  Status PutScalar(std::string_view key, GgufType type, const GgufValue::Data& data) {
    switch (type) {
      case GgufType::kU8:
        return PutInteger<uint8_t>(key, data);
      case GgufType::kI8:
        return PutInteger<int8_t>(key, data);
      case GgufType::kU16:
        return PutInteger<uint16_t>(key, data);
      case GgufType::kI16:
        return PutInteger<int16_t>(key, data);
      case GgufType::kU32:
        return PutInteger<uint32_t>(key, data);
      case GgufType::kI32:
        return PutInteger<int32_t>(key, data);
      case GgufType::kU64:
        return PutInteger<uint64_t>(key, data);
      case GgufType::kI64:
        return PutInteger<int64_t>(key, data);
      case GgufType::kF32:
      case GgufType::kF64:
        return PutReal(key, type, data);
      case GgufType::kBool:
        if (const auto* value = std::get_if<bool>(&data)) {
          Put<uint8_t>(*value ? 1 : 0);
          return {};
        }
        return BadPair(key, "its type is bool, its value is not");
      case GgufType::kString:
      case GgufType::kArray:
        break;
    }
    return BadPair(key, "its type and its value do not agree");
  }

  Status PutTensor(const DeclaredTensor& t, uint64_t offset) {
    const int32_t id = GgufIdOf(t.type);
    const int rank = t.shape.rank();
    if (id < 0 || rank < 1 || t.shape.elements() < 1 || t.name.size() > kMaxNameBytes) {
      return FailField(ErrorCode::kInvalidArgument, t.name,
                       "tensor {}: {} {} cannot be stored in GGUF: names of at most {} bytes, rank "
                       "1 to 4, at least one element, no f8_e4m3, u8 or u4z",
                       Quoted(t.name), NameOf(t.type), t.shape.ToString(), kMaxNameBytes);
    }
    PutText(t.name);
    Put(static_cast<uint32_t>(rank));
    for (int i = rank - 1; i >= 0; --i) Put(static_cast<uint64_t>(t.shape[i]));
    Put(static_cast<uint32_t>(id));
    Put(offset);
    return {};
  }

  std::string out_;
  std::map<std::string, Place, std::less<>> texts_;
};

class GgufWriter : public TensorStream {
 public:
  Status Begin(const std::filesystem::path& path, std::span<const DeclaredTensor> tensors,
               const GgufMetadata& metadata) {
    HADAL_TRY(TensorLayout layout, LayOut(tensors, kAlignment));
    HeaderBuilder builder;
    HADAL_TRY(const std::string header, builder.Build(tensors, layout, metadata));
    texts_ = std::move(builder.texts());
    return Start(path, header, std::move(layout));
  }

  Status PatchText(std::string_view key, std::string_view value) override {
    const auto it = texts_.find(key);
    if (it == texts_.end()) return BadPair(key, "there is no text pair of this name");
    if (value.size() != it->second.bytes) {
      return BadPair(key, fmt::format("the new text has {} bytes, the old one {}", value.size(),
                                      it->second.bytes));
    }
    return Replace(it->second.at, value);
  }

 private:
  std::map<std::string, Place, std::less<>> texts_;
};

}  // namespace

Result<std::unique_ptr<WeightWriter>> NewGgufWriter(const std::filesystem::path& path,
                                                    std::span<const DeclaredTensor> tensors,
                                                    const GgufMetadata& metadata) {
  auto writer = std::make_unique<GgufWriter>();
  HADAL_OK(writer->Begin(path, tensors, metadata));
  return writer;
}

}  // namespace hadal
