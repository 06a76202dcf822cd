#include "formats/gguf.h"

#include <algorithm>
#include <cctype>
#include <fstream>

#include "formats/json_text.h"

namespace hadal {
namespace {

// "dir/name-00001-of-00003.gguf" taken apart.
struct SplitName {
  std::string stem;  // "dir/name"
  int64_t part = 0;  // from 1
  int64_t count = 0;
};

constexpr size_t kDigits = 5;

std::string NameOfPart(const std::string& stem, int64_t part, int64_t count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, part, count);
}

std::optional<SplitName> ParseSplitName(const std::filesystem::path& path) {
  const std::string name = path.string();
  constexpr size_t tail = 1 + kDigits + 4 + kDigits + 5;  // "-00001-of-00003.gguf"
  if (name.size() <= tail) return std::nullopt;
  SplitName out;
  out.stem = name.substr(0, name.size() - tail);
  const auto number = [&](size_t at) {
    int64_t value = 0;
    for (size_t i = 0; i < kDigits; ++i) value = value * 10 + (name[at + i] - '0');
    return value;
  };
  out.part = number(out.stem.size() + 1);
  out.count = number(out.stem.size() + 1 + kDigits + 4);
  // Also refuses what was no digit.
  if (NameOfPart(out.stem, out.part, out.count) != name) return std::nullopt;
  return out;
}

// split.* of a file that is one part of several.
struct SplitKeys {
  int64_t number = 0;  // from 0
  int64_t count = 1;
  int64_t tensors = 0;
};

Result<int64_t> SplitKey(const GgufMetadata& metadata, const char* key, int64_t low, int64_t high) {
  const auto value = metadata.Int(key);
  if (value && *value >= low && *value <= high) return *value;
  return FailField(ErrorCode::kBadFile, key, "{} is {}; it must be {} to {}", key,
                   value ? std::to_string(*value)
                         : (metadata.Find(key) == nullptr ? "missing" : "not an integer"),
                   low, high);
}

// One part when the keys are absent.
Result<SplitKeys> ReadSplitKeys(const GgufMetadata& metadata, const GgufLimits& limits) {
  SplitKeys keys;
  if (metadata.Find("split.count") == nullptr) return keys;
  const auto most = static_cast<int64_t>(limits.max_splits);
  HADAL_TRY(keys.count, SplitKey(metadata, "split.count", 0, most));
  if (keys.count <= 1) return SplitKeys{};
  HADAL_TRY(keys.number, SplitKey(metadata, "split.no", 0, keys.count - 1));
  HADAL_TRY(keys.tensors,
            SplitKey(metadata, "split.tensors.count", 0, static_cast<int64_t>(limits.max_tensors)));
  return keys;
}

Result<SplitName> CheckSplitName(const std::filesystem::path& path, const SplitKeys& keys) {
  const auto name = ParseSplitName(path);
  if (!name || name->count != keys.count || name->part != keys.number + 1) {
    return Fail(ErrorCode::kBadFile,
                "{}: this is part {} of {} (split.no is {}, split.count {}), so its name must be "
                "{}; the other parts are looked for by that name",
                path.string(), keys.number + 1, keys.count, keys.number, keys.count,
                NameOfPart("NAME", keys.number + 1, keys.count));
  }
  return *name;
}

struct OpenPart {
  std::unique_ptr<MappedFile> file;
  GgufHeader header;
};

Result<OpenPart> OpenOne(const std::filesystem::path& path, const GgufLimits& limits) {
  OpenPart part;
  HADAL_TRY(part.file, MappedFile::Open(path));
  auto header = ParseGgufHeader(part.file->bytes(), limits);
  if (!header) return tl::make_unexpected(header.error().In(path.string()));
  if (part.file->damaged()) {
    return Fail(ErrorCode::kBadFile, "{}: the file shrank while it was read", path.string());
  }
  part.header = std::move(*header);
  return part;
}

Status CheckSamePartition(const std::filesystem::path& path, const SplitKeys& keys,
                          const SplitKeys& first, int64_t number) {
  if (keys.number == number && keys.count == first.count && keys.tensors == first.tensors) {
    return {};
  }
  return Fail(ErrorCode::kBadFile,
              "{}: split.no is {}, split.count {} and split.tensors.count {}; they must be {}, {} "
              "and {} as in the other parts",
              path.string(), keys.number, keys.count, keys.tensors, number, first.count,
              first.tensors);
}

}  // namespace

