// Owns: what every family looks like from outside: load, declared cache, one forward step.
// A family is one file (config + weights + forward) and one line in registry.cc.
// Thread rule: one thread (the engine's) calls Forward; everything else is immutable after Load.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/backend.h"
#include "kv/layout.h"
#include "models/expert_split.h"

namespace hadal {

struct ModelInfo {
  std::string architecture;  // model_type of config.json
  int64_t n_layers = 0, hidden = 0, vocab = 0;
  int64_t context = 0;  // positions Forward takes: max_position_embeddings, or max_context if lower
  int64_t parameters = 0;         // all
  int64_t active_parameters = 0;  // multiplied for one token, embedding row excluded
  size_t checkpoint_bytes = 0;
  size_t resident_bytes = 0;   // prepared weights, in the backend's memory
  size_t file_bytes = 0;       // of weights that did not fit and are read at every use
  LinkUse link = {};           // copying them to a card
  size_t bytes_per_token = 0;  // weight bytes read to decode one token (batch 1, empty cache)
  size_t expert_bytes = 0;     // wherever they are: routed experts, all layers
  int64_t experts = 0, experts_per_token = 0;  // routed, per layer; 0 for a dense model
  // Rows of prompts are computed with other rounding than those of answers
  // (Backend::rounds_prompts), so what the cache holds of a token depends on which it was.
  bool rounds_prompts = false;
  ExpertSplit split = {};  // of a backend with memory of its own
  bool drafts = false;  // Draft may be called; its layer is in parameters and resident_bytes only
  std::vector<int32_t> eos_ids;  // config.json and generation_config.json together
};

// The paged cache: memory for n_blocks of every stream the model declared.
class KvStorage {
 public:
  static Result<std::unique_ptr<KvStorage>> Allocate(Backend& backend, const KvLayout& layout,
                                                     int32_t n_blocks, int32_t block_tokens);
  KvView view(size_t stream) const { return views_[stream]; }
  size_t bytes() const { return bytes_; }
  uint64_t id() const { return id_; }  // no other one of this process ever has it; never 0
  int32_t n_blocks() const { return n_blocks_; }
  int32_t block_tokens() const { return block_tokens_; }

 private:
  std::vector<std::unique_ptr<Memory>> memory_;
  std::vector<KvView> views_;
  size_t bytes_ = 0;
  int32_t n_blocks_ = 0, block_tokens_ = 0;
  uint64_t id_ = 0;
};

// A checkpoint's layer that predicts one token more (multi-token prediction).
enum class DraftLayerUse { kNever, kIfPresent, kRequired };

struct LoadOptions {
  int64_t max_step_tokens = 512;  // rows of the largest step; sizes the workspace
  int64_t max_logit_rows = 64;    // rows whose logits may be asked for in one step
  int64_t max_context = 0;        // 0 = the checkpoint's, which is the most; sizes the rope tables
  DraftLayerUse draft_layer = DraftLayerUse::kNever;  // kRequired: kUnsupportedModel without one
  std::function<void(size_t done_bytes, size_t all_bytes)> progress;  // may be empty
  // WeightLoader::Options: what prepared weights may take, and whether to read before it is asked.
  size_t weight_memory = SIZE_MAX;
  bool read_ahead = true;
  // Of a backend with memory of its own: routed experts that stay in the host's memory and are
  // computed there. kOutOfMemory with the numbers where weights fit neither.
  struct HostExperts {
    // The last so many layers that have some; nullopt: as few as leave room for the rest.
    std::optional<int64_t> layers = 0;
    size_t spare = 0;          // bytes of the backend's memory that are others'
    size_t cache = 0;          // that the cache gets; 0: one context, at most a tenth of all
    size_t memory = SIZE_MAX;  // of the host
  } host_experts;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  virtual const KvLayout& kv_layout() const = 0;
  // Computes logits of step.logit_rows, to host memory [logit_rows.size(), vocab] float32 or to
  // stay with the backend (see StepResult), and writes the step's keys to the cache.
  // kInvalidArgument, before anything is computed, when the step is larger than LoadOptions said or
  // holds a token, position, slot, block or row out of range. kBadFile, after: weights that stayed
  // in the file could not be read as they were.
  virtual Status Forward(const StepInput& step, KvStorage& kv, const StepResult& result) = 0;
  // Logits of the tokens after the next ones, from the layer that info().drafts tells of; its keys
  // go to its own stream. Row r of the step has the position and slot of a token whose hidden state
  // is row after[r] of the last Forward, and the token that follows it as its token. When chained,
  // after[r] is a logit row of the last Draft instead, whose guess is taken for the following
  // token. Errors as Forward's.
  virtual Status Draft(const StepInput& step, std::span<const int32_t> after, bool chained,
                       KvStorage& kv, float* logits) = 0;
  // For tests and for naming the layer where a result parts from a golden: called with the residual
  // stream [T, hidden] after the embedding (layer -1) and after every layer.
  using HiddenTap = std::function<void(int layer, const float* hidden, int64_t n_tokens)>;
  virtual void set_hidden_tap(HiddenTap tap) = 0;
};

// Opens the checkpoint (a directory, a .safetensors file beside its config.json, or a .gguf file),
// resolves the family by model_type, binds and prepares the weights. Everything is copied into the
// backend's memory, unless weight_memory is less than they need: the files are not needed
// afterwards, and changing or cutting them changes nothing. A model of which a part stayed in the
// file holds it open; a Forward that may have read something else since it was cut or written to,
// and every one after it, fails with kBadFile. kUnsupportedModel lists the supported architectures;
// kBadFile lists all missing, extra and misshapen tensors at once, or the tensors that hold NaN or
// infinity, or a file cut while it is read.
Result<std::unique_ptr<Model>> LoadModel(const std::filesystem::path& path, Backend& backend,
                                         const LoadOptions& options);

}  // namespace hadal
