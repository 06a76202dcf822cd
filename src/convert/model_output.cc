#include "convert/model_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/file.h"
#include "formats/safetensors.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

fs::path ParentOf(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

tl::unexpected<Error> FailIo(std::string_view what, const fs::path& path, int error) {
  return Fail(ErrorCode::kIo, "cannot {} {}: {}", what, path.string(), std::strerror(error));
}

uint64_t BytesOfAll(const std::vector<DeclaredTensor>& tensors) {
  uint64_t all = 0;
  for (const DeclaredTensor& t : tensors) {
    const int64_t cols = t.shape.rank() == 0 ? 1 : t.shape[t.shape.rank() - 1];
    const int64_t rows = cols == 0 ? 0 : t.shape.elements() / cols;
    all += static_cast<uint64_t>(std::max<int64_t>(0, BytesOf(t.type, rows, cols)));
  }
  return all;
}

// Asked before hours of work: a full disk is found out now.
Status CheckRoom(const fs::path& path, const std::vector<DeclaredTensor>& tensors) {
  std::error_code ec;
  const fs::space_info space = fs::space(ParentOf(path), ec);
  const uint64_t need = BytesOfAll(tensors);
  if (ec || space.available >= need) return {};
  return Fail(ErrorCode::kIo, "{} would need {:.2f} GB; the file system has {:.2f} GB free",
              path.string(), static_cast<double>(need) / 1e9,
              static_cast<double>(space.available) / 1e9);
}

Status SyncDirectory(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FailIo("open", path, errno);
  const int failed = fsync(fd) != 0 ? errno : 0;
  close(fd);
  if (failed != 0) return FailIo("flush", path, failed);
  return {};
}

class GgufOutput : public ModelOutput {
 public:
  GgufOutput(fs::path path, std::unique_ptr<WeightWriter> writer, const GgufMetadata& metadata)
      : path_(std::move(path)), writer_(std::move(writer)) {
    for (const auto& [key, value] : metadata.pairs()) {
      const auto* text = std::get_if<std::string>(&value.data);
      if (text != nullptr && !value.array) lengths_[key] = text->size();
    }
  }

  WeightWriter& writer() override { return *writer_; }
  Status Complete() override { return {}; }
  const fs::path& temporary_path() const override { return writer_->temporary_path(); }
  uint64_t file_bytes() const override { return writer_->file_bytes(); }
  Status PatchText(std::string_view key, std::string_view text) override {
    const auto length = lengths_.find(key);
    if (length == lengths_.end() || text.size() > length->second) {
      return Fail(ErrorCode::kInvalidArgument, "{} has no room for {} bytes", key, text.size());
    }
    std::string padded(text);
    padded.resize(length->second, ' ');
    return writer_->PatchText(key, padded);
  }
  Status Finish() override {
    HADAL_OK(CheckOutputIsFree(path_));
    return writer_->Finish();
  }

 private:
  fs::path path_;
  std::unique_ptr<WeightWriter> writer_;
  std::map<std::string, size_t, std::less<>> lengths_;  // of text values
};

class DirectoryOutput : public ModelOutput {
 public:
  DirectoryOutput(fs::path final_path, fs::path temporary)
      : final_(std::move(final_path)), temporary_(std::move(temporary)) {}
  ~DirectoryOutput() override {
    writer_.reset();
    std::error_code ignored;
    if (!finished_) fs::remove_all(temporary_, ignored);
  }

  Status Open(const std::vector<DeclaredTensor>& tensors, const TextFiles& files,
              const std::map<std::string, std::string>& metadata) {
    for (const auto& [name, text] : files) HADAL_OK(WriteFileAtomically(temporary_ / name, text));
    HADAL_TRY(writer_, NewSafetensorsWriter(weights(), tensors, metadata));
    bytes_ = writer_->file_bytes();
    return {};
  }

  WeightWriter& writer() override { return *writer_; }
  Status Complete() override { return writer_->Finish(); }
  const fs::path& temporary_path() const override { return temporary_; }
  uint64_t file_bytes() const override { return bytes_; }
  Status PatchText(std::string_view key, std::string_view text) override;
  Status Finish() override;

 private:
  fs::path weights() const { return temporary_ / "model.safetensors"; }

  fs::path final_, temporary_;
  std::unique_ptr<WeightWriter> writer_;
  uint64_t bytes_ = 0;
  bool finished_ = false;
};

std::string JsonEscaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out;
}

