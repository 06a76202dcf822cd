#include "convert/synth.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/thread_pool.h"
#include "base/version.h"
#include "convert/file_facts.h"
#include "convert/hub_tensors.h"
#include "convert/made_up_vocabulary.h"
#include "convert/model_output.h"
#include "convert/random_weights.h"
#include "convert/tensor_stream.h"
#include "convert/weight_encoder.h"
#include "formats/gguf_model.h"
#include "tokenizer/gguf_vocabulary.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

constexpr StoredDType kStored = {"BF16", 2, DType::kBf16};

struct Spread {
  double mean = 0, deviation = 0;
};

// Matrices keep the size of what they are multiplied with; those that add to the residual stream
// share its growth over all layers, so that 61 of them do not blow it up.
Spread SpreadOf(TensorRole role, int64_t fan_in, int64_t layers) {
  switch (role) {
    case TensorRole::kNorm:
      return {1, 0.05};
    case TensorRole::kBias:
      return {0, 0.1};
    case TensorRole::kChoiceBias:
      return {0, 0.01};
    case TensorRole::kEmbedding:
      return {0, 1};
    case TensorRole::kHead:
    case TensorRole::kRouter:
    case TensorRole::kInput:
      return {0, 1 / std::sqrt(static_cast<double>(fan_in))};
    case TensorRole::kOutput:
      return {0, 1 / std::sqrt(2.0 * static_cast<double>(fan_in * layers))};
  }
  return {};
}

TensorRole RoleOfGguf(std::string_view name) {
  if (name.ends_with("_norm.weight")) return TensorRole::kNorm;
  if (name.ends_with("exp_probs_b.bias")) return TensorRole::kChoiceBias;
  if (name.ends_with(".bias")) return TensorRole::kBias;
  if (name == "token_embd.weight") return TensorRole::kEmbedding;
  if (name == "output.weight") return TensorRole::kHead;
  const bool output = name.find("attn_output") != std::string_view::npos ||
                      name.find("ffn_down") != std::string_view::npos;
  return output ? TensorRole::kOutput : TensorRole::kInput;
}

// attn_k_b is stored transposed: its inputs are the latent's rows.
int64_t FanInOfGguf(const GgufTensorPlan& plan) {
  const Shape& s = plan.shape;
  const bool transposed = plan.name.ends_with("attn_k_b.weight") && s.rank() == 3;
  return transposed ? s[1] : s[s.rank() - 1];
}

StreamedTensor RandomStream(std::string name, const TensorType& type, const Shape& shape,
                            const RandomTensor& random) {
  StreamedTensor t{{std::move(name), type, shape}, 1, {}};
  const int64_t cols = t.cols();
  t.fill = [=](int64_t row0, int64_t n, std::byte* out) -> Status {
    random.Rows(type, row0, n, cols, out);
    return {};
  };
  return t;
}

class Synthesiser {
 public:
  Synthesiser(const PublishedShape& shape, const SynthOptions& options)
      : shape_(shape), config_(shape.config), options_(options) {}

  Status Run(const fs::path& out) {
    HADAL_OK(Check());
    if (options_.layers > 0) config_.num_hidden_layers = options_.layers;
    SetTokens();
    HADAL_TRY(auto output, options_.format == FileFormat::kGguf ? OpenGguf(out) : OpenHub(out));
    ThreadPool pool(std::max(1, options_.threads));
    HADAL_OK(StreamTensors(tensors_, output->writer(), pool, {options_.progress, options_.stop}));
    HADAL_OK(output->Complete());
    return output->Finish();
  }

 private:
  Status Check() const {
    if (!options_.type.Allows(options_.format)) {
      const bool gguf = options_.format == FileFormat::kGguf;
      return FailField(ErrorCode::kInvalidArgument, "type", "type '{}' is not for {} files",
                       options_.type.name, gguf ? "GGUF" : "safetensors");
    }
    if (options_.layers >= 0 && options_.layers <= config_.num_hidden_layers) return {};
    return FailField(ErrorCode::kInvalidArgument, "layers", "layers is {}; {} has {}",
                     options_.layers, shape_.name, config_.num_hidden_layers);
  }

  void SetTokens() {
    const VocabularyEnds ends = EndsOfVocabulary(shape_.vocabulary);
    config_.bos_token_id = generation_.bos_token_id = ends.bos;
    config_.eos_token_ids = generation_.eos_token_ids = {ends.eos};
    if (!shape_.vocabulary.starts_with("r1")) return;
    generation_.do_sample = true;  // as the model card of R1 says
    generation_.temperature = 0.6;
    generation_.top_p = 0.95;
  }

  std::string Title() const { return std::string(shape_.title) + " (random weights)"; }

