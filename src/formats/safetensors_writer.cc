#include <nlohmann/json.hpp>

#include "formats/json_text.h"
#include "formats/safetensors.h"
#include "formats/tensor_stream.h"

namespace hadal {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kDataAlignment = 64;
constexpr uint64_t kMaxHeaderBytes =
    SafetensorsLimits{}.max_header_bytes;  // or it could not be read

// {"__metadata__":{...},"name":{...},...}
class Header {
 public:
  static Result<Header> Make(std::span<const DeclaredTensor> tensors, const TensorLayout& layout,
                             const std::map<std::string, std::string>& metadata) {
    Header header;
    header.metadata_ = metadata;
    try {
      for (size_t i = 0; i < tensors.size(); ++i) {
        const DeclaredTensor& t = tensors[i];
        if (i > 0) header.tensors_ += ",";
        header.tensors_ += nlohmann::json(t.name).dump();
        header.tensors_ +=
            fmt::format(":{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}}",
                        NameOf(std::get<DType>(t.type)), t.shape.ToString(),
                        layout.tensors[i].begin, layout.tensors[i].end);
      }
    } catch (const nlohmann::json::exception&) {
      return Fail(ErrorCode::kInvalidArgument, "a tensor name is not UTF-8");
    }
    HADAL_TRY(const std::string text, header.Text());
    // Room in which every byte of a text may be replaced by one that JSON writes as two.
    uint64_t bytes = kLengthBytes + text.size();
    for (const auto& [key, value] : metadata) bytes += value.size();
    header.bytes_ = (bytes + kDataAlignment - 1) / kDataAlignment * kDataAlignment;
    if (header.bytes_ - kLengthBytes > kMaxHeaderBytes) {
      return Fail(ErrorCode::kInvalidArgument, "the header needs {} bytes; at most {} are allowed",
                  header.bytes_ - kLengthBytes, kMaxHeaderBytes);
    }
    return header;
  }

  Status Replace(std::string_view key, std::string_view value) {
    const auto it = metadata_.find(std::string(key));
    if (it == metadata_.end() || it->second.size() != value.size()) {
      return FailField(ErrorCode::kInvalidArgument, std::string(key),
                       "metadata {}: the new text has {} bytes, the old one {}", Quoted(key),
                       value.size(),
                       it == metadata_.end() ? "is missing" : std::to_string(it->second.size()));
    }
    it->second = std::string(value);
    return {};
  }

  // All bytes before the data, always as many.
  Result<std::string> Bytes() const {
    HADAL_TRY(const std::string text, Text());
    if (text.size() > bytes_ - kLengthBytes) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the metadata need {} bytes as JSON; there is room for {}", text.size(),
                  bytes_ - kLengthBytes);
    }
    std::string out;
    for (size_t i = 0; i < kLengthBytes; ++i) {
      out += static_cast<char>((bytes_ - kLengthBytes) >> (8 * i) & 0xff);
    }
    out += text;
    out.resize(bytes_, ' ');
    return out;
  }

 private:
  Result<std::string> Text() const {
    try {
      if (metadata_.empty()) return "{" + tensors_ + "}";
      return "{\"__metadata__\":" + nlohmann::json(metadata_).dump() +
             (tensors_.empty() ? "" : ",") + tensors_ + "}";
    } catch (const nlohmann::json::exception&) {
      return Fail(ErrorCode::kInvalidArgument, "a metadata text is not UTF-8");
    }
  }

  std::map<std::string, std::string> metadata_;
  std::string tensors_;
  uint64_t bytes_ = 0;  // with the length
};

Status CheckPlain(std::span<const DeclaredTensor> tensors) {
  for (const auto& t : tensors) {
    if (t.name == "__metadata__") {
      return FailField(ErrorCode::kInvalidArgument, t.name, "tensor name {} is reserved",
                       Quoted(t.name));
    }
    if (!std::holds_alternative<DType>(t.type)) {
      return FailField(ErrorCode::kInvalidArgument, t.name,
                       "tensor {}: safetensors files have no type {}", Quoted(t.name),
                       NameOf(t.type));
    }
  }
  return {};
}

class SafetensorsWriter : public TensorStream {
 public:
  Status Begin(const std::filesystem::path& path, std::span<const DeclaredTensor> tensors,
               const std::map<std::string, std::string>& metadata) {
    HADAL_OK(CheckPlain(tensors));
    HADAL_TRY(TensorLayout layout, LayOut(tensors, 1));  // the format allows no gaps
    HADAL_TRY(header_, Header::Make(tensors, layout, metadata));
    HADAL_TRY(const std::string bytes, header_.Bytes());
    return Start(path, bytes, std::move(layout));
  }

  Status PatchText(std::string_view key, std::string_view value) override {
    Header patched = header_;
    HADAL_OK(patched.Replace(key, value));
    HADAL_TRY(const std::string bytes, patched.Bytes());
    HADAL_OK(Replace(0, bytes));
    header_ = std::move(patched);
    return {};
  }

 private:
  Header header_;
};

}  // namespace

Result<std::unique_ptr<WeightWriter>> NewSafetensorsWriter(
    const std::filesystem::path& path, std::span<const DeclaredTensor> tensors,
    const std::map<std::string, std::string>& metadata) {
  auto writer = std::make_unique<SafetensorsWriter>();
  HADAL_OK(writer->Begin(path, tensors, metadata));
  return writer;
}

Status WriteSafetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::vector<DeclaredTensor> declared;
  for (const auto& t : tensors) {
    declared.push_back({t.name, t.dtype, t.shape});
    uint64_t needed = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(t.shape.elements()), SizeOf(t.dtype),
                               &needed) ||
        needed != t.bytes.size()) {
      return FailField(ErrorCode::kInvalidArgument, t.name,
                       "tensor {}: {} {} has {} bytes of data, expected {} elements x {} bytes",
                       Quoted(t.name), NameOf(t.dtype), t.shape.ToString(), t.bytes.size(),
                       t.shape.elements(), SizeOf(t.dtype));
    }
  }
  HADAL_TRY(auto writer, NewSafetensorsWriter(path, declared, metadata));
  for (const auto& t : tensors) HADAL_OK(writer->Append(t.bytes));
  return writer->Finish();
}

}  // namespace hadal
