#include "models/decoder.h"

#include <algorithm>
#include <utility>

namespace hadal {
namespace {

Status CheckStates(std::span<const int32_t> after, size_t rows, int64_t n_states) {
  if (after.size() != rows) {
    return Fail(ErrorCode::kInvalidArgument, "{} hidden states for a step of {} tokens",
                after.size(), rows);
  }
  for (const int32_t i : after) {
    if (i >= 0 && i < n_states) continue;
    return Fail(ErrorCode::kInvalidArgument, "a draft follows hidden state {} of {}", i, n_states);
  }
  return {};
}

}  // namespace

// ---- the step

Status Decoder::Check(const StepInput& step, const KvStorage& kv) {
  HADAL_OK(CheckStep(step, limits_, kv.n_blocks(), kv.block_tokens()));
  if (!rope_ || step.positions.empty()) return {};
  return rope_->Reserve(int64_t{*std::ranges::max_element(step.positions)} + 1);
}

Status Decoder::Forward(const StepInput& input, KvStorage& kv, const StepResult& result) {
  HADAL_OK(Check(input, kv));
  HADAL_OK(Compute(info_.rounds_prompts ? input : WithoutPrompts(input), kv, result));
  return in_use_ ? in_use_->Check() : Status{};
}

Status Decoder::Compute(const StepInput& step, KvStorage& kv, const StepResult& result) {
  n_states_ = static_cast<int64_t>(step.tokens.size());
  n_draft_states_ = 0;
  const StepCache cache{tap_ ? 0 : kv.id(), kv.block_tokens()};
  return backend_.RunStep(step, cache, result, [&] { return Enqueue(step, kv); });
}

// The operations of a step; gives its logits on the backend. Called for shapes, not for values: a
// backend may repeat them for another step.
Tensor Decoder::Enqueue(const StepInput& step, KvStorage& kv) {
  Backend& b = backend_;
  const auto rows = static_cast<int64_t>(step.tokens.size());
  scratch_.Release(0);
  Pass pass{b, step, kv, scratch_, rows, ExactRows(step)};
  const Tensor x = scratch_.Take({rows, info_.hidden});    // the residual stream
  const Tensor h = scratch_.Take({rows, info_.hidden});    // normed, what blocks read
  const Tensor out = scratch_.Take({rows, info_.hidden});  // what blocks add

  b.Embed(*embedding_, step.tokens, x);
  Tap(-1, x);
  b.RmsNorm(x, Values(layers_.front().attention_norm), eps_, h);
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Delta delta = layers_[l].Forward(pass, eps_, x, h, out);
    if (l + 1 < layers_.size()) {
      b.AddRmsNorm(x, delta, Values(layers_[l + 1].attention_norm), eps_, h);
    } else {
      b.Add(x, delta);
    }
    Tap(static_cast<int>(l), x);
  }

  if (draft_) {
    b.RmsNorm(x, Values(final_norm_), eps_, {states_->data(), DType::kF32, {rows, info_.hidden}});
  }
  if (step.logit_rows.empty()) return {};
  const auto n_logits = static_cast<int64_t>(step.logit_rows.size());
  const Tensor last = scratch_.Take({n_logits, info_.hidden});
  b.GatherRows(x, step.logit_rows, last);
  b.RmsNorm(last, Values(final_norm_), eps_, last);
  return Score(last);
}

// Logits of normed hidden states.
Tensor Decoder::Score(Tensor last) {
  const Tensor scores = scratch_.Take({last.shape[0], info_.vocab});
  backend_.MatMul(last, *head_, nullptr, scores);
  return scores;
}

Status Decoder::Draft(const StepInput& step, std::span<const int32_t> after, bool chained,
                      KvStorage& kv, float* logits) {
  CHECK(draft_ != nullptr);
  HADAL_OK(Check(step, kv));
  const int64_t n_states = chained ? n_draft_states_ : n_states_;
  HADAL_OK(CheckStates(after, step.tokens.size(), n_states));
  n_draft_states_ = static_cast<int64_t>(step.logit_rows.size());
  const StepCache never_repeated{0, kv.block_tokens()};
  return backend_.RunStep(step, never_repeated, logits,
                          [&] { return EnqueueDraft(step, after, chained, n_states, kv); });
}

