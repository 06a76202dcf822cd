#include "formats/checkpoint.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "formats/gguf_model.h"
#include "formats/json_text.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSingleName = "model.safetensors";
constexpr std::string_view kIndexName = "model.safetensors.index.json";

bool IsPickle(const fs::path& path) {
  const std::string extension = path.extension().string();
  for (std::string_view e : {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})
    if (extension == e) return true;
  return false;
}

tl::unexpected<Error> RefusePickle(const fs::path& path) {
  return Fail(ErrorCode::kUnsupportedModel,
              "{} is a pickle file, a format that can run code: Hadal never reads one. Use the "
              "safetensors files of the same model, or convert it on a machine you can lose",
              Quoted(path.string()));
}

// Says why a directory holds no checkpoint that can be read.
tl::unexpected<Error> RefuseDirectory(const fs::path& directory) {
  std::error_code ec;
  for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
    if (IsPickle(it->path())) return RefusePickle(it->path());
  }
  return Fail(ErrorCode::kNotFound, "{} holds neither {} nor {}", Quoted(directory.string()),
              kSingleName, kIndexName);
}

// A shard must be a plain file name, so that an index cannot reach outside its directory.
Status CheckShardName(std::string_view name) {
  std::string_view why;
  if (name.empty() || name.size() > 255) {
    why = "1 to 255 bytes are allowed";
  } else if (name.find('/') != std::string_view::npos ||
             name.find('\\') != std::string_view::npos) {
    why = "a path is not allowed, only a file name in the same directory";
  } else if (name.find("..") != std::string_view::npos || name.front() == '.') {
    why = "'..' and hidden files are not allowed";
  } else if (std::any_of(name.begin(), name.end(),
                         [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
    why = "control characters are not allowed";
  } else if (IsPickle(fs::path(name))) {
    return RefusePickle(fs::path(name));
  } else if (!name.ends_with(".safetensors")) {
    why = "it must end in .safetensors";
  }
  if (why.empty()) return {};
  return FailField(ErrorCode::kBadFile, "weight_map", "weight_map names the shard {}: {}",
                   Quoted(name), why);
}

using WeightMap = std::map<std::string, std::string>;  // tensor name -> shard file name

Result<WeightMap> ReadIndex(const fs::path& index, const CheckpointOptions& options) {
  HADAL_TRY(const std::string text, ReadFile(index, options.max_index_bytes));
  HADAL_TRY(const nlohmann::json json,
            ParseJson(text, {.max_bytes = options.max_index_bytes, .max_depth = 8}));
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (!json.is_object() || map == json.end() || !map->is_object() || map->empty()) {
    return FailField(ErrorCode::kBadFile, "weight_map",
                     "weight_map is missing or not an object of tensor name -> file name");
  }
  if (map->size() > options.max_tensors) {
    return FailField(ErrorCode::kBadFile, "weight_map",
                     "weight_map has {} tensors; the limit is {}", map->size(),
                     options.max_tensors);
  }
  WeightMap weights;
  for (const auto& [name, shard] : map->items()) {
    if (!shard.is_string()) {
      return FailField(ErrorCode::kBadFile, "weight_map", "weight_map gives {} no file name but {}",
                       Quoted(name), shard.type_name());
    }
    HADAL_OK(CheckShardName(shard.get_ref<const std::string&>()));
    weights.emplace_hint(weights.end(), name, shard.get<std::string>());
  }
  return weights;
}

// Collects complaints; the first `kMax` are kept word for word.
class Complaints {
 public:
  void Add(std::string line) {
    if (++count_ <= kMax) text_ += "\n  " + line;
  }
  Status Done(const fs::path& path, std::string_view what) const {
    if (count_ == 0) return {};
    return Fail(ErrorCode::kBadFile, "{}: {} {}:{}{}", path.string(), count_, what, text_,
                count_ > kMax ? fmt::format("\n  ... and {} more", count_ - kMax) : "");
  }

 private:
  static constexpr size_t kMax = 40;
  size_t count_ = 0;
  std::string text_;
};

}  // namespace

int64_t TensorEntry::rows() const {
  int64_t n = 1;
  for (int i = 0; i + 1 < shape.rank(); ++i) n *= shape[i];
  return n;
}

uint64_t TensorEntry::stored_bytes() const {
  if (int4 == nullptr) return bytes.size();
  return int4->qweight->bytes.size() + int4->qzeros->bytes.size() + int4->scales->bytes.size() +
         (int4->g_idx == nullptr ? 0 : int4->g_idx->bytes.size());
}

std::string_view TensorEntry::type_name() const {
  if (int4 != nullptr) return "4-bit groups";
  return quant ? NameOf(*quant) : stored->name;
}

Result<std::unique_ptr<Checkpoint>> Checkpoint::OfGguf(std::unique_ptr<GgufFile> file,
                                                       const ModelConfig& config) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint());
  checkpoint->path_ = file->path();
  checkpoint->gguf_ = std::move(file);
  HADAL_TRY(checkpoint->entries_, EntriesOfGguf(*checkpoint->gguf_, config));
  HADAL_OK(checkpoint->FinishEntries());
  return checkpoint;
}

