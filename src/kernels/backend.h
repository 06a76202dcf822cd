// Owns: the operations a model's forward pass is made of, at the granularity that lets a backend
// fuse. One abstract class; the CPU backend is in kernels/cpu, a GPU backend is linked beside it.
// Knows nothing of families, checkpoints or schedulers.
//
// Activations are float32 tensors in the backend's memory (CPU: host memory). Shapes are written as
// [rows, columns]; T = tokens of the step, in the order of StepInput::tokens.
//
// Row independence: the result of a row depends only on that row's inputs, its sequence's cache,
// the weights and whether it is a row of a prompt, never on what else is in the batch or on the
// number of threads. All reductions run in an order fixed by the shapes of one row. (MLA may choose
// between its two forms by the length of a sequence's own chunk; the forms agree to the rounding of
// their rows.) A backend with rounds_prompts() computes the rows of prompts on a matrix unit that
// takes bf16: activations and weights are rounded to it there, sums stay float32. Rows of answers
// never are.
//
// Thread rule: one thread calls a Backend (the engine's); it fans out over its own pool.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/cpu_info.h"
#include "base/error.h"
#include "core/ids.h"
#include "core/kv_row.h"
#include "core/row_summary.h"
#include "core/tensor.h"
#include "quant/quant_type.h"

namespace hadal {

// Rows of a matrix that are stored in blocks of one type.
struct BlockRows {
  int64_t rows = 0;
  QuantType type = QuantType::kQ4_0;
  bool operator==(const BlockRows&) const = default;
};

// One matrix to be prepared: [rows = out features, cols = in features].
struct WeightSource {
  std::string name;  // checkpoint tensor name(s), for messages
  int64_t rows = 0;
  int64_t cols = 0;
  // Decodes rows [row0, row0 + n) to float32, row-major [n, cols]. Called from several threads.
  std::function<void(int64_t row0, int64_t n, float* out)> decode;
  // kF16 or kBf16 when every value decoded is exactly one of it: a backend keeps it in two bytes.
  std::optional<DType> stored = std::nullopt;
  // May be set when `stored` is: the rows as such values, [n, cols]; called from several threads.
  std::function<void(int64_t row0, int64_t n, std::byte* out)> read_stored = nullptr;
  // Set when every row is stored in blocks of one type: a backend that has kernels for it keeps the
  // blocks' values exactly instead of decoding them to another format. read_blocks gives rows as
  // [n][RowBytes(*blocks, cols)]; called from several threads.
  std::optional<QuantType> blocks = std::nullopt;
  // Instead of blocks, when a matrix made of several has them in different types: its parts from
  // row 0 on. read_blocks is then asked for rows of one part at a time.
  std::vector<BlockRows> mixed_blocks = {};
  std::function<void(int64_t row0, int64_t n, std::byte* out)> read_blocks = nullptr;
  // Set when every value is an E4M3 one times a float32 scale that it shares with 16 rows and 128
  // columns, from multiples of those on: a backend that has kernels for it keeps the values. Gives
  // codes [n][cols] and scales [ceil(n / 16)][ceil(cols / 128)] of rows from a multiple of 16 on;
  // called from several threads.
  std::function<void(int64_t row0, int64_t n, uint8_t* codes, float* scales)> read_fp8 = nullptr;
};

// Resident formats of matrices. kF32 holds for every matrix; the others for those whose source is
// not in blocks: blocks stay what they are. kBf16 keeps sources of F16 values as F16, exactly, and
// on a card those of FP8 values as FP8;
// looked-up tables of F16 values keep them in every format but kF32.
enum class WeightFormat { kF32, kBf16, kInt8 };
std::string_view NameOf(WeightFormat f);  // "f32" "bf16" "int8"
Result<WeightFormat> ParseWeightFormat(std::string_view name);

// A prepared matrix, or a stack of equally shaped ones (experts, heads). Opaque to models.
class Weight {
 public:
  virtual ~Weight() = default;
  int64_t count() const { return count_; }  // matrices in the stack
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  virtual size_t bytes() const = 0;  // resident

 protected:
  Weight(int64_t count, int64_t rows, int64_t cols) : count_(count), rows_(rows), cols_(cols) {}