Tensor Decoder::EnqueueDraft(const StepInput& step, std::span<const int32_t> after, bool chained,
                             int64_t n_states, KvStorage& kv) {
  Backend& b = backend_;
  const auto rows = static_cast<int64_t>(step.tokens.size());
  scratch_.Release(0);
  Pass pass{b, step, kv, scratch_, rows, /*exact_rows=*/rows};
  const Tensor x = scratch_.Take({rows, info_.hidden});
  const Tensor h = scratch_.Take({rows, info_.hidden});
  void* states = (chained ? draft_states_ : states_)->data();
  b.Embed(*embedding_, step.tokens, x);
  b.GatherRows({states, DType::kF32, {n_states, info_.hidden}}, after, h);
  draft_->Forward(pass, x, h);
  if (step.logit_rows.empty()) return {};
  const auto n_logits = static_cast<int64_t>(step.logit_rows.size());
  const Tensor last{draft_states_->data(), DType::kF32, {n_logits, info_.hidden}};
  b.GatherRows(x, step.logit_rows, last);
  b.RmsNorm(last, draft_->head_norm(), eps_, last);
  return Score(last);
}

int64_t Decoder::ExactRows(const StepInput& step) {
  for (const SeqChunk& chunk : step.chunks) {
    if (chunk.prompt) return chunk.first_row;
  }
  return kAllRows;
}

const StepInput& Decoder::WithoutPrompts(const StepInput& input) {
  exact_step_ = input;
  exact_chunks_.assign(input.chunks.begin(), input.chunks.end());
  for (SeqChunk& chunk : exact_chunks_) chunk.prompt = false;
  exact_step_.chunks = exact_chunks_;
  return exact_step_;
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
      draft_load_(files.checkpoint, backend, {}),
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
    load_.Matrix(&d.head_, "lm_head.weight", c.vocab_size, c.hidden_size,
                 WeightLoader::Precision::kExact);
  }
  // Multi-token prediction layers follow the others; the first may be loaded, by draft_load_.
  draft_load_.Ignore("*");
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

size_t DecoderBuilder::AddStream(const std::string& name, int64_t layer, const KvRow& row) {
  auto& streams = decoder_->kv_layout_.streams;
  streams.push_back({name, static_cast<int>(layer), KvKind::kPerToken, row});
  return streams.size() - 1;
}

void DecoderBuilder::AddLayer(const std::string& prefix, std::unique_ptr<Block> attention,
                              std::unique_ptr<Block> ffn) {
  auto& layers = decoder_->layers_;
  CHECK(layers.size() < layers.capacity());
  layers.emplace_back();
  DecoderLayer& layer = layers.back();
  layer.LoadNorms(load_, prefix, files_.config.hidden_size);
  layer.attention = std::move(attention);
  layer.ffn = std::move(ffn);
}

std::string DecoderBuilder::DraftPrefix() const {
  return fmt::format("model.layers.{}.", files_.config.num_hidden_layers);
}

// Some files tell of a layer that was left out of them.
bool DecoderBuilder::WantsDraftLayer() const {
  return options_.draft_layer != DraftLayerUse::kNever &&
         files_.config.num_nextn_predict_layers > 0 &&
         files_.checkpoint->Find(DraftPrefix() + "eh_proj.weight") != nullptr;
}

void DecoderBuilder::AddDraftLayer(std::unique_ptr<Block> attention, std::unique_ptr<Block> ffn) {
  Decoder& d = *decoder_;
  d.draft_ = std::make_unique<DraftLayer>(draft_load_, DraftPrefix(), d.info_.hidden, d.eps_,
                                          std::move(attention), std::move(ffn));
  d.info_.drafts = true;
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
  for (const DecoderLayer& layer : d.layers_) most = std::max(most, layer.ScratchElements(rows));
  if (d.draft_) most = std::max(most, d.draft_->ScratchElements(rows));
  HADAL_TRY(d.scratch_,
            Workspace::Allocate(backend_, most + 3 * Workspace::Elements(rows * hidden)));
  d.limits_ = {rows, logit_rows, d.info_.vocab, d.info_.context};
  return {};
}

Status DecoderBuilder::AllocateStates() {
  Decoder& d = *decoder_;
  const auto bytes = [&](int64_t rows) {
    return static_cast<size_t>(rows * d.info_.hidden) * sizeof(float);
  };
  HADAL_TRY(d.states_, backend_.Allocate(bytes(options_.max_step_tokens)));
  HADAL_TRY(d.draft_states_, backend_.Allocate(bytes(options_.max_logit_rows)));
  return {};
}