  Result<std::unique_ptr<ModelOutput>> OpenGguf(const fs::path& out) {
    HADAL_TRY(GgufMetadata metadata, GgufMetadataOf(config_, generation_, Title()));
    AddFileFacts(options_.type, &metadata);
    HADAL_OK(AddMadeUpVocabulary(shape_.vocabulary, config_.vocab_size, &metadata));
    HADAL_OK(PlanGguf());
    return ModelOutput::Gguf(out, DeclarationsOf(tensors_), metadata);
  }

  Status PlanGguf() {
    std::vector<TensorEntry> entries;
    for (const HubTensor& t : HubTensorsOf(config_)) {
      TensorEntry& e = entries.emplace_back();
      e.name = t.name;
      e.shape = t.shape;
      e.dtype = DType::kBf16;
      e.stored = &kStored;
    }
    HADAL_TRY(shapes_, Checkpoint::OfShapes(std::move(entries)));
    HADAL_TRY(auto plans, PlanGgufTensors(config_, *shapes_));
    const GgufTypes types(options_.type, config_, plans);
    for (GgufTensorPlan& plan : plans) tensors_.push_back(GgufStream(plan, types));
    return {};
  }

  StreamedTensor GgufStream(GgufTensorPlan& plan, const GgufTypes& types) const {
    const TensorType type = types.Of(plan);
    if (plan.name == "rope_freqs.weight") {  // computed, not learnt
      StreamedTensor t{{plan.name, DType::kF32, plan.shape}, 1, {}};
      t.fill = [decode = std::move(plan.decode)](int64_t row0, int64_t n,
                                                 std::byte* out) -> Status {
        decode(row0, n, reinterpret_cast<float*>(out));
        return {};
      };
      return t;
    }
    const TensorRole role = RoleOfGguf(plan.name);
    const Spread spread = SpreadOf(role, FanInOfGguf(plan), config_.num_hidden_layers);
    const RandomTensor random(options_.seed, plan.name, spread.mean, spread.deviation);
    return RandomStream(plan.name, type, plan.shape, random);
  }

  Result<std::unique_ptr<ModelOutput>> OpenHub(const fs::path& out) {
    const bool fp8 = options_.type.base == TensorType(DType::kF8E4M3);
    for (const HubTensor& t : HubTensorsOf(config_)) {
      const Spread spread =
          SpreadOf(t.role, t.shape[t.shape.rank() - 1], config_.num_hidden_layers);
      const RandomTensor random(options_.seed, t.name, spread.mean, spread.deviation);
      const TensorType type = HubTypeFor(options_.type, t.role);
      tensors_.push_back(RandomStream(t.name, type, t.shape, random));
      if (fp8 && IsFp8Matrix(t.role)) tensors_.push_back(ScaleStream(t, random));
    }
    HADAL_TRY(auto files, HubFiles());
    return ModelOutput::Directory(out, DeclarationsOf(tensors_), files, {{"format", "pt"}});
  }

  static StreamedTensor ScaleStream(const HubTensor& t, const RandomTensor& random) {
    const int64_t cols = (t.shape[1] + kFp8Block - 1) / kFp8Block;
    const Shape shape{(t.shape[0] + kFp8Block - 1) / kFp8Block, cols};
    StreamedTensor scales{{t.name + "_scale_inv", DType::kF32, shape}, 1, {}};
    scales.fill = [=](int64_t row0, int64_t n, std::byte* out) -> Status {
      std::vector<float> row(static_cast<size_t>(cols));
      for (int64_t r = 0; r < n; ++r) {
        random.Fp8Scales(row0 + r, cols, row.data());
        std::memcpy(out + static_cast<size_t>(r) * row.size() * 4, row.data(), row.size() * 4);
      }
      return {};
    };
    return scales;
  }

  Result<ModelOutput::TextFiles> HubFiles() const {
    HADAL_TRY(const std::string config, ConfigJsonOf(config_));
    HADAL_TRY(std::string with_type, WithHubType(config, options_.type));
    GgufMetadata vocabulary;
    HADAL_OK(AddMadeUpVocabulary(shape_.vocabulary, config_.vocab_size, &vocabulary));
    HADAL_TRY(TokenizerTexts texts, TokenizerTextsOfGguf(vocabulary));
    return ModelOutput::TextFiles{{"config.json", std::move(with_type)},
                                  {"generation_config.json", GenerationConfigJsonOf(generation_)},
                                  {"tokenizer.json", std::move(texts.tokenizer_json)},
                                  {"tokenizer_config.json", std::move(texts.config_json)}};
  }

  const PublishedShape& shape_;
  ModelConfig config_;
  GenerationConfig generation_;
  const SynthOptions& options_;
  std::unique_ptr<Checkpoint> shapes_;
  std::vector<StreamedTensor> tensors_;
};

}  // namespace

Status Synthesise(const PublishedShape& shape, const fs::path& out, const SynthOptions& options) {
  return Synthesiser(shape, options).Run(out);
}

}  // namespace hadal