 private:
  int64_t count_, rows_, cols_;
};
using WeightPtr = std::unique_ptr<Weight>;

// What a matrix is for. kMultiplyF32: never kept lower than float32 (router). kMultiplyExact: its
// rows of prompts are not rounded. kHostExperts: experts, multiplied by MixExperts only, that a
// backend with memory of its own leaves in the host's, where the CPU computes them.
enum class WeightUse { kMultiply, kMultiplyF32, kMultiplyExact, kLookUp, kHostExperts };

// Memory of the backend, zeroed.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual void* data() = 0;
  virtual size_t size() const = 0;
};

// Copies to the backend's own memory.
struct LinkUse {
  size_t bytes = 0;
  double seconds = 0;  // that copies ran; bytes and time between them are not counted
};

enum class RopePairing { kHalfSplit, kAdjacent };

// cos and sin of every position and pair, float32 [max_positions, dims / 2] each, already scaled.
struct RopeTable {
  int dims = 0;  // rotated dimensions
  RopePairing pairing = RopePairing::kHalfSplit;
  const float* cos = nullptr;
  const float* sin = nullptr;
};

// One sequence's part of a step.
struct SeqChunk {
  int32_t first_row = 0;            // first of its rows in the step
  int32_t n_rows = 0;               // query tokens, >= 1; positions context .. context + n_rows - 1
  int32_t context = 0;              // tokens of this sequence already in the cache
  const int32_t* blocks = nullptr;  // block table covering context + n_rows tokens
  bool prompt = false;              // rows of a prompt, see rounds_prompts()
};

struct StepInput {
  std::span<const TokenId> tokens;      // [T]
  std::span<const int32_t> positions;   // [T] position in the sequence
  std::span<const int32_t> slots;       // [T] cache slot to write: block * block_tokens + offset
  std::span<const SeqChunk> chunks;     // rows of a chunk are consecutive; chunks cover all rows,
                                        // those of prompts come last
  std::span<const int32_t> logit_rows;  // rows whose logits are wanted
};

// Where what a step gives of its logit rows goes.
struct StepResult {
  float* logits = nullptr;  // [rows, vocab] of the host; null: they stay with the backend, which
                            // must keep logits; ReadLogits gives them until the next step
  // Summaries of the rows that stay, [rows], and the temperature each will be drawn at.
  RowSummary* summaries = nullptr;
  std::span<const float> temperatures = {};

  StepResult() = default;
  StepResult(float* rows) : logits(rows) {}
};

// The cache that a step reads and writes, for RunStep.
struct StepCache {
  uint64_t id = 0;  // of this cache among all that ever were; 0: compute must be called
  int32_t block_tokens = 0;
};

// One stream of the paged cache: n_blocks * block_tokens rows of `width` values of dtype F32 or
// BF16 or, on a card, F8_E4M3 (core/kv_row.h).
struct KvView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t width = 0;
  int32_t block_tokens = 0;
  int64_t group = 0, kept = 0;  // see KvRow; whole groups are stored at once

  KvRow row() const { return {width, group, kept}; }
};

struct GqaArgs {
  Tensor q;  // [T, n_heads, head_dim] f32, after rope
  KvView k;  // width n_kv_heads * head_dim; the step's own keys are already stored
  KvView v;
  int n_heads = 0, n_kv_heads = 0, head_dim = 0;
  float scale = 0;
  Tensor out;  // [T, n_heads, head_dim]
};

// Heads on their way from a projection to attention: each normed over its dimensions where norm is
// set, then rotated where rope is, then stored where there is a cache: head h at column
// at + h * head_dim. What x holds afterwards is open where it was stored.
struct Heads {
  Tensor x;                     // [T, n_heads, head_dim]
  const float* norm = nullptr;  // [head_dim]
  float eps = 0;
  const RopeTable* rope = nullptr;
  int offset = 0;  // of the rotated dimensions
  const KvView* cache = nullptr;
  int64_t at = 0;
};

constexpr int64_t kAllRows = INT64_MAX;

