#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "formats/json_text.h"
#include "formats/safetensors.h"

namespace hadal {
namespace {

constexpr size_t kDataAlignment = 64;

Status CheckTensors(std::span<const TensorToWrite> tensors) {
  std::set<std::string_view> names;
  for (const auto& t : tensors) {
    if (t.name.empty() || t.name == "__metadata__" || !names.insert(t.name).second) {
      return FailField(ErrorCode::kInvalidArgument, t.name,
                       "tensor name {} is empty, reserved or used twice", Quoted(t.name));
    }
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
  return {};
}

Result<std::string> HeaderText(std::span<const TensorToWrite> tensors,
                               const std::map<std::string, std::string>& metadata) {
  try {
    std::string text = "{";
    if (!metadata.empty()) text += "\"__metadata__\":" + nlohmann::json(metadata).dump() + ",";
    size_t offset = 0;
    for (const auto& t : tensors) {
      text += nlohmann::json(t.name).dump();
      text += fmt::format(":{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}},",
                          NameOf(t.dtype), t.shape.ToString(), offset, offset + t.bytes.size());
      offset += t.bytes.size();
    }
    if (text.back() == ',') text.pop_back();
    return text + "}";
  } catch (const nlohmann::json::exception&) {
    return Fail(ErrorCode::kInvalidArgument, "a tensor name or a metadata text is not UTF-8");
  }
}

}  // namespace

Status WriteSafetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                        const std::map<std::string, std::string>& metadata) {
  HADAL_OK(CheckTensors(tensors));
  HADAL_TRY(std::string header, HeaderText(tensors, metadata));
  const size_t end = (8 + header.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment;
  header.resize(end - 8, ' ');
  std::string file;
  for (size_t i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xff);
  file += header;
  for (const auto& t : tensors) {
    file.append(reinterpret_cast<const char*>(t.bytes.data()), t.bytes.size());
  }
  return WriteFileAtomically(path, file);
}

}  // namespace hadal