Result<std::unique_ptr<GgufFile>> GgufFile::Open(const std::filesystem::path& path,
                                                 const GgufLimits& limits) {
  HADAL_TRY(auto given, OpenOne(path, limits));
  auto keys = ReadSplitKeys(given.header.metadata, limits);
  if (!keys) return tl::make_unexpected(keys.error().In(path.string()));
  std::unique_ptr<GgufFile> file(new GgufFile());
  file->path_ = path;
  if (keys->count == 1) {
    HADAL_OK(file->AddPart(std::move(given.file), {}, std::move(given.header)));
    return file;
  }
  HADAL_TRY(const SplitName name, CheckSplitName(path, *keys));
  for (int64_t number = 0; number < keys->count; ++number) {
    if (number == keys->number) {
      HADAL_OK(file->AddPart(std::move(given.file), {}, std::move(given.header)));
      continue;
    }
    const std::filesystem::path other = NameOfPart(name.stem, number + 1, keys->count);
    auto part = OpenOne(other, limits);
    if (!part && part.error().code == ErrorCode::kNotFound) {
      return Fail(ErrorCode::kNotFound, "{}: part {} of {} is missing: there is no {}",
                  path.string(), number + 1, keys->count, other.string());
    }
    if (!part) return tl::make_unexpected(part.error());
    auto other_keys = ReadSplitKeys(part->header.metadata, limits);
    if (!other_keys) return tl::make_unexpected(other_keys.error().In(other.string()));
    HADAL_OK(CheckSamePartition(other, *other_keys, *keys, number));
    HADAL_OK(file->AddPart(std::move(part->file), {}, std::move(part->header)));
  }
  if (file->tensors_.size() != static_cast<size_t>(keys->tensors)) {
    return FailField(ErrorCode::kBadFile, "split.tensors.count",
                     "{}: split.tensors.count is {}, but the {} parts have {} tensors",
                     path.string(), keys->tensors, keys->count, file->tensors_.size());
  }
  return file;
}

Result<std::unique_ptr<GgufFile>> GgufFile::FromMemory(std::vector<std::byte> bytes,
                                                       const GgufLimits& limits) {
  HADAL_TRY(auto header, ParseGgufHeader(bytes, limits));
  HADAL_TRY(const SplitKeys keys, ReadSplitKeys(header.metadata, limits));
  if (keys.count != 1) {
    return FailField(ErrorCode::kBadFile, "split.count",
                     "split.count is {}; in memory a file must be whole", keys.count);
  }
  std::unique_ptr<GgufFile> file(new GgufFile());
  HADAL_OK(file->AddPart(nullptr, std::move(bytes), std::move(header)));
  return file;
}

Status GgufFile::AddPart(std::unique_ptr<MappedFile> mapped, std::vector<std::byte> memory,
                         GgufHeader header) {
  const size_t number = parts_.size();
  Part& part = parts_.emplace_back();
  part.mapped = std::move(mapped);
  part.memory = std::move(memory);
  part.bytes = part.mapped ? part.mapped->bytes() : std::span<const std::byte>(part.memory);
  if (number == 0) {
    version_ = header.version;
    metadata_ = std::move(header.metadata);
  }
  for (GgufTensor& t : header.tensors) {
    t.part = number;
    const auto [it, added] = index_.emplace(t.name, tensors_.size());
    if (!added) {
      return FailField(ErrorCode::kBadFile, t.name, "{}: tensor {} stands in part {} too",
                       part.mapped ? part.mapped->path().string() : "", Quoted(t.name),
                       tensors_[it->second].part + 1);
    }
    tensors_.push_back(std::move(t));
  }
  return {};
}

const GgufTensor* GgufFile::Find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

uint64_t GgufFile::total_bytes() const {
  uint64_t total = 0;
  for (const auto& t : tensors_) total += t.end - t.begin;
  return total;
}

uint64_t GgufFile::file_bytes() const {
  uint64_t total = 0;
  for (const Part& part : parts_) total += part.bytes.size();
  return total;
}

bool GgufFile::damaged() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const Part& p) { return p.mapped && p.mapped->damaged(); });
}

bool IsGguf(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (std::filesystem::is_directory(status)) return false;
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (extension == ".gguf") return true;
  if (!std::filesystem::is_regular_file(status)) return false;
  char magic[4] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof magic);
  return std::string_view(magic, sizeof magic) == "GGUF";
}

}  // namespace hadal