// The file is complete and closed: its header is a JSON text, in which the pair stands as a run of
// spaces.
Status DirectoryOutput::PatchText(std::string_view key, std::string_view text) {
  constexpr size_t kMaxHeader = 128u << 20;
  const int fd = open(weights().c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return FailIo("open", weights(), errno);
  struct Closer {
    int fd;
    ~Closer() { close(fd); }
  } closer{fd};
  uint64_t length = 0;
  if (pread(fd, &length, 8, 0) != 8 || length > kMaxHeader) {
    return Fail(ErrorCode::kIo, "cannot read the header of {}", weights().string());
  }
  std::string header(length, '\0');
  if (pread(fd, header.data(), length, 8) != static_cast<ssize_t>(length)) {
    return Fail(ErrorCode::kIo, "cannot read the header of {}", weights().string());
  }
  const std::string before = fmt::format("\"{}\":\"", key);
  const size_t at = header.find(before);
  const size_t begin = at == std::string::npos ? at : at + before.size();
  const size_t end = at == std::string::npos ? at : header.find_first_not_of(' ', begin);
  std::string padded = JsonEscaped(text);
  if (end == std::string::npos || padded.size() > end - begin) {
    return Fail(ErrorCode::kInvalidArgument, "{} has no room for {} bytes", key, padded.size());
  }
  padded.resize(end - begin, ' ');
  const auto size = static_cast<ssize_t>(padded.size());
  if (pwrite(fd, padded.data(), padded.size(), static_cast<off_t>(8 + begin)) != size ||
      fsync(fd) != 0) {
    return FailIo("write", weights(), errno);
  }
  return {};
}

Status DirectoryOutput::Finish() {
  HADAL_OK(SyncDirectory(temporary_));
  // Not replacing: an empty directory that appeared meanwhile is somebody's.
  if (renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, final_.c_str(), RENAME_NOREPLACE) != 0) {
    const int error = errno;
    if (error != EINVAL) return FailIo("rename to", final_, error);
    HADAL_OK(CheckOutputIsFree(final_));  // the file system knows no such flag
    if (rename(temporary_.c_str(), final_.c_str()) != 0) return FailIo("rename to", final_, errno);
  }
  finished_ = true;
  return SyncDirectory(ParentOf(final_));
}

}  // namespace

Status CheckOutputIsFree(const fs::path& path) {
  std::error_code ec;
  if (path.empty() || path.filename().empty() || path.filename() == "." ||
      path.filename() == "..") {
    return FailField(ErrorCode::kInvalidArgument, "out", "'{}' is not a name for a new model",
                     path.string());
  }
  if (fs::exists(fs::symlink_status(path, ec))) {
    return FailField(ErrorCode::kInvalidArgument, "out",
                     "{} exists already; nothing is overwritten: remove it or give another name",
                     path.string());
  }
  if (fs::is_directory(ParentOf(path), ec)) return {};
  return FailField(ErrorCode::kNotFound, "out", "there is no directory {} to write {} to",
                   ParentOf(path).string(), path.filename().string());
}

Result<std::unique_ptr<ModelOutput>> ModelOutput::Gguf(const fs::path& path,
                                                       const std::vector<DeclaredTensor>& tensors,
                                                       const GgufMetadata& metadata) {
  HADAL_OK(CheckOutputIsFree(path));
  if (path.extension() == ".safetensors") {
    return FailField(ErrorCode::kInvalidArgument, "out",
                     "{}: a GGUF file is to be written; name it so that its name ends in .gguf",
                     path.string());
  }
  HADAL_OK(CheckRoom(path, tensors));
  HADAL_TRY(auto writer, NewGgufWriter(path, tensors, metadata));
  return std::make_unique<GgufOutput>(path, std::move(writer), metadata);
}

Result<std::unique_ptr<ModelOutput>> ModelOutput::Directory(
    const fs::path& path, const std::vector<DeclaredTensor>& tensors, const TextFiles& files,
    const std::map<std::string, std::string>& metadata) {
  HADAL_OK(CheckOutputIsFree(path));
  const fs::path extension = path.extension();
  if (extension == ".gguf" || extension == ".safetensors") {
    return FailField(ErrorCode::kInvalidArgument, "out",
                     "{}: a safetensors model is a directory; give a name without {}",
                     path.string(), extension.string());
  }
  HADAL_OK(CheckRoom(path, tensors));
  std::string temporary =
      (ParentOf(path) / ("." + path.filename().string() + ".partial-XXXXXX")).string();
  if (mkdtemp(temporary.data()) == nullptr) return FailIo("make a directory beside", path, errno);
  auto out = std::make_unique<DirectoryOutput>(path, temporary);
  if (chmod(temporary.c_str(), 0755) != 0) return FailIo("change the mode of", temporary, errno);
  HADAL_OK(out->Open(tensors, files, metadata));
  return out;
}

}  // namespace hadal
