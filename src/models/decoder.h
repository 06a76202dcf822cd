// Owns: the pre-norm residual decoder that most language models are: embedding, layers of
// attention and feed-forward blocks, final norm, head. A family says which blocks, with
// DecoderBuilder; the step is Decoder::Forward.
// Must not know families.
// Use: DecoderBuilder d(files, backend, options); d.AddRope(...); per layer: d.AddStream(...),
//      d.AddLayer(...); return d.Finish();
// Weights are copied into the backend's memory by Finish(), so a file that is cut later cannot
// change a result; one whose weights did not all fit is asked after every step.
// Thread rule: one thread builds, one (the engine's) calls Forward.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "formats/model_files.h"
#include "models/block.h"
#include "models/decoder_layer.h"
#include "models/draft_layer.h"
#include "models/model.h"
#include "models/rope.h"
#include "models/step_check.h"
#include "models/weight_loader.h"
#include "models/workspace.h"

namespace hadal {

class Decoder final : public Model {
 public:
  const ModelInfo& info() const override { return info_; }
  const KvLayout& kv_layout() const override { return kv_layout_; }
  Status Forward(const StepInput& step, KvStorage& kv, const StepResult& result) override;
  Status Draft(const StepInput& step, std::span<const int32_t> after, bool chained, KvStorage& kv,
               float* logits) override;
  void set_hidden_tap(HiddenTap tap) override { tap_ = std::move(tap); }

 private:
  friend class DecoderBuilder;
  explicit Decoder(Backend& backend) : backend_(backend) {}
  static int64_t ExactRows(const StepInput& step);
  const StepInput& WithoutPrompts(const StepInput& input);
  Status Check(const StepInput& step, const KvStorage& kv);
  Status Compute(const StepInput& step, KvStorage& kv, const StepResult& result);
  Tensor Enqueue(const StepInput& step, KvStorage& kv);
  Tensor EnqueueDraft(const StepInput& step, std::span<const int32_t> after, bool chained,
                      int64_t n_states, KvStorage& kv);
  void Tap(int layer, const Tensor& x);
  Tensor Score(Tensor last);

  Backend& backend_;
  ModelInfo info_;
  KvLayout kv_layout_;
  StepLimits limits_;
  float eps_ = 0;
  std::unique_ptr<Rope> rope_;
  WeightPtr embedding_;  // [vocab, hidden]
  std::vector<DecoderLayer> layers_;
  VectorPtr final_norm_;                        // [hidden]
  WeightPtr head_;                              // [vocab, hidden]
  std::shared_ptr<const WeightReader> in_use_;  // when weights stay in the file
  std::unique_ptr<DraftLayer> draft_;
  // Beside a draft layer: normed hidden states of the last Forward's rows, and of the rows that the
  // last Draft gave logits for; how many of each.
  std::unique_ptr<Memory> states_, draft_states_;
  int64_t n_states_ = 0, n_draft_states_ = 0;
  Workspace scratch_;
  HiddenTap tap_;
  std::vector<float> tap_copy_;
  StepInput exact_step_;
  std::vector<SeqChunk> exact_chunks_;
};

class DecoderBuilder {
 public:
  DecoderBuilder(const ModelFiles& files, Backend& backend, const LoadOptions& options);

  // Before the layers. The context of the model is cut to what the tables cover.
  Status AddRope(int64_t dims, RopePairing pairing);
  const RopeTable& rope() const { return decoder_->rope_->table(); }
  // Returns the index of the stream.
  size_t AddStream(const std::string& name, int64_t layer, const KvRow& row);
  // prefix: "model.layers.0."
  void AddLayer(const std::string& prefix, std::unique_ptr<Block> attention,
                std::unique_ptr<Block> ffn);
  WeightLoader& load() { return load_; }
  // Whether the layer is in the checkpoint and asked for; then AddDraftLayer, with blocks that load
  // from draft_load().
  bool WantsDraftLayer() const;
  std::string DraftPrefix() const;  // "model.layers.61."
  WeightLoader& draft_load() { return draft_load_; }
  void AddDraftLayer(std::unique_ptr<Block> attention, std::unique_ptr<Block> ffn);
  Result<std::unique_ptr<Model>> Finish();

 private:
  Status CheckOptions() const;
  Status AllocateWorkspace();
  Status AllocateStates();
  Status SplitExperts();
  size_t RoomForWeights(size_t free) const;
  Status LoadDraftLayer();

  const ModelFiles& files_;
  Backend& backend_;
  const LoadOptions& options_;
  WeightLoader load_;
  WeightLoader draft_load_;  // apart: what it reads is not read for a token
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace hadal