// Of `free` bytes: what is left beside the cache, the work space of the operations and what is
// spared. The work space is an estimate, for it is not known before steps are computed: a row takes
// about 35 floats per hidden dimension in the largest model (V3: 12.6 of experts, 18 of latent
// queries); weights that are rounded (256 MiB), parts of attention (160) and the library take the
// rest.
size_t DecoderBuilder::RoomForWeights(size_t free) const {
  constexpr int64_t kWorkSpace = int64_t{640} << 20, kBytesPerDimension = 256;
  const LoadOptions::HostExperts& asked = options_.host_experts;
  const Decoder& d = *decoder_;
  const int64_t per_token = d.kv_layout_.BytesPerToken(backend_.kv_dtype());
  const auto context = static_cast<size_t>(d.info_.context * per_token);
  const size_t cache = asked.cache > 0 ? asked.cache : std::min(context, free / 10);
  const int64_t work = kWorkSpace + kBytesPerDimension * d.info_.hidden * options_.max_step_tokens;
  const size_t taken = asked.spare + cache + static_cast<size_t>(work);
  return free - std::min(free, taken);
}

// The layer of multi-token prediction is the last one.
Status DecoderBuilder::SplitExperts() {
  const auto free = backend_.FreeBytes();
  if (!free) return {};
  HADAL_TRY(WeightSizes sizes, load_.Measure());
  const auto own = static_cast<int64_t>(sizes.experts.size());
  if (decoder_->draft_) {
    HADAL_TRY(const WeightSizes draft, draft_load_.Measure());
    sizes.others += draft.others;
    sizes.experts.insert(sizes.experts.end(), draft.experts.begin(), draft.experts.end());
  }
  const auto layers = static_cast<int64_t>(sizes.experts.size());
  const LoadOptions::HostExperts& asked = options_.host_experts;
  const int64_t n =
      asked.layers ? std::min(*asked.layers, layers) : HostLayers(sizes, RoomForWeights(*free));
  const int64_t n_draft = std::min(n, layers - own);
  HADAL_TRY(size_t host, load_.LeaveToHost(n - n_draft));
  if (n_draft > 0) {
    HADAL_TRY(const size_t draft, draft_load_.LeaveToHost(n_draft));
    host += draft;
  }
  if (sizes.Without(n) > *free || host > asked.memory) {
    return Fail(ErrorCode::kOutOfMemory,
                "weights need {} bytes of the card's memory, where {} are free, and, for routed "
                "experts of {} of {} layers, {} of the host's, where {} are available",
                sizes.Without(n), *free, n, layers, host, asked.memory);
  }
  decoder_->info_.split = {layers, n, sizes.Without(n) - sizes.others, host};
  return {};
}

Status DecoderBuilder::LoadDraftLayer() {
  ModelInfo& info = decoder_->info_;
  HADAL_TRY(const WeightTotals totals, draft_load_.Load());
  info.parameters += totals.parameters;
  info.resident_bytes += totals.resident_bytes;
  info.link.bytes += totals.link.bytes;
  info.link.seconds += totals.link.seconds;
  return AllocateStates();
}

Result<std::unique_ptr<Model>> DecoderBuilder::Finish() {
  if (options_.draft_layer == DraftLayerUse::kRequired && !decoder_->draft_) {
    return FailField(ErrorCode::kUnsupportedModel, "num_nextn_predict_layers",
                     "the checkpoint of '{}' has no layer of multi-token prediction to guess with",
                     files_.config.model_type);
  }
  HADAL_OK(CheckOptions());
  HADAL_OK(AllocateWorkspace());
  HADAL_OK(SplitExperts());
  HADAL_TRY(const WeightTotals totals, load_.Load());
  decoder_->in_use_ = load_.in_use();
  ModelInfo& info = decoder_->info_;
  info.parameters = totals.parameters;
  info.active_parameters = totals.active_parameters;
  info.resident_bytes = totals.resident_bytes;
  info.file_bytes = totals.file_bytes;
  info.link = totals.link;
  info.bytes_per_token = totals.bytes_per_token;
  info.expert_bytes = totals.expert_bytes;
  info.experts = totals.experts;
  info.experts_per_token = totals.experts_per_token;
  // Scores of experts lie as close as the rounding of activations moves them: with weights that are
  // not quantised much further already, other experts would be chosen than exact rows choose.
  // Weights that stay in the file are multiplied exactly.
  info.rounds_prompts =
      backend_.rounds_prompts() && totals.file_bytes == 0 &&
      (totals.experts == 0 || totals.experts_quantised || backend_.rounds_any_experts());
  if (info.drafts) HADAL_OK(LoadDraftLayer());
  return std::unique_ptr<Model>(std::move(decoder_));
}

}  // namespace hadal