Result<std::unique_ptr<Checkpoint>> Checkpoint::Open(const fs::path& path,
                                                     const CheckpointOptions& options) {
  if (options.block.rows < 1 || options.block.cols < 1) {
    return Fail(ErrorCode::kInvalidArgument, "scale block of {} x {}; both must be at least 1",
                options.block.rows, options.block.cols);
  }
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (!fs::exists(status)) {
    return Fail(ErrorCode::kNotFound, "there is no checkpoint at {}", Quoted(path.string()));
  }
  if (!fs::is_directory(status) && IsGguf(path)) {
    HADAL_TRY(auto file, GgufFile::Open(path));
    HADAL_TRY(const ModelConfig config, ModelConfigOfGguf(*file));
    return OfGguf(std::move(file), config);
  }
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint());
  checkpoint->path_ = path;
  checkpoint->block_ = options.block;
  if (fs::is_directory(status)) {
    if (fs::exists(path / kSingleName, ec)) {
      HADAL_OK(checkpoint->OpenSingle(path / kSingleName, options));
    } else if (fs::exists(path / kIndexName, ec)) {
      HADAL_OK(checkpoint->OpenIndexed(path / kIndexName, options));
    } else {
      return RefuseDirectory(path);
    }
  } else if (IsPickle(path)) {
    return RefusePickle(path);
  } else if (path.extension() != ".safetensors") {
    return Fail(ErrorCode::kUnsupportedModel,
                "{} is neither a .safetensors nor a GGUF file; these and a directory of the first "
                "are what can be read",
                Quoted(path.string()));
  } else {
    HADAL_OK(checkpoint->OpenSingle(path, options));
  }
  return checkpoint;
}

Result<std::unique_ptr<Checkpoint>> Checkpoint::OfShapes(std::vector<TensorEntry> entries) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint());
  checkpoint->entries_ = std::move(entries);
  HADAL_OK(checkpoint->FinishEntries());
  return checkpoint;
}

Status Checkpoint::AddShard(const fs::path& file, const CheckpointOptions& options) {
  HADAL_TRY(auto shard, SafetensorsFile::Open(file, options.limits));
  if (shard->tensors().size() > options.max_tensors - entries_.size()) {
    return Fail(ErrorCode::kBadFile, "{}: more than {} tensors in all shards", file.string(),
                options.max_tensors);
  }
  for (const auto& t : shard->tensors()) {
    TensorEntry& entry = entries_.emplace_back();
    entry.name = t.name;
    entry.dtype = t.dtype->weight.value_or(DType::kU8);
    entry.stored = t.dtype;
    entry.shape = t.shape;
    entry.bytes = shard->bytes(t);
    entry.file = &shard->path();
    entry.mapping = &shard->mapping();
    entry.block = block_;
  }
  shards_.push_back(std::move(shard));
  return {};
}

Status Checkpoint::OpenSingle(const fs::path& file, const CheckpointOptions& options) {
  HADAL_OK(AddShard(file, options));
  HADAL_OK(FinishEntries());
  return options.int4 ? JoinInt4(*options.int4) : Status{};
}

Status Checkpoint::OpenIndexed(const fs::path& index, const CheckpointOptions& options) {
  auto weights = ReadIndex(index, options);
  if (!weights) return tl::make_unexpected(weights.error().In(index.string()));
  std::set<std::string> shards;
  for (const auto& [name, shard] : *weights) shards.insert(shard);
  if (shards.size() > options.max_shards) {
    return Fail(ErrorCode::kBadFile, "{}: {} shards; the limit is {}", index.string(),
                shards.size(), options.max_shards);
  }
  Complaints missing;
  for (const auto& shard : shards) {
    std::error_code ec;
    if (!fs::exists(index.parent_path() / shard, ec)) missing.Add(Quoted(shard));
  }
  HADAL_OK(missing.Done(index, "shard file(s) do not exist"));
  for (const auto& shard : shards) HADAL_OK(AddShard(index.parent_path() / shard, options));
  HADAL_OK(FinishEntries());

  Complaints wrong;
  for (const auto& [name, shard] : *weights) {
    const TensorEntry* entry = Find(name);
    if (entry == nullptr || entry->file->filename() != shard) {
      wrong.Add(fmt::format("{} is listed for {} but is not in it", Quoted(name), Quoted(shard)));
    }
  }
  for (const auto& entry : entries_) {
    if (!weights->contains(entry.name)) {
      wrong.Add(fmt::format("{} is in {} but is not listed", Quoted(entry.name),
                            Quoted(entry.file->filename().string())));
    }
  }
  HADAL_OK(wrong.Done(index, "difference(s) between the index and its shards"));
  return options.int4 ? JoinInt4(*options.int4) : Status{};
}

Status Checkpoint::FinishEntries() {
  const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
  std::sort(entries_.begin(), entries_.end(), by_name);
  for (size_t i = 1; i < entries_.size(); ++i) {
    if (entries_[i].name != entries_[i - 1].name) continue;
    return FailField(ErrorCode::kBadFile, entries_[i].name, "tensor {} stands in both {} and {}",
                     Quoted(entries_[i].name), Quoted(entries_[i - 1].file->string()),
                     Quoted(entries_[i].file->string()));
  }
  for (auto& entry : entries_) {
    if (entry.stored != nullptr && entry.dtype == DType::kF8E4M3)
      entry.scale_inv = Find(entry.name + "_scale_inv");
  }
  return {};
}

const TensorEntry* Checkpoint::Find(std::string_view name) const {
  const auto it =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const TensorEntry& e, std::string_view n) { return e.name < n; });
  return it != entries_.end() && it->name == name ? &*it : nullptr;
}

std::vector<std::string_view> Checkpoint::names() const {
  std::vector<std::string_view> names;
  names.reserve(entries_.size());
  for (const auto& entry : entries_) names.push_back(entry.name);
  return names;
}

uint64_t Checkpoint::total_bytes() const {
  uint64_t total = 0;
  for (const auto& entry : entries_) total += entry.stored_bytes();
  return total;
}

bool Checkpoint::damaged() const {
  if (gguf_ != nullptr && gguf_->damaged()) return true;
  return std::any_of(shards_.begin(), shards_.end(), [](const auto& s) { return s->damaged(); });
}

}  // namespace hadal
