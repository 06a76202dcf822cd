#include "formats/tensor_stream.h"

#include <set>

#include "formats/json_text.h"

namespace hadal {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 62;

Result<uint64_t> DeclaredBytes(const DeclaredTensor& t) {
  uint64_t unit = 1, unit_bytes = 0;
  if (const auto* quant = std::get_if<QuantType>(&t.type)) {
    unit = static_cast<uint64_t>(TraitsOf(*quant).elements);
    unit_bytes = static_cast<uint64_t>(TraitsOf(*quant).bytes);
  } else {
    unit_bytes = SizeOf(std::get<DType>(t.type));
  }
  const int rank = t.shape.rank();
  if (unit > 1 && (rank == 0 || t.shape[rank - 1] % static_cast<int64_t>(unit) != 0)) {
    return FailField(ErrorCode::kInvalidArgument, t.name,
                     "tensor {}: {} {} does not have rows of a multiple of {}", Quoted(t.name),
                     NameOf(t.type), t.shape.ToString(), unit);
  }
  uint64_t units = 1;
  bool overflow = false;
  for (int i = 0; i < rank; ++i) {
    overflow |=
        t.shape[i] < 0 || __builtin_mul_overflow(units, static_cast<uint64_t>(t.shape[i]), &units);
  }
  uint64_t bytes = 0;
  overflow |= __builtin_mul_overflow(units / unit, unit_bytes, &bytes) || bytes > kMaxBytes;
  if (!overflow) return bytes;
  return FailField(ErrorCode::kInvalidArgument, t.name, "tensor {}: the shape {} is out of range",
                   Quoted(t.name), t.shape.ToString());
}

}  // namespace

Result<TensorLayout> LayOut(std::span<const DeclaredTensor> tensors, uint64_t alignment) {
  TensorLayout layout;
  std::set<std::string_view> names;
  for (const auto& t : tensors) {
    if (t.name.empty() || !names.insert(t.name).second) {
      return FailField(ErrorCode::kInvalidArgument, t.name, "tensor name {} is empty or used twice",
                       Quoted(t.name));
    }
    HADAL_TRY(const uint64_t bytes, DeclaredBytes(t));
    const uint64_t begin = layout.data_bytes;
    if (bytes > kMaxBytes - begin) {
      return FailField(ErrorCode::kInvalidArgument, t.name,
                       "tensor {}: the file would be larger than {} bytes", Quoted(t.name),
                       kMaxBytes);
    }
    layout.tensors.push_back({t.name, begin, begin + bytes});
    layout.data_bytes = (begin + bytes + alignment - 1) / alignment * alignment;
  }
  return layout;
}

Status TensorStream::Start(const std::filesystem::path& path, std::string_view header,
                           TensorLayout layout) {
  layout_ = std::move(layout);
  file_bytes_ = header.size() + layout_.data_bytes;
  HADAL_TRY(file_, PendingFile::Create(path, file_bytes_));
  temporary_path_ = file_->temporary_path();
  HADAL_OK(file_->Append(std::as_bytes(std::span(header))));
  return SkipComplete();
}

Status TensorStream::Append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  if (current_ == layout_.tensors.size()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} bytes were given after the last of the {} declared tensors", bytes.size(),
                layout_.tensors.size());
  }
  const PlacedTensor& t = layout_.tensors[current_];
  if (bytes.size() > t.end - at_) {
    return FailField(ErrorCode::kInvalidArgument, t.name,
                     "tensor {}: {} bytes were given, {} of its {} are missing", Quoted(t.name),
                     bytes.size(), t.end - at_, t.end - t.begin);
  }
  HADAL_OK(file_->Append(bytes));
  at_ += bytes.size();
  return SkipComplete();
}

// Pads behind tensors that are complete; after the last one the whole file can be read.
Status TensorStream::SkipComplete() {
  while (current_ < layout_.tensors.size() && at_ == layout_.tensors[current_].end) {
    ++current_;
    const uint64_t next =
        current_ < layout_.tensors.size() ? layout_.tensors[current_].begin : layout_.data_bytes;
    HADAL_OK(file_->Append(std::vector<std::byte>(next - at_)));
    at_ = next;
  }
  if (current_ < layout_.tensors.size()) return {};
  return file_->Flush();
}

Status TensorStream::Replace(uint64_t at, std::string_view bytes) {
  return file_->Replace(at, std::as_bytes(std::span(bytes)));
}

Status TensorStream::Finish() {
  if (current_ < layout_.tensors.size()) {
    const PlacedTensor& t = layout_.tensors[current_];
    return FailField(ErrorCode::kInvalidArgument, t.name,
                     "tensor {} has {} of its {} bytes; {} tensors are not complete",
                     Quoted(t.name), at_ - t.begin, t.end - t.begin,
                     layout_.tensors.size() - current_);
  }
  return file_->Commit();
}

}  // namespace hadal