// One of the products of an input: out[T, rows] = x[T, cols] * w^T (+ bias[rows] when not null).
struct Product {
  const Weight* w = nullptr;
  const float* bias = nullptr;
  Tensor out;
};

// The gated feed-forward network: out = down(silu(gate x) * up x).
struct FfnArgs {
  Tensor x;                         // [T, hidden]
  const Weight* gate_up = nullptr;  // [2 * ffn, hidden]: gate rows, then up rows
  const Weight* down = nullptr;     // [hidden, ffn]
  Tensor both, product;             // scratch: [T, 2 * ffn], [T, ffn]
  Tensor out;                       // [T, hidden]
  int64_t exact_rows = kAllRows;    // see MatMuls
};

enum class MlaForm { kAuto, kAbsorbed, kDecompressed };

struct MlaArgs {
  Tensor q;       // [T, n_heads, nope + rope] f32; the rope part already rotated
  KvView latent;  // width kv_lora + rope: normed latent, then rotated k_pe; own rows already stored
  const Weight* uk = nullptr;    // stack n_heads of [kv_lora, nope]: absorbs q_nope
  const Weight* uv = nullptr;    // stack n_heads of [v_dim, kv_lora]
  const Weight* kv_b = nullptr;  // [n_heads * (nope + v_dim), kv_lora], per head K rows then V rows
  int n_heads = 0, nope = 0, rope = 0, kv_lora = 0, v_dim = 0;
  float scale = 0;                // (nope + rope)^-1/2 times the YaRN factor squared
  MlaForm form = MlaForm::kAuto;  // kAuto: decompressed for prompts
  Tensor out;                     // [T, n_heads, v_dim]
};

enum class GateScore { kSoftmax, kSigmoid };
enum class GroupScore { kNone, kMax, kTopTwoSum };

struct RouterArgs {
  Tensor logits;                // [T, n_experts] f32
  const float* bias = nullptr;  // [n_experts], for choosing only; may be null
  GateScore score = GateScore::kSoftmax;
  GroupScore group_score = GroupScore::kNone;
  int n_groups = 1, top_groups = 1, top_k = 1;
  bool normalise = false;  // divide by the sum of the chosen (+ 1e-20)
  float scale = 1;         // routed_scaling_factor, applied last
};

struct MoeArgs {
  Tensor x;                         // [T, hidden]
  const Weight* gate_up = nullptr;  // stack n_experts of [2 * ffn, hidden]: gate rows, then up rows
  const Weight* down = nullptr;     // stack n_experts of [hidden, ffn]
  const int32_t* experts = nullptr;  // [T, top_k]
  const float* weights = nullptr;    // [T, top_k]
  int top_k = 0;
  Tensor out;                     // [T, hidden]: += sum over the chosen, in top_k order
  int64_t exact_rows = kAllRows;  // see MatMuls
};

// What is added to a tensor of rows: `sum`, and for row t the sum over k < top_k of weights[t][k] *
// parts[t * top_k + k] in that order: the experts of a mixture that are not in `sum` yet.
struct Delta {
  Tensor sum;
  const float* parts = nullptr;    // [T * top_k, n], until experts are mixed again
  const float* weights = nullptr;  // [T, top_k]
  int top_k = 0;

  Delta(Tensor all) : sum(all) {}
};

// What the hardware can do at most, measured.
struct BackendLimits {
  double read_bytes_per_second = 0;  // of a buffer far larger than the caches
  double flops_per_second = 0;       // multiply-adds counted as two, in the resident format
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string description()
      const = 0;  // "cpu avx512, 2 threads, bf16 weights (blocks as stored)"

