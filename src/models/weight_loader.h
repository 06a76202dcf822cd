// Owns: turning checkpoint tensors into prepared weights. A model first declares every tensor with
// its shape, one line each; Load() then reports all missing, extra and misshapen ones at once and
// prepares the rest, refusing NaN and infinities by tensor name.
// Must not know families, or what a weight is used for.
// Use:
//   WeightLoader load(checkpoint, backend, progress);
//   load.Matrix(&block.o, "model.layers.0.self_attn.o_proj.weight", hidden, heads * head_dim);
//   HADAL_TRY(WeightTotals totals, load.Load());
// The targets (WeightPtr*, VectorPtr*) must stay where they are until Load() returns; afterwards
// nothing points into the checkpoint but the matrices that did not fit into WeightMemory.
// Thread rule: one thread; the backend may decode from several.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/binder.h"
#include "formats/checkpoint.h"
#include "kernels/backend.h"
#include "models/expert_split.h"
#include "models/weight_reader.h"

namespace hadal {

using VectorPtr = std::unique_ptr<Memory>;  // float32 values in the backend's memory
inline const float* Values(const VectorPtr& v) {
  return v == nullptr ? nullptr : static_cast<const float*>(v->data());
}

struct WeightTotals {
  int64_t parameters = 0;         // elements of all tensors
  int64_t active_parameters = 0;  // those used for one token; an embedding table is not
  size_t resident_bytes = 0;
  size_t host_bytes = 0;       // of routed experts that the host computes
  size_t file_bytes = 0;       // of matrices that are in neither memory
  size_t bytes_per_token = 0;  // read to decode one token
  size_t expert_bytes = 0;     // of all three: routed experts
  int64_t experts = 0, experts_per_token = 0;
  bool experts_quantised = false;  // below 12 bits a weight
  LinkUse link;
};

class WeightLoader {
 public:
  using Progress = std::function<void(size_t done_bytes, size_t all_bytes)>;
  struct Options {
    Progress progress;  // may be empty
    // What prepared matrices may take. Those that do not fit stay in the file, and the backend
    // reads them at every use: embeddings first, then experts, then the others, the last ones
    // first. Vectors and the up-projections of latents are always resident.
    size_t weight_memory = SIZE_MAX;
    bool read_ahead = true;  // false: the backend does not look at the sources
  };
  WeightLoader(std::shared_ptr<const Checkpoint> checkpoint, Backend& backend, Options options);

  // kExact: multiplied by rows of answers only (heads); kF32: never below float32 (routers).
  enum class Precision { kBackend, kExact, kF32 };
  // Tensor `name` is [rows, cols].
  void Matrix(WeightPtr* out, const std::string& name, int64_t rows, int64_t cols,
              Precision precision = Precision::kBackend);
  // `name` is [n], kept as float32.
  void Vector(VectorPtr* out, const std::string& name, int64_t n);

  struct Rows {
    std::string name;
    int64_t rows = 0;
  };
  // One matrix out of several [rows, cols], laid below one another.
  void Fused(WeightPtr* out, const std::vector<Rows>& parts, int64_t cols);
  struct Stack {  // of equally shaped fused matrices, one of every expert
    WeightPtr* out = nullptr;
    std::vector<std::vector<Rows>> matrices;
    int64_t cols = 0;
  };
  // A layer's routed experts, of which `used` are multiplied for one token.
  void Experts(const std::vector<Stack>& stacks, int64_t used);

  struct Slice {
    WeightPtr* out = nullptr;
    int64_t rows = 0;
  };
  // Several matrices out of one: `name` is [sum of rows, cols].
  void Split(const std::vector<Slice>& slices, const std::string& name, int64_t cols);

  // Rows of `name` are looked up. When head is not null the same tensor is multiplied too.
  void Embedding(WeightPtr* table, WeightPtr* head, const std::string& name, int64_t rows,
                 int64_t cols);

