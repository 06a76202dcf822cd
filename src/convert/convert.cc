#include "convert/convert.h"

#include <algorithm>

#include "base/file.h"
#include "convert/file_facts.h"
#include "convert/hub_plan.h"
#include "convert/model_output.h"
#include "convert/tensor_stream.h"
#include "convert/weight_encoder.h"
#include "formats/gguf_model.h"
#include "formats/model_files.h"
#include "tokenizer/gguf_vocabulary.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kReportKey = "hadal.loss";

Status CheckOutsideInput(const fs::path& in, const fs::path& out) {
  std::error_code ec;
  const fs::path from = fs::weakly_canonical(in, ec), to = fs::weakly_canonical(out, ec);
  const auto [end, ignored] = std::mismatch(from.begin(), from.end(), to.begin(), to.end());
  if (end != from.end()) return {};
  return FailField(ErrorCode::kInvalidArgument, "out", "{} is the input {} or inside it",
                   out.string(), in.string());
}

fs::path DirectoryOf(const fs::path& in) {
  std::error_code ec;
  if (fs::is_directory(in, ec)) return in;
  const fs::path parent = in.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

class Conversion : public Converter {
 public:
  Conversion(fs::path in, const ConvertOptions& options) : in_(std::move(in)), options_(options) {}

  Status Run(const fs::path& out) {
    HADAL_OK(CheckOutputIsFree(out));
    HADAL_OK(CheckOutsideInput(in_, out));
    const FileFormat format = FormatOfPath(out);
    if (!options_.type.Allows(format)) return RefuseType(format);
    HADAL_TRY(files_, OpenModelFiles(in_));
    HADAL_OK(CheckComplete(files_.config, *files_.checkpoint));
    HADAL_TRY(output_, format == FileFormat::kGguf ? OpenGguf(out) : OpenHub(out));
    {
      ThreadPool pool(std::max(1, options_.threads));
      HADAL_OK(
          StreamTensors(tensors_, output_->writer(), pool, {options_.progress, options_.stop}));
    }
    if (files_.checkpoint->damaged()) {
      return Fail(ErrorCode::kBadFile, "{} was cut while it was read", in_.string());
    }
    tensors_.clear();
    files_.checkpoint.reset();
    return output_->Complete();
  }

  const fs::path& temporary_path() const override { return output_->temporary_path(); }
  uint64_t file_bytes() const override { return output_->file_bytes(); }
  std::span<const std::string> notes() const override { return notes_; }
  Status PatchReport(std::string_view json) override {
    return output_->PatchText(kReportKey, json);
  }
  Status Finish() override { return output_->Finish(); }

 private:
  Status RefuseType(FileFormat format) const {
    const bool gguf = format == FileFormat::kGguf;
    return FailField(ErrorCode::kInvalidArgument, "type",
                     "type '{}' is not for {}; the output is {} because its name {} in .gguf",
                     options_.type.name, gguf ? "GGUF files" : "safetensors directories",
                     gguf ? "a GGUF file" : "a directory", gguf ? "ends" : "does not end");
  }
  const GgufFile* gguf() const { return files_.checkpoint->gguf(); }

  std::string Name() const {
    if (gguf() != nullptr) {
      const std::string* name = gguf()->metadata().Text("general.name");
      if (name != nullptr && !name->empty()) return *name;
    }
    const fs::path path = fs::absolute(in_).lexically_normal();
    const fs::path last = path.has_filename() ? path.filename() : path.parent_path().filename();
    return fs::is_directory(path) ? last.string() : last.stem().string();
  }

  Result<std::unique_ptr<ModelOutput>> OpenGguf(const fs::path& out) {
    HADAL_TRY(GgufMetadata metadata, GgufMetadataOf(files_.config, files_.generation, Name()));
    AddFileFacts(options_.type, &metadata);
    HADAL_OK(AddVocabulary(&metadata));
    if (options_.report_bytes > 0) {
      metadata.Add(std::string(kReportKey),
                   GgufValue::Text(std::string(options_.report_bytes, ' ')));
    }
    HADAL_TRY(auto plans, PlanGgufTensors(files_.config, *files_.checkpoint));
    const GgufTypes types(options_.type, files_.config, plans);
    for (GgufTensorPlan& plan : plans) tensors_.push_back(GgufStream(plan, types.Of(plan)));
    return ModelOutput::Gguf(out, DeclarationsOf(tensors_), metadata);
  }

  static StreamedTensor GgufStream(GgufTensorPlan& plan, const TensorType& type) {
    StreamedTensor t{{plan.name, type, plan.shape}, 1, {}};
    t.fill = [name = plan.name, decode = std::move(plan.decode), type, cols = t.cols()](
                 int64_t row0, int64_t n, std::byte* to) -> Status {
      std::vector<float> values(static_cast<size_t>(n * cols));
      decode(row0, n, values.data());
      return EncodeRows(type, values, name, to);
    };
    return t;
  }

  // A GGUF's own vocabulary and descriptions are copied as they are.
  Status AddVocabulary(GgufMetadata* metadata) {
    if (gguf() != nullptr) {
      for (const auto& [key, value] : gguf()->metadata().pairs()) {
        const bool kept = key.starts_with("tokenizer.") || key.starts_with("hadal.tokenizer.") ||
                          (key.starts_with("general.") && key != "general.alignment");
        if (kept) metadata->Add(key, value);  // what is there already stays
      }
      return {};
    }
    const fs::path directory = DirectoryOf(in_);
    std::error_code ec;
    if (!fs::exists(directory / "tokenizer.json", ec)) {
      notes_.push_back(fmt::format("{} has no tokenizer.json: the GGUF file has no vocabulary",
                                   directory.string()));
      return {};
    }
    HADAL_TRY(const TokenizerTexts texts, ReadTokenizerTexts(directory));
    return AddGgufVocabulary(texts, files_.config.vocab_size, metadata);
  }

  Result<std::unique_ptr<ModelOutput>> OpenHub(const fs::path& out) {
    HADAL_TRY(auto files, gguf() != nullptr ? FilesOfGguf() : FilesOfHub());
    HADAL_TRY(files["config.json"], WithHubType(files["config.json"], options_.type));
    HADAL_TRY(tensors_, StreamHubTensors(files_.config, *files_.checkpoint, options_.type));
    std::map<std::string, std::string> metadata = {{"format", "pt"}};
    if (options_.report_bytes > 0) {
      metadata[std::string(kReportKey)] = std::string(options_.report_bytes, ' ');
    }
    return ModelOutput::Directory(out, DeclarationsOf(tensors_), files, metadata);
  }

  Result<ModelOutput::TextFiles> FilesOfGguf() {
    ModelOutput::TextFiles files;
    HADAL_TRY(files["config.json"], ConfigJsonOf(files_.config));
    files["generation_config.json"] = GenerationConfigJsonOf(files_.generation);
    if (gguf()->metadata().Find("tokenizer.ggml.tokens") == nullptr) {
      notes_.push_back(
          fmt::format("{} has no vocabulary: no tokenizer.json is written", in_.string()));
      return files;
    }
    HADAL_TRY(TokenizerTexts texts, TokenizerTextsOfGguf(gguf()->metadata()));
    files["tokenizer.json"] = std::move(texts.tokenizer_json);
    files["tokenizer_config.json"] = std::move(texts.config_json);
    return files;
  }

  Result<ModelOutput::TextFiles> FilesOfHub() {
    constexpr size_t kMaxBytes = 64u << 20;
    ModelOutput::TextFiles files;
    for (const char* name :
         {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
          "special_tokens_map.json", "chat_template.jinja"}) {
      const fs::path path = DirectoryOf(in_) / name;
      std::error_code ec;
      if (!fs::exists(path, ec)) continue;
      HADAL_TRY(files[name], ReadFile(path, kMaxBytes));
    }
    return files;
  }

  fs::path in_;
  ConvertOptions options_;
  ModelFiles files_;
  std::vector<StreamedTensor> tensors_;
  std::vector<std::string> notes_;
  std::unique_ptr<ModelOutput> output_;
};

}  // namespace

Result<std::unique_ptr<Converter>> Converter::Start(const fs::path& in, const fs::path& out,
                                                    const ConvertOptions& options) {
  auto conversion = std::make_unique<Conversion>(in, options);
  HADAL_OK(conversion->Run(out));
  return conversion;
}

FileFormat FormatOfPath(const fs::path& out) {
  return out.extension() == ".gguf" ? FileFormat::kGguf : FileFormat::kSafetensors;
}

}  // namespace hadal