  // ---- memory and weights (at load)
  virtual Result<std::unique_ptr<Memory>> Allocate(size_t bytes) = 0;
  // Of a card; takes a second or so and memory. (Of the CPU: cli/machine_limits.h.)
  virtual Result<BackendLimits> MeasureLimits() {
    return Fail(ErrorCode::kUnimplemented, "this backend does not measure its hardware");
  }
  // Bytes that Allocate has left, where its memory is not the host's.
  virtual std::optional<size_t> FreeBytes() const { return std::nullopt; }
  virtual DType kv_dtype() const = 0;
  // Asked after the weights are prepared: some kinds are rounded, others are not.
  virtual bool rounds_prompts() const { return false; }
  // Whether it does so even where other experts are chosen then.
  virtual bool rounds_any_experts() const { return false; }
  // A stack of sources.size() matrices of one shape, to multiply with.
  virtual Result<WeightPtr> Prepare(std::span<const WeightSource> sources, WeightUse use) = 0;
  Result<WeightPtr> PrepareOne(const WeightSource& source, WeightUse use = WeightUse::kMultiply) {
    return Prepare({&source, 1}, use);
  }
  // Vectors (norm weights, biases): host float32, held by the model, passed to the operations.
  virtual Result<std::unique_ptr<Memory>> Upload(std::span<const float> values) = 0;
  // Embedding tables are prepared separately: rows are looked up, never multiplied.
  virtual Result<WeightPtr> PrepareEmbedding(const WeightSource& source) = 0;
  // After the last weight and vector: waits for what is on its way and gives back what only
  // preparing takes. An error of a copy comes here, unless a step came first. What was copied since
  // the last call; nothing where the backend's memory is the host's.
  virtual Result<LinkUse> EndLoad() { return LinkUse{}; }
  // For weights that memory cannot hold. Bytes that preparing would take:
  virtual Result<size_t> BytesOf(std::span<const WeightSource> sources, WeightUse use) const = 0;
  // A weight that takes none: its sources are kept and read at every use, a piece at a time. Slow;
  // every result is, bit by bit, the prepared one's.
  virtual Result<WeightPtr> Defer(std::span<const WeightSource> sources, WeightUse use) = 0;

  // ---- a step: `compute` calls the operations below with the step's own spans and gives the
  // logits, a tensor of this backend or an empty one, which go where `result` says. A backend may
  // record what compute did and repeat it for a later step of the same shape and cache, with that
  // step's tokens and slots, instead of calling it. Gives the first error of the step's operations.
  virtual Status RunStep(const StepInput& step, const StepCache& cache, const StepResult& result,
                         const std::function<Tensor()>& compute) {
    (void)step, (void)cache;
    const Tensor scores = compute();
    if (scores.data != nullptr) CopyToHost(scores, result.logits);
    return {};
  }
  // Whether logits may stay with the backend: StepResult::logits may be null.
  virtual bool keeps_logits() const { return false; }
  // Of a row of the last step whose logits stayed.
  virtual Status ReadLogits(int64_t row, float* out) {
    (void)row, (void)out;
    return Fail(ErrorCode::kInternal, "this backend keeps no logits");
  }

