#include "cli/inspection.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>

#include "base/thread_pool.h"
#include "chat/chat_format.h"
#include "cli/planning_backend.h"
#include "formats/model_files.h"
#include "models/model.h"
#include "tokenizer/gguf_vocabulary.h"
#include "tokenizer/tokenizer.h"

namespace hadal::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kReportKey = "hadal.loss";

std::string Trimmed(std::string text) {
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

class Inspector {
 public:
  Inspector(const fs::path& path, const InspectSettings& settings)
      : path_(path), settings_(settings) {
    found_.path = path.string();
  }

  Inspection Run() {
    std::error_code ec;
    if (!fs::exists(path_, ec)) {
      found_.problems.push_back(fmt::format("there is no file or directory {}", path_.string()));
      return std::move(found_);
    }
    auto files = OpenModelFiles(path_);
    if (files) {
      found_.config = files->config;
      AddContainer(*files->checkpoint);
      AddTypes(*files->checkpoint);
      DryLoad();
      AddVocabulary(files->checkpoint->gguf());
      if (settings_.deep) ScanWeights(*files->checkpoint);
    } else {
      found_.problems.push_back(files.error().message);
      AddWhatIsReadable();
    }
    std::sort(found_.types.begin(), found_.types.end(),
              [](const TypeShare& a, const TypeShare& b) { return a.bytes > b.bytes; });
    return std::move(found_);
  }

 private:
  void AddContainer(const Checkpoint& checkpoint) {
    if (checkpoint.gguf() != nullptr) return AddGguf(*checkpoint.gguf());
    found_.format = "safetensors";
    std::set<fs::path> files;
    for (const TensorEntry& e : checkpoint.entries()) {
      if (e.file != nullptr) files.insert(*e.file);
    }
    AddFiles(files);
    for (const fs::path& file : files) AddReport(file);
  }

  void AddFiles(const std::set<fs::path>& files) {
    found_.files = static_cast<int64_t>(files.size());
    for (const fs::path& file : files) {
      std::error_code ec;
      const uintmax_t bytes = fs::file_size(file, ec);
      if (!ec) found_.file_bytes += bytes;
    }
  }

  void AddReport(const fs::path& safetensors) {
    const auto file = SafetensorsFile::Open(safetensors);
    if (!file) return;
    const auto report = (*file)->metadata().find(std::string(kReportKey));
    if (report != (*file)->metadata().end()) found_.loss_json = Trimmed(report->second);
  }

  void AddGguf(const GgufFile& file) {
    const GgufMetadata& m = file.metadata();
    found_.format = fmt::format("GGUF v{}", file.version());
    found_.files = static_cast<int64_t>(file.parts());
    found_.file_bytes = file.file_bytes();
    if (const std::string* name = m.Text("general.name")) found_.name = *name;
    if (const std::string* report = m.Text(kReportKey)) found_.loss_json = Trimmed(*report);
    const std::string* architecture = m.Text("general.architecture");
    std::string unknown;
    for (const auto& [key, value] : m.pairs()) {
      bool known = architecture != nullptr && key.starts_with(*architecture + ".");
      for (const char* prefix : {"general.", "tokenizer.", "split.", "hadal.", "quantize."}) {
        known |= key.starts_with(prefix);
      }
      if (!known) unknown += (unknown.empty() ? "" : ", ") + key;
    }
    if (!unknown.empty()) found_.notes.push_back("metadata that is not used: " + unknown);
  }

  void AddType(std::string_view type, int64_t weights, uint64_t bytes) {
    auto at = std::find_if(found_.types.begin(), found_.types.end(),
                           [&](const TypeShare& t) { return t.type == type; });
    if (at == found_.types.end()) {
      at = found_.types.insert(at, TypeShare{std::string(type), 0, 0, 0});
    }
    ++at->tensors;
    at->weights += weights;
    at->bytes += bytes;
  }

  void AddTypes(const Checkpoint& checkpoint) {
    if (checkpoint.gguf() != nullptr) return AddTypes(*checkpoint.gguf());
    for (const TensorEntry& e : checkpoint.entries()) {
      const bool scale = e.name.ends_with("_scale_inv");
      AddType(e.type_name(), scale ? 0 : e.shape.elements(), e.stored_bytes());
    }
  }
  void AddTypes(const GgufFile& file) {
    for (const GgufTensor& t : file.tensors()) {
      AddType(NameOf(t.type), t.shape.elements(), t.end - t.begin);
    }
  }

  // The model does not open: what can be said is said.
  void AddWhatIsReadable() {
    std::error_code ec;
    if (!fs::is_directory(path_, ec) && IsGguf(path_)) {
      const auto file = GgufFile::Open(path_);
      if (!file) return;
      AddGguf(**file);
      AddTypes(**file);
      return AddVocabulary(file->get());
    }
    if (const auto config = LoadModelConfig(path_)) found_.config = *config;
    if (const auto checkpoint = Checkpoint::Open(path_)) {
      AddContainer(**checkpoint);
      AddTypes(**checkpoint);
    }
    AddVocabulary(nullptr);
  }

  void DryLoad() {
    auto real = NewCpuBackend(settings_.backend);
    if (!real) {
      found_.problems.push_back(real.error().message);
      return;
    }
    const auto backend = NewPlanningBackend(std::move(*real));
    LoadOptions options;
    options.weight_memory = settings_.weight_memory;
    options.read_ahead = false;
    options.max_step_tokens = options.max_logit_rows = options.max_context = 1;
    const auto model = LoadModel(path_, *backend, options);
    if (!model) {
      found_.problems.push_back(model.error().message);
      return;
    }
    found_.parameters = (*model)->info().parameters;
    found_.active_parameters = (*model)->info().active_parameters;
    found_.resident_bytes = (*model)->info().resident_bytes;
    found_.from_file_bytes = (*model)->info().file_bytes;
    const KvLayout& kv = (*model)->kv_layout();
    found_.kv_f32 = kv.BytesPerToken(DType::kF32);
    found_.kv_bf16 = kv.BytesPerToken(DType::kBf16);
    found_.kv_fp8 = kv.BytesPerToken(DType::kF8E4M3);
  }

  void AddVocabulary(const GgufFile* gguf) {
    std::error_code ec;
    fs::path from = path_;
    if (gguf == nullptr && !fs::is_directory(path_, ec)) from = path_.parent_path();
    if (gguf == nullptr && !fs::exists(from / "tokenizer.json", ec)) {
      found_.problems.push_back(
          fmt::format("there is no tokenizer.json in {}: ids can be computed with, text cannot",
                      from.string()));
      return;
    }
    const auto tokenizer = Tokenizer::Load(from);
    if (!tokenizer) {
      found_.problems.push_back(tokenizer.error().message);
      return;
    }
    found_.vocabulary = (*tokenizer)->vocab_size();
    found_.has_template = !(*tokenizer)->chat_template().empty();
    AddPreTokenizer(gguf, from);
    AddTokens(**tokenizer);
    const std::string architecture = found_.config ? found_.config->model_type : "";
    const auto format = ChooseChatFormat(**tokenizer, architecture, FormatSource{});
    if (format) {
      found_.chat_format = (*format)->name();
    } else {
      found_.notes.push_back(format.error().message);
    }
    if (found_.config && found_.vocabulary > found_.config->vocab_size) {
      found_.problems.push_back(
          fmt::format("the tokenizer has ids up to {}, the embedding only {} rows",
                      found_.vocabulary - 1, found_.config->vocab_size));
    }
  }

  void AddPreTokenizer(const GgufFile* gguf, const fs::path& directory) {
    GgufMetadata of_hub;
    if (gguf == nullptr) {
      const auto texts = ReadTokenizerTexts(directory);
      if (!texts || !AddGgufVocabulary(*texts, found_.vocabulary, &of_hub)) return;
    }
    const GgufMetadata& m = gguf != nullptr ? gguf->metadata() : of_hub;
    if (const std::string* pre = m.Text("tokenizer.ggml.pre")) found_.pre_tokenizer = *pre;
  }

  void AddTokens(const Tokenizer& tokenizer) {
    if (tokenizer.bos()) found_.tokens.emplace_back("bos", *tokenizer.bos());
    if (tokenizer.eos()) found_.tokens.emplace_back("eos", *tokenizer.eos());
    for (const char* text : {"<｜User｜>", "<｜Assistant｜>", "<think>", "</think>",
                             "<｜tool▁calls▁begin｜>", "<｜fim▁begin｜>", "<|EOT|>", "<|im_start|>",
                             "<|im_end|>", "<|start_header_id|>", "<|eot_id|>"}) {
      if (const auto id = tokenizer.IdOf(text)) found_.tokens.emplace_back(text, *id);
    }
  }

  void ScanWeights(const Checkpoint& checkpoint) {
    constexpr size_t kMaxNames = 20;
    std::mutex mutex;
    std::set<std::string> bad;
    const auto entries = checkpoint.entries();
    ThreadPool pool(settings_.backend.threads);
    pool.ForEach(static_cast<int>(entries.size()), [&](int task, int) {
      const TensorEntry& entry = entries[static_cast<size_t>(task)];
      if (!IsDecodable(entry) || AllFinite(entry)) return;
      const std::lock_guard lock(mutex);
      bad.insert(entry.name);
    });
    size_t n = 0;
    for (const std::string& name : bad) {
      if (++n <= kMaxNames) found_.problems.push_back("NaN or infinity in " + name);
    }
    if (n > kMaxNames) {
      found_.problems.push_back(fmt::format("NaN or infinity in {} more tensors", n - kMaxNames));
    }
    if (checkpoint.damaged()) found_.problems.push_back("the file was cut while it was read");
  }

  static bool AllFinite(const TensorEntry& entry) {
    if (entry.shape.elements() == 0) return true;  // of 2^62 rows, maybe
    constexpr int64_t kWeights = 1 << 18;
    const int64_t cols = std::max<int64_t>(1, entry.cols()), rows = entry.rows();
    const int64_t step = std::max<int64_t>(1, kWeights / cols);
    std::vector<float> values(
        static_cast<size_t>(std::min(step, std::max<int64_t>(rows, 1)) * cols));
    for (int64_t r = 0; r < rows; r += step) {
      const int64_t n = std::min(step, rows - r);
      DecodeRows(entry, r, n, values.data());
      for (int64_t i = 0; i < n * cols; ++i) {
        if (!std::isfinite(values[static_cast<size_t>(i)])) return false;
      }
    }
    return true;
  }

  fs::path path_;
  InspectSettings settings_;
  Inspection found_;
};

}  // namespace

int64_t Inspection::weights() const {
  int64_t n = 0;
  for (const TypeShare& t : types) n += t.weights;
  return n;
}

uint64_t Inspection::tensor_bytes() const {
  uint64_t n = 0;
  for (const TypeShare& t : types) n += t.bytes;
  return n;
}

Inspection InspectModel(const fs::path& path, const InspectSettings& settings) {
  return Inspector(path, settings).Run();
}

}  // namespace hadal::cli
