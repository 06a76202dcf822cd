#include "convert/tensor_stream.h"

#include <algorithm>
#include <mutex>

namespace hadal {
namespace {

constexpr int64_t kSliceWeights = 1 << 18;  // 1 MiB as float32
constexpr int64_t kSlicesPerThread = 4;

struct Slice {
  int64_t row0 = 0, rows = 0;
  size_t at = 0;  // in the batch's buffer
};

// The first failure of a batch.
class FirstError {
 public:
  void Note(Status status) {
    if (status) return;
    const std::lock_guard lock(mutex_);
    if (status_) status_ = std::move(status);
  }
  Status status() const { return status_; }

 private:
  std::mutex mutex_;
  Status status_;
};

class Streamer {
 public:
  Streamer(WeightWriter& writer, ThreadPool& pool, const std::atomic<bool>* stop)
      : writer_(writer), pool_(pool), stop_(stop) {}

  Status Write(const StreamedTensor& tensor, const std::function<void(uint64_t)>& wrote) {
    if (tensor.bytes() == 0) return {};  // of 2^62 rows, maybe
    const int64_t rows = tensor.rows(), cols = std::max<int64_t>(tensor.cols(), 1);
    const int64_t row_bytes = rows == 0 ? 0 : tensor.bytes() / rows;
    const int64_t steps = std::max<int64_t>(1, kSliceWeights / (cols * tensor.row_step));
    const int64_t slice_rows = steps * tensor.row_step;
    for (int64_t row = 0; row < rows;) {
      if (stop_ != nullptr && *stop_) {
        return Fail(ErrorCode::kCancelled, "stopped while {} was written", tensor.declared.name);
      }
      slices_.clear();
      size_t bytes = 0;
      const auto most = static_cast<size_t>(pool_.size() * kSlicesPerThread);
      while (row < rows && slices_.size() < most) {
        const int64_t n = std::min(slice_rows, rows - row);
        slices_.push_back({row, n, bytes});
        bytes += static_cast<size_t>(n * row_bytes);
        row += n;
      }
      if (buffer_.size() < bytes) buffer_.resize(bytes);
      FirstError error;
      pool_.ForEach(static_cast<int>(slices_.size()), [&](int task, int) {
        const Slice& s = slices_[static_cast<size_t>(task)];
        error.Note(tensor.fill(s.row0, s.rows, buffer_.data() + s.at));
      });
      HADAL_OK(error.status());
      HADAL_OK(writer_.Append({buffer_.data(), bytes}));
      wrote(bytes);
    }
    return {};
  }

 private:
  WeightWriter& writer_;
  ThreadPool& pool_;
  const std::atomic<bool>* stop_;
  std::vector<Slice> slices_;
  std::vector<std::byte> buffer_;
};

}  // namespace

int64_t StreamedTensor::cols() const {
  const Shape& s = declared.shape;
  return s.rank() == 0 ? 1 : s[s.rank() - 1];
}
int64_t StreamedTensor::rows() const {
  int64_t n = 1;
  for (int i = 0; i + 1 < declared.shape.rank(); ++i) n *= declared.shape[i];
  return n;
}
int64_t StreamedTensor::bytes() const { return BytesOf(declared.type, rows(), cols()); }

std::vector<DeclaredTensor> DeclarationsOf(std::span<const StreamedTensor> tensors) {
  std::vector<DeclaredTensor> out;
  out.reserve(tensors.size());
  for (const StreamedTensor& t : tensors) out.push_back(t.declared);
  return out;
}

Status StreamTensors(std::span<const StreamedTensor> tensors, WeightWriter& writer,
                     ThreadPool& pool, const StreamControl& control) {
  uint64_t all = 0, done = 0;
  for (const StreamedTensor& t : tensors) all += static_cast<uint64_t>(t.bytes());
  Streamer streamer(writer, pool, control.stop);
  for (const StreamedTensor& t : tensors) {
    HADAL_OK(streamer.Write(t, [&](uint64_t bytes) {
      done += bytes;
      if (control.progress) control.progress(done, all);
    }));
  }
  return {};
}

}  // namespace hadal