  // The up-projection of a latent: `<prefix>kv_b_proj.weight` is [n_heads * (nope + v_dim),
  // kv_lora], per head first the rows of K, then those of V; or, from GGUF, `<prefix>k_b_proj` is
  // [n_heads, kv_lora, nope] and `<prefix>v_b_proj` [n_heads, v_dim, kv_lora].
  struct LatentUp {
    WeightPtr whole;  // as stored; not read when decoding one token
    WeightPtr uk;     // stack n_heads of [kv_lora, nope]: K rows transposed
    WeightPtr uv;     // stack n_heads of [v_dim, kv_lora]
  };
  struct LatentUpShape {
    int64_t n_heads = 0, nope = 0, v_dim = 0, kv_lora = 0;
  };
  void Latent(LatentUp* out, const std::string& prefix, const LatentUpShape& shape);

  // Tensors that match are not unexpected; `*` stands for any run of characters.
  void Ignore(const std::string& pattern) { binder_.Ignore(pattern); }

  // What all that was declared takes of the backend's memory. kBadFile as Load.
  Result<WeightSizes> Measure();
  // Leaves the routed experts of the last n layers that have some to the host; gives the bytes of
  // its memory that they take.
  Result<size_t> LeaveToHost(int64_t n);

  // kBadFile: every wrong name and shape at once; or what WeightReader::Check says.
  Result<WeightTotals> Load();
  // Set by Load when matrices stay in the file: its Check() says after every use whether what was
  // read can be trusted.
  std::shared_ptr<const WeightReader> in_use() const { return in_use_; }

 private:
  using Part = TensorRows;
  using Parts = std::vector<Part>;
  struct Share {  // of a stack, multiplied for one token
    int64_t used = 1, of = 1;
  };
  // What is given up first when memory is short.
  enum class Rank { kEmbedding, kExperts, kMatrix, kFixed };
  enum class Home { kBackend, kHost, kFile };
  struct Job {
    Parts reads;  // in this order
    std::function<Status(Home)> run;
    std::function<Result<size_t>(Home)> bytes;  // of kBackend and kHost
    Rank rank = Rank::kFixed;
    Home home = Home::kBackend;
    bool joins = false;  // reads what the job before reads: from the disk only once
    int64_t layer = 0;   // kExperts: which of those that have some
  };

  Status Place();
  void PlanReads();
  Part Whole(const std::string& name, int64_t rows, int64_t cols);
  Parts Whole(const std::vector<Rows>& parts, int64_t cols);
  void Count(int64_t elements, Share share);
  void AddMatrix(WeightPtr* out, std::vector<Parts> stack, int64_t cols, Share share,
                 Precision precision = Precision::kBackend);
  Result<size_t> LatentBytes(const Parts& stored, const Shape& decoded);
  WeightSource Source(Parts parts, int64_t cols);
  template <class Read>
  static void ForParts(const Parts& parts, int64_t row0, int64_t n, const Read& read);
  Result<WeightPtr> PrepareAs(WeightUse use, std::span<const WeightSource> sources, Home home);
  size_t& BytesAt(Home home);
  void Prepared(size_t bytes, Home home, Share share);
  struct LatentSources {
    WeightSource whole;
    std::vector<WeightSource> uk, uv;
  };
  Status PrepareLatent(LatentUp& out, const TensorEntry& entry, const LatentUpShape& shape);
  Status PrepareLatentParts(LatentUp& out, const TensorEntry& k, const TensorEntry& v,
                            const LatentUpShape& shape);
  Status PrepareLatentSources(LatentUp& out, const LatentSources& sources, int64_t elements);

  const std::shared_ptr<const Checkpoint> checkpoint_;
  Backend& backend_;
  const Options options_;
  Binder binder_;
  const std::shared_ptr<WeightReader> reader_;
  std::shared_ptr<const WeightReader> in_use_;
  WeightTotals totals_;
  std::vector<Job> jobs_;
  int64_t expert_layers_ = 0;
};

}  // namespace hadal
