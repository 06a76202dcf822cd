// Owns: what the host asks of the card: one function per kernel or group of kernels, over plain
// pointers to the card's memory. Row-major; sizes in elements unless named bytes. Everything is
// enqueued on the stream and returns at once. Included by .cu files and by the host's own.
// Must not know tensors, tests or models.
// Thread rule: one thread per stream.
#pragma once

#include <cstdint>
#include <span>

#ifdef HADAL_CUDA_EMULATED
#define CUDA_NAMESPACE cuda_emulated
#else
#define CUDA_NAMESPACE cuda
#endif

namespace hadal::CUDA_NAMESPACE {

struct Stream;

// ---- weights

// How a matrix is stored. Blocks: kBlocks + QuantType, in the planes of block_planes.h.
enum class Form : int { kF32, kBf16, kF16, kBlocks };
constexpr Form BlocksOf(int quant_type) {
  return static_cast<Form>(static_cast<int>(Form::kBlocks) + quant_type);
}
constexpr bool IsBlocks(Form f) { return f >= Form::kBlocks; }

// A stack of equally shaped matrices [rows, cols].
struct Matrix {
  Form form = Form::kF32;
  const uint8_t* data = nullptr;
  int64_t rows = 0, cols = 0;
  int64_t stride = 0;  // bytes from one matrix to the next
};

// Which matrix of a stack row r of a product meets, and which row of x it is.
struct RowMap {
  const int32_t* matrix = nullptr;  // of row r: matrix[r]; else
  int64_t modulo = 0;               // r % modulo; else, when 0, matrix 0 for all
  int64_t share = 1;                // row r reads row r / share of x
};

// ---- activations

// Rows of x as the products read them: float32, or with block weights integers of one or two bytes
// per 32 values (see cpu/block_format.h).
struct Activations {
  const float* x = nullptr;  // [rows][ld]
  int64_t ld = 0;
  const int8_t* high = nullptr;   // [rows][cols]
  const int8_t* low = nullptr;    // [rows][cols] of two parts, else null: x = 256 high + low
  const float* groups = nullptr;  // [rows][cols / 32][3]: scale, scale * sum of each half
};
void QuantiseActivations(Stream& s, const float* x, int64_t ld, int64_t rows, int64_t cols,
                         int parts, int8_t* high, int8_t* low, float* groups);

// Where a product goes: out[r][n] (+ bias[n]).
struct Output {
  float* data = nullptr;
  int64_t ld = 0;
  const float* bias = nullptr;
};

// Few rows: every row is computed alone, in an order that only the shape fixes.
void MultiplyRows(Stream& s, const Matrix& w, const Activations& x, int64_t rows, const RowMap& map,
                  const Output& out);

// Many rows on the matrix unit: x rounded to bf16, sums in float32. x is [rows][cols] of bf16 with
// cols a multiple of 8; w bf16.
void MultiplyTiles(Stream& s, const Matrix& w, const uint16_t* x, int64_t rows, const Output& out);
void RoundRows(Stream& s, const float* x, int64_t ld, int64_t rows, int64_t cols, uint16_t* out);
// A matrix of any form as bf16 [rows][cols].
void RoundMatrix(Stream& s, const Matrix& w, int64_t matrix, uint16_t* out);

// ---- rows of a step
void Embed(Stream& s, const Matrix& table, const int32_t* ids, int64_t rows, float* out);
void RmsNorm(Stream& s, const float* x, const float* weight, float eps, int64_t rows, int64_t n,
             float* out);
// x += delta first.
void AddRmsNorm(Stream& s, float* x, const float* delta, const float* weight, float eps,
                int64_t rows, int64_t n, float* out);
void Add(Stream& s, float* x, const float* delta, int64_t n);
// out [rows][n] = silu(gate) * up of both [rows][2 n].
void SwiGlu(Stream& s, const float* both, int64_t rows, int64_t n, float* out);

struct RopeShape {
  int64_t rows = 0, heads = 0, head_dim = 0, offset = 0, dims = 0;
  bool adjacent = false;  // pairs 2i, 2i + 1 instead of i, i + dims / 2
};
void Rope(Stream& s, float* x, const RopeShape& shape, const float* cos, const float* sin,
          const int32_t* positions);
void GatherRows(Stream& s, const float* x, int64_t n, const int32_t* rows, int64_t count,
                float* out);

// to[r][at + i] = from[r][first + i] for i < n.
void CopyColumns(Stream& s, const float* from, int64_t from_ld, int64_t first, int64_t n,
                 int64_t rows, float* to, int64_t to_ld, int64_t at);

// ---- the cache
struct Cache {
  void* data = nullptr;
  bool bf16 = false;
  int64_t width = 0;
};
// cache[slots[t]][at + i] = src[t][from + i] for i < n.
void StoreKv(Stream& s, const float* src, int64_t ld, int64_t from, int64_t n, int64_t rows,
             const int32_t* slots, int64_t at, const Cache& cache);

// What each row of the step sees: keys 0 .. visible[r] - 1 of its sequence, whose blocks begin at
// tables + table_at[r].
struct RowIndex {
  const int32_t* visible = nullptr;
  const int32_t* table_at = nullptr;
  const int32_t* tables = nullptr;
  int32_t block_tokens = 1;
  int32_t most = 0;  // at least every visible[r]; sizes the launch
};

// Attention of n_kv groups of `group` query heads. Kv head h is at columns h * k_dim and h * v_dim
// of the caches (MLA: one kv head, values the first v_dim columns of its keys).
struct AttentionShape {
  int64_t rows = 0, n_kv = 1, group = 1, k_dim = 0, v_dim = 0;
  float scale = 0;
};
// What splitting the keys of rows into parts needs. A row's split follows from what it sees.
struct AttentionMemory {
  int64_t floats = 0, counts = 0;
};
struct AttentionScratch {
  float* parts = nullptr;
  int* counts = nullptr;  // zero, and left so
};
AttentionMemory AttentionSpace(const AttentionShape& shape, const Cache& k, const Cache& v,
                               int64_t most_visible);
void AttendRows(Stream& s, const AttentionShape& shape, const float* q, const Cache& k,
                const Cache& v, const RowIndex& index, const AttentionScratch& scratch, float* out);

// Rows of prompts, rounded to bf16. Keys and values are bf16; columns of key head h of row r begin
// at data[r * ld + h * head]. A key is the columns of `first`, then of `second`.
struct KeyColumns {
  const uint16_t* data = nullptr;
  int64_t ld = 0, head = 0;
  int columns = 0;
};
struct PromptKeys {
  KeyColumns first, second, values;
  bool paged = false;  // rows are slots of the cache, else a chunk's keys follow one another
};
struct PromptShape {
  int heads = 0, group = 1;  // query heads, of which `group` share a key head
  int row_heads = 0;         // from one row of q and out to the next
  int k_dim = 0, v_dim = 0;
  float scale = 0;
};
struct PromptChunk {
  int32_t first_row = 0, n_rows = 0;
  int32_t first_key = 0;  // row of its sequence's position 0, where rows are positions
};
bool PromptsFit(int64_t k_dim, int64_t v_dim);
void AttendPrompts(Stream& s, const PromptShape& shape, const float* q, const PromptKeys& keys,
                   const RowIndex& index, std::span<const PromptChunk> chunks, float* out);
// out [n][columns] = columns `from` .. of positions 0 .. n - 1 of a row's sequence, as bf16;
// `from`, `columns` and the cache's width are multiples of 8.
void GatherCache(Stream& s, const Cache& cache, const RowIndex& index, int64_t row, int64_t n,
                 int64_t from, int64_t columns, uint16_t* out);

// ---- mixture of experts
struct RouterShape {
  int64_t rows = 0, experts = 0;
  int top_k = 1, n_groups = 1, top_groups = 1;
  bool sigmoid = false;
  int group_score = 0;  // 0 none, 1 the best, 2 the best two
  bool normalise = false;
  float scale = 1;
};
void Route(Stream& s, const RouterShape& shape, const float* logits, const float* bias,
           int32_t* experts, float* weights);
// out[t] += sum over k < top_k of weights[t][k] * parts[t * top_k + k], in that order.
void CombineExperts(Stream& s, const float* parts, const float* weights, int64_t rows, int top_k,
                    int64_t n, float* out);

}  // namespace hadal::CUDA_NAMESPACE