  // ---- operations (per step); out never aliases an input unless stated
  virtual void Embed(const Weight& table, std::span<const TokenId> ids, Tensor out) = 0;
  // out = x / sqrt(mean(x^2) + eps) * weight over the last dimension; out may be x.
  virtual void RmsNorm(Tensor x, const float* weight, float eps, Tensor out) = 0;
  // x += delta; out = RmsNorm(x).
  virtual void AddRmsNorm(Tensor x, const Delta& delta, const float* weight, float eps,
                          Tensor out) = 0;
  // x += delta. What delta.sum holds afterwards is open.
  virtual void Add(Tensor x, const Delta& delta) = 0;
  // Products of the same x, as one operation. Rows from exact_rows on are of prompts.
  virtual void MatMuls(Tensor x, std::span<const Product> products, int64_t exact_rows) = 0;
  void MatMul(Tensor x, const Weight& w, const float* bias, Tensor out,
              int64_t exact_rows = kAllRows) {
    const Product product = {&w, bias, out};
    MatMuls(x, {&product, 1}, exact_rows);
  }
  // gate_up [T, 2 * ffn] -> out [T, ffn] = silu(gate) * up.
  virtual void SwiGlu(Tensor gate_up, Tensor out) = 0;
  virtual void FeedForward(const FfnArgs& args) = 0;
  // Rotates x[t, h, offset : offset + table.dims] in place. x is [T, n_heads, head_dim].
  virtual void Rope(Tensor x, int offset, const RopeTable& table,
                    std::span<const int32_t> positions) = 0;
  // cache[slots[t], at : at + n] = src[t, from : from + n]; src is [T, any].
  virtual void StoreKv(Tensor src, int64_t from, int64_t n, std::span<const int32_t> slots,
                       int64_t at, KvView cache) = 0;
  // At most three parts, as one operation; here one after another.
  virtual void PrepareHeads(std::span<const Heads> parts, std::span<const int32_t> positions,
                            std::span<const int32_t> slots) {
    for (const Heads& p : parts) {
      const int64_t rows = p.x.shape[0], width = p.x.shape[1] * p.x.shape[2];
      if (p.norm != nullptr) RmsNorm(p.x, p.norm, p.eps, p.x);
      if (p.rope != nullptr) Rope(p.x, p.offset, *p.rope, positions);
      if (p.cache == nullptr) continue;
      StoreKv({p.x.data, p.x.dtype, {rows, width}}, 0, width, slots, p.at, *p.cache);
    }
  }
  virtual void Attention(const GqaArgs& args, std::span<const SeqChunk> chunks) = 0;
  virtual void MlaAttention(const MlaArgs& args, std::span<const SeqChunk> chunks) = 0;
  // Chooses experts: ids [T, top_k] and weights [T, top_k]; ties go to the lowest id.
  virtual void Route(const RouterArgs& args, int32_t* experts, float* weights) = 0;
  // The same of the logits that x and the router give; args.logits is scratch.
  virtual void ScoreAndRoute(Tensor x, const Weight& router, const RouterArgs& args,
                             int32_t* experts, float* weights) {
    MatMul(x, router, nullptr, args.logits);
    Route(args, experts, weights);
  }
  virtual void MixExperts(const MoeArgs& args) = 0;
  // A network that all rows pass and the experts of each, of the same x and to the same out. Gives
  // out with what of them is not in it yet.
  virtual Delta FeedForwardAndMix(const FfnArgs& network, const MoeArgs& experts) {
    FeedForward(network);
    MixExperts(experts);
    return experts.out;
  }
  // out[i] = x[rows[i]].
  virtual void GatherRows(Tensor x, std::span<const int32_t> rows, Tensor out) = 0;
  // Waits for the operations called so far.
  virtual void Wait() {}
  // Waits for the work and copies to host memory.
  virtual void CopyToHost(Tensor x, float* out) = 0;
};

struct CpuBackendOptions {
  Isa isa = Isa::kRef;                         // must be in SupportedIsas()
  WeightFormat weights = WeightFormat::kBf16;  // ref always uses f32
  int threads = 1;
  DType kv_dtype = DType::kBf16;      // ref always uses f32
  MlaForm mla_form = MlaForm::kAuto;  // forces one form, for tests
  bool exact_prompts = false;         // prompts are computed like answers, never rounded
};
Result<std::unique_ptr<Backend>> NewCpuBackend(const CpuBackendOptions& options);

// How a card computes rows of prompts: like those of answers; rounded to bf16, but in models whose
// experts are not quantised, where rounding chooses other experts; always rounded.
enum class PromptRounding { kExact, kAuto, kRounded };

struct CudaBackendOptions {
  int device = 0;
  WeightFormat weights = WeightFormat::kBf16;  // f32 or bf16
  DType kv_dtype = DType::kBf16;
  PromptRounding prompts = PromptRounding::kAuto;
  // Attention of answers whose limit is the matrix unit (MLA of 64 heads or more): queries and
  // probabilities in bf16 instead of two parts of it.
  bool round_answers = false;
  MlaForm mla_form = MlaForm::kAuto;
  bool graphs = true;  // steps of answers are recorded and repeated
  int threads = 1;     // that pack weights at load
  // Computes kHostExperts. Its formats and whether it rounds prompts follow from the card's.
  CpuBackendOptions host = {};
};
// kNoGpu: built without CUDA, no driver, no such card; the message says which.
Result<std::unique_ptr<Backend>> NewCudaBackend(const CudaBackendOptions& options);
// The same kernels on the CPU, thread by thread: for tests where there is no card.
Result<std::unique_ptr<Backend>> NewEmulatedCudaBackend(const CudaBackendOptions& options);

}  // namespace hadal
