#include "models/decoder.h"

#include <algorithm>
#include <utility>

namespace hadal {

// ---- the step

Status Decoder::Forward(const StepInput& step, KvStorage& kv, float* logits) {
  HADAL_OK(CheckStep(step, limits_, kv.n_blocks(), kv.block_tokens()));
  if (rope_ && !step.positions.empty()) {
    HADAL_OK(rope_->Reserve(int64_t{*std::ranges::max_element(step.positions)} + 1));
  }
  Compute(step, kv, logits);
  return in_use_ ? in_use_->Check() : Status{};
}

void Decoder::Compute(const StepInput& step, KvStorage& kv, float* logits) {
  Backend& b = backend_;
  const auto rows = static_cast<int64_t>(step.tokens.size());
  scratch_.Release(0);
  Pass pass{b, step, kv, scratch_, rows};
  const Tensor x = scratch_.Take({rows, info_.hidden});      // the residual stream
  const Tensor h = scratch_.Take({rows, info_.hidden});      // normed, what blocks read
  const Tensor delta = scratch_.Take({rows, info_.hidden});  // what blocks add
  const size_t mark = scratch_.mark();

  b.Embed(*embedding_, step.tokens, x);
  Tap(-1, x);
  b.RmsNorm(x, Values(layers_.front().attention_norm), eps_, h);
  for (size_t l = 0; l < layers_.size(); ++l) {
    const DecoderLayer& layer = layers_[l];
    layer.attention->Forward(pass, h, delta);
    scratch_.Release(mark);
    b.AddRmsNorm(x, delta, Values(layer.ffn_norm), eps_, h);
    layer.ffn->Forward(pass, h, delta);
    scratch_.Release(mark);
    if (l + 1 < layers_.size()) {
      b.AddRmsNorm(x, delta, Values(layers_[l + 1].attention_norm), eps_, h);
    } else {
      b.Add(x, delta);
    }
    Tap(static_cast<int>(l), x);
  }

  if (step.logit_rows.empty()) return;
  const auto n_logits = static_cast<int64_t>(step.logit_rows.size());
  const Tensor last = scratch_.Take({n_logits, info_.hidden});
  const Tensor scores = scratch_.Take({n_logits, info_.vocab});
  b.GatherRows(x, step.logit_rows, last);
  b.RmsNorm(last, Values(final_norm_), eps_, last);
  b.MatMul(last, *head_, nullptr, scores);
  b.CopyToHost(scores, logits);
}

void Decoder::Tap(int layer, const Tensor& x) {
  if (!tap_) return;
  tap_copy_.resize(static_cast<size_t>(x.shape.elements()));
  backend_.CopyToHost(x, tap_copy_.data());
  tap_(layer, tap_copy_.data(), x.shape[0]);
}

// ---- building

DecoderBuilder::DecoderBuilder(const ModelFiles& files, Backend& backend,
                               const LoadOptions& options)
    : files_(files),
      backend_(backend),
      options_(options),
      load_(files.checkpoint, backend,
            {options.progress, options.weight_memory, options.read_ahead}),
      decoder_(new Decoder(backend)) {
  const ModelConfig& c = files.config;
  Decoder& d = *decoder_;
  d.eps_ = static_cast<float>(c.rms_norm_eps);
  d.info_ = {.architecture = c.model_type,
             .n_layers = c.num_hidden_layers,
             .hidden = c.hidden_size,
             .vocab = c.vocab_size,
             .context = c.max_position_embeddings,
             .checkpoint_bytes = static_cast<size_t>(files.checkpoint->total_bytes()),
             .eos_ids = c.eos_token_ids};
  for (TokenId id : files.generation.eos_token_ids) {
    if (std::ranges::find(d.info_.eos_ids, id) == d.info_.eos_ids.end()) {
      d.info_.eos_ids.push_back(id);
    }
  }
  if (options.max_context > 0) d.info_.context = std::min(d.info_.context, options.max_context);

  // Layers hold addresses of their weights until Finish(), so they must not move.
  d.layers_.reserve(static_cast<size_t>(c.num_hidden_layers));
  const bool tied = c.tie_word_embeddings;
  load_.Embedding(&d.embedding_, tied ? &d.head_ : nullptr, "model.embed_tokens.weight",
                  c.vocab_size, c.hidden_size);
  load_.Vector(&d.final_norm_, "model.norm.weight", c.hidden_size);
  if (tied) {
    load_.Ignore("lm_head.weight");  // some exports store the copy
  } else {
    load_.Matrix(&d.head_, "lm_head.weight", c.vocab_size, c.hidden_size);
  }
  // Multi-token prediction layers follow the others; they are not run.
  for (int64_t i = 0; i < c.num_nextn_predict_layers; ++i) {
    load_.Ignore(fmt::format("model.layers.{}.*", c.num_hidden_layers + i));
  }
}

Status DecoderBuilder::AddRope(int64_t dims, RopePairing pairing) {
  Decoder& d = *decoder_;
  HADAL_TRY(Rope rope, Rope::Build(files_.config.rope, dims, pairing, d.info_.context, backend_));
  d.rope_ = std::make_unique<Rope>(std::move(rope));
  d.info_.context = std::min(d.info_.context, d.rope_->positions());
  return {};
}

size_t DecoderBuilder::AddStream(const std::string& name, int64_t layer, int64_t width) {
  auto& streams = decoder_->kv_layout_.streams;
  streams.push_back({name, static_cast<int>(layer), KvKind::kPerToken, width});
  return streams.size() - 1;
}

void DecoderBuilder::AddLayer(const std::string& prefix, std::unique_ptr<Block> attention,
                              std::unique_ptr<Block> ffn) {
  auto& layers = decoder_->layers_;
  CHECK(layers.size() < layers.capacity());
  layers.emplace_back();
  DecoderLayer& layer = layers.back();
  const int64_t hidden = files_.config.hidden_size;
  load_.Vector(&layer.attention_norm, prefix + "input_layernorm.weight", hidden);
  load_.Vector(&layer.ffn_norm, prefix + "post_attention_layernorm.weight", hidden);
  layer.attention = std::move(attention);
  layer.ffn = std::move(ffn);
}

Status DecoderBuilder::CheckOptions() const {
  static constexpr int64_t kMaxRows = int64_t{1} << 20;
  const auto check = [](const char* field, int64_t value) -> Status {
    if (value >= 1 && value <= kMaxRows) return {};
    return FailField(ErrorCode::kInvalidArgument, field, "{} is {}; it must be 1 .. {}", field,
                     value, kMaxRows);
  };
  HADAL_OK(check("max_step_tokens", options_.max_step_tokens));
  return check("max_logit_rows", options_.max_logit_rows);
}

Status DecoderBuilder::AllocateWorkspace() {
  Decoder& d = *decoder_;
  const int64_t rows = options_.max_step_tokens, logit_rows = options_.max_logit_rows;
  const int64_t hidden = d.info_.hidden;
  int64_t most =
      Workspace::Elements(logit_rows * hidden) + Workspace::Elements(logit_rows * d.info_.vocab);
  for (const DecoderLayer& layer : d.layers_) {
    most =
        std::max({most, layer.attention->ScratchElements(rows), layer.ffn->ScratchElements(rows)});
  }
  HADAL_TRY(d.scratch_,
            Workspace::Allocate(backend_, most + 3 * Workspace::Elements(rows * hidden)));
  d.limits_ = {rows, logit_rows, d.info_.vocab, d.info_.context};
  return {};
}

Result<std::unique_ptr<Model>> DecoderBuilder::Finish() {
  HADAL_OK(CheckOptions());
  HADAL_OK(AllocateWorkspace());
  HADAL_TRY(const WeightTotals totals, load_.Load());
  decoder_->in_use_ = load_.in_use();
  ModelInfo& info = decoder_->info_;
  info.parameters = totals.parameters;
  info.active_parameters = totals.active_parameters;
  info.resident_bytes = totals.resident_bytes;
  info.file_bytes = totals.file_bytes;
  info.bytes_per_token = totals.bytes_per_token;
  info.expert_bytes = totals.expert_bytes;
  info.experts = totals.experts;
  info.experts_per_token = totals.experts_per_token;
  return std::unique_ptr<Model>(std::move(decoder_));
}

}  // namespace hadal
