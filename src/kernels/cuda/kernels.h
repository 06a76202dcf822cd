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

namespace hadal {
struct RowSummary;
}

namespace hadal::CUDA_NAMESPACE {

struct Stream;

// ---- weights

// How a matrix is stored: rows one after another; kFp8: in tiles of fp8_tiles.h; blocks: kBlocks +
// QuantType, in the planes of block_planes.h.
enum class Form : int { kF32, kBf16, kF16, kFp8, kBlocks };
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

// Rows of a product sorted by their matrix, on the card: group i holds rows rows[first[i]] ..
// rows[first[i + 1]] - 1, which meet matrix[i]. Groups beyond those that have rows are empty.
struct RowOrder {
  const int32_t* rows = nullptr;
  const int32_t* matrix = nullptr;
  const int32_t* first = nullptr;
  int64_t groups = 0;  // at most so many have rows
};

// Which matrix of a stack row r of a product meets, and which row of x it is.
struct RowMap {
  const int32_t* matrix = nullptr;  // of row r: matrix[r]; else
  int64_t modulo = 0;               // r % modulo; else, when 0, matrix 0 for all
  int64_t share = 1;                // row r reads row r / share of x
  RowOrder order = {};              // with `matrix`, optional: the same rows sorted
  // The map was there before the last product with it, and all products with a map wait for it
  // before they let the next kernel begin: it may be read at once.
  bool early = false;
};

// ---- activations

// Values of k that the products with block weights take at once.
constexpr int64_t ActivationTiles(int64_t cols) { return (cols + 127) / 128; }

// Rows of x as the products read them: float32, or with block weights and several rows integers of
// one or two bytes per 32 values (see cpu/block_format.h), in tiles of 128 values (padded with
// zeros) of four groups.
struct Activations {
  const float* x = nullptr;  // [rows][ld]
  int64_t ld = 0;
  // [rows][tiles][4][group][8]: of lane i of four the quads i and i + 4 of every group.
  int8_t* high = nullptr;
  int8_t* low = nullptr;  // of two parts, else null: x = 256 high + low
  // In bf16 parts: what SplitRows makes, [rows / 8][cols / 32][part][32] 16 bytes, or SplitBatch.
  const void* split = nullptr;
  // [rows][tiles][4][group]: scale; scale * sum of both halves, of the first, of the second.
  float* groups = nullptr;
};
// Rows of float32 [rows][ld]: their first values, or, gated, silu of those times as many after
// them.
struct ActivationSource {
  const float* x = nullptr;
  int64_t ld = 0;
  bool gated = false;
};
// As integers of one byte, of two, or both: those whose `high` is not null.
void QuantiseActivations(Stream& s, const ActivationSource& from, int64_t rows, int64_t cols,
                         const Activations& one, const Activations& two);

// Where a product goes: out[r][n] (+ bias[n]).
struct Output {
  float* data = nullptr;
  int64_t ld = 0;
  const float* bias = nullptr;
  uint16_t* rounded = nullptr;  // instead of data, as bf16: of MultiplyTiles, MultiplyRowTiles
  bool gated = false;  // rounded, of MultiplyRowTiles: silu of i times i + n / 2, n / 2 columns

  // From a column on.
  Output At(int64_t column) const {
    return {data == nullptr ? nullptr : data + column, ld,
            bias == nullptr ? nullptr : bias + column,
            rounded == nullptr ? nullptr : rounded + column, gated};
  }
};

// Few rows: every row is computed alone, in an order that only the shape fixes. Several products of
// one x with matrices of one form and as many columns are one launch.
struct RowProduct {
  Matrix w;
  Output out;
  // Where TakesOwnRows: the only row of x, where it is not one of the launch's; it meets matrix 0,
  // whatever the map. Then columns may differ among the products. It is float32 where the launch's
  // rows are, which meet a matrix each.
  Activations own_row = {};
  int warps = 0;  // that share k; the launch sets it

  constexpr bool HasOwnRow() const { return own_row.x != nullptr || own_row.high != nullptr; }
};
constexpr int kMostProducts = 4;
struct RowProducts {
  int count = 0;
  bool gated = false;  // one product: out[r][i] = silu of i times i + w.rows / 2; see CanGate
  RowProduct of[kMostProducts];
};
// What products of many rows need for sums of parts of k.
struct ProductMemory {
  int64_t floats = 0, counts = 0;
};
struct ProductScratch {
  float* sums = nullptr;
  int* counts = nullptr;  // zero, and left so
};
void MultiplyRows(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                  const RowMap& map);
bool CanGate(const Matrix& w, int64_t x_ld, const RowMap& map, int64_t rows);
bool TakesOwnRows(const Matrix& w);
// More than eight rows of x in bf16 parts, once for all blocks of threads, where the matrix takes
// them (and the map is plain): so many bytes at `out`, for Activations::split.
bool TakesSplitRows(const Matrix& w, int64_t rows);
int64_t SplitRowBytes(const Matrix& w, int64_t rows);
void SplitRows(Stream& s, const float* x, int64_t ld, const Matrix& w, int64_t rows, void* out);
// The same with the same bits on cards with warpgroups, where x crosses the card less often:
// SplitBatch instead of SplitRows, MultiplyBatches instead of MultiplyRows.
bool TakesBatches(const Stream& s, const Matrix& w, int64_t rows);
int64_t SplitBatchBytes(const Matrix& w, int64_t rows);
void SplitBatch(Stream& s, const float* x, int64_t ld, const Matrix& w, int64_t rows, void* out);
ProductMemory BatchSpace(const Stream& s, const RowProducts& products, int64_t rows);
void MultiplyBatches(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                     const ProductScratch& scratch);
// One product of weights in any form but blocks, by float32 FMAs; any number of rows.
void MultiplyFma(Stream& s, const RowProduct& product, const Activations& x, int64_t rows,
                 const RowMap& map);
// With weights in blocks. x may be float32, which the product makes integers itself, where no two
// rows meet one matrix and that is sooner than a launch; then forms may differ among the products
// that are not gated.
bool TakesFloats(const Matrix& w, const RowMap& map, int64_t rows);
// More rows than that with a plain map need memory of BlockSpace; it is empty for all others.
constexpr int64_t kFewRows = 16;
ProductMemory BlockSpace(const Stream& s, const RowProducts& products, int64_t rows,
                         const RowMap& map);
void MultiplyBlocks(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                    const RowMap& map, const ProductScratch& scratch = {});
// The part of it that has a kernel of its own: false where it does not take that.
bool MultiplyManyBlocks(Stream& s, const RowProducts& products, const Activations& x, int64_t rows,
                        const RowMap& map, const ProductScratch& scratch);

// Many rows on the matrix unit: x rounded to bf16, sums in float32. x is [rows][cols] of bf16 with
// cols a multiple of 8; w bf16.
void MultiplyTiles(Stream& s, const Matrix& w, const uint16_t* x, int64_t rows, const Output& out);
// The same with a matrix of the stack for every tile of rows. Tile i is rows first[i] .. end[i] -
// 1, at most RowsOfTiles of them, in an order in which row r is row x_rows[r] / share of x and
// out_rows[r] of the output (null: r itself). Tiles whose matrix is not one of first_matrix .. are
// empty; w begins with that one. HasWarpgroups: w may be in blocks and the output gated.
bool HasWarpgroups(const Stream& s);
int64_t RowsOfTiles(Stream& s);
struct RowTiles {
  const int32_t *matrix = nullptr, *first = nullptr, *end = nullptr;
  int64_t count = 0;
  int64_t first_matrix = 0, matrices = 0;
  const int32_t* x_rows = nullptr;
  int64_t share = 1;
  int64_t rows = 0;  // of all tiles together, of x where x_rows is null
  const int32_t* out_rows = nullptr;
};
void MultiplyRowTiles(Stream& s, const Matrix& w, const uint16_t* x, const RowTiles& tiles,
                      const Output& out);
// n values as bf16; a multiple of 8.
void RoundValues(Stream& s, const float* x, int64_t n, uint16_t* out);
// Matrices `first` .. of a stack of any form as bf16 [count][rows][cols].
void RoundMatrices(Stream& s, const Matrix& w, int64_t first, int64_t count, uint16_t* out);

// ---- rows of a step
// The same rows in the forms that products take, where they are not null: bf16, integers of one
// byte and of two (of whole tiles of columns).
struct RowCopies {
  uint16_t* rounded = nullptr;
  Activations one = {}, two = {};
};
void Embed(Stream& s, const Matrix& table, const int32_t* ids, int64_t rows, float* out);
void RmsNorm(Stream& s, const float* x, const float* weight, float eps, int64_t rows, int64_t n,
             float* out, const RowCopies& copies);
bool NormsCopyIntegers(int64_t n);  // of rows of n
// Of rows t, sum over k < top_k of weights[t][k] * parts[t * top_k + k], in that order.
struct ExpertSum {
  const float* parts = nullptr;
  const float* weights = nullptr;
  int top_k = 0;
};
// x += delta + experts first.
void AddRmsNorm(Stream& s, float* x, const float* delta, const ExpertSum& experts,
                const float* weight, float eps, int64_t rows, int64_t n, float* out,
                const RowCopies& copies);
void Add(Stream& s, float* x, const float* delta, int64_t n);
// out [rows][n] = silu(gate) * up of both [rows][2 n].
void SwiGlu(Stream& s, const float* both, int64_t rows, int64_t n, float* out);
// The same from bf16 to bf16; n is a multiple of 8.
void SwiGluRounded(Stream& s, const uint16_t* both, int64_t rows, int64_t n, uint16_t* out);

struct RopeShape {
  int64_t rows = 0, heads = 0, head_dim = 0, offset = 0, dims = 0;
  bool adjacent = false;  // pairs 2i, 2i + 1 instead of i, i + dims / 2
};
void Rope(Stream& s, float* x, const RopeShape& shape, const float* cos, const float* sin,
          const int32_t* positions);
void GatherRows(Stream& s, const float* x, int64_t n, const int32_t* rows, int64_t count,
                float* out);

// ---- the cache
// A row of `row_bytes` for every slot; see core/kv_row.h.
enum class CacheForm : int { kF32, kBf16, kFp8 };
struct Cache {
  void* data = nullptr;
  CacheForm form = CacheForm::kF32;
  int64_t width = 0;
  int64_t row_bytes = 0;
  // kFp8: codes, then scales, one for each group of codes, then values that are kept as bf16.
  int codes = 0, group = 1, scales_at = 0, kept_at = 0;
};
// cache[slots[t]][at + i] = src[t][from + i] for i < n; whole groups, or kept values.
void StoreKv(Stream& s, const float* src, int64_t ld, int64_t from, int64_t n, int64_t rows,
             const int32_t* slots, int64_t at, const Cache& cache);

// Some heads of every row: normed where norm is set, rotated (rope.offset, dims, adjacent) where
// there are dims, then written back or, where there is a cache, stored there from column `at` on.
struct HeadPart {
  float* x = nullptr;  // [rows][heads][head_dim]
  int64_t heads = 0, head_dim = 0;
  const float* norm = nullptr;  // [head_dim]
  float eps = 0;
  RopeShape rope;
  const float *cos = nullptr, *sin = nullptr;
  Cache cache;
  int64_t at = 0;
};
struct HeadParts {
  static constexpr int kMost = 3;
  HeadPart part[kMost];
  int n = 0;
};
void PrepareHeads(Stream& s, const HeadParts& parts, int64_t rows, const int32_t* positions,
                  const int32_t* slots);

// What a row of the step sees: keys 0 .. visible - 1 of its sequence, of which earlier steps wrote
// the first `stored`. The sequence's blocks begin at tables + table_at.
struct alignas(16) RowKeys {
  int32_t visible = 0, stored = 0, table_at = 0;
};
// Of all rows. It is on the card before the first kernel of the step begins, so kernels read it,
// and the keys that are stored, before they call WaitForInputs.
struct RowIndex {
  const RowKeys* rows = nullptr;
  const int32_t* tables = nullptr;
  int32_t block_tokens = 1;
  int32_t most = 0;  // at least every `visible`; sizes the launch
};

// Queries of all heads of rows: the first `columns` columns of query i at data[i * ld], the others
// at rest[i * rest_ld].
struct Queries {
  const float* data = nullptr;
  int64_t ld = 0, columns = 0;
  const float* rest = nullptr;
  int64_t rest_ld = 0;
};

// Attention of n_kv groups of `group` query heads. Kv head h is at columns h * k_dim and h * v_dim
// of the caches (MLA: one kv head, values the first v_dim columns of its keys).
struct AttentionShape {
  int64_t rows = 0, n_kv = 1, group = 1, k_dim = 0, v_dim = 0;
  float scale = 0;
  bool rounded = false;  // queries and probabilities may be rounded to bf16
};
// What splitting the keys of rows into parts needs. A row's split follows from what it sees; many
// rows take several launches.
struct AttentionMemory {
  int64_t floats = 0, counts = 0;
};
struct AttentionScratch {
  float* parts = nullptr;
  int* counts = nullptr;  // zero, and left so
};
AttentionMemory AttentionSpace(const AttentionShape& shape, const Cache& k, const Cache& v,
                               int64_t most_visible);
void AttendRows(Stream& s, const AttentionShape& shape, const Queries& q, const Cache& k,
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
// Value `from` and those after it of an output as bf16 too, where data is not null.
struct RoundedCopy {
  uint16_t* data = nullptr;
  int64_t from = 0;
};
bool PromptsFit(int64_t k_dim, int64_t v_dim);
void AttendPrompts(Stream& s, const PromptShape& shape, const float* q, const PromptKeys& keys,
                   const RowIndex& index, std::span<const PromptChunk> chunks, float* out,
                   const RoundedCopy& rounded);
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
struct Routes {
  const float* bias;  // [experts], or null
  int32_t* experts;   // [rows][top_k]
  float* weights;     // [rows][top_k]
};
void Route(Stream& s, const RouterShape& shape, const float* logits, const Routes& to);
// The same of the product of rows with float32 weights, where CanRoute. counts: RouterCounts(rows)
// zeros, and left so.
bool CanRoute(const Matrix& w, int64_t rows);
int64_t RouterCounts(int64_t rows);
void ScoreAndRoute(Stream& s, const RowProduct& router, const Activations& x,
                   const RouterShape& shape, const Routes& to, int* counts);
// Rows 0 .. rows - 1, of which row r meets matrix experts[r], sorted: a RowOrder and RowTiles. The
// sizes of the arrays follow from the counts: an expert without rows has no group, one with rows at
// most one tile that is not full.
struct OrderSpace {
  int64_t tile_rows;
  int32_t *rows, *matrix, *first;                // [rows], [groups], [groups + 1]
  int32_t *tile_matrix, *tile_first, *tile_end;  // [tiles]
  int64_t groups, tiles;
};
constexpr int64_t OrderGroups(int64_t rows, int64_t experts) {
  return rows < experts ? rows : experts;
}
constexpr int64_t OrderTiles(int64_t rows, int64_t experts, int64_t tile_rows) {
  return rows / tile_rows + OrderGroups(rows, experts);
}
void OrderExperts(Stream& s, const int32_t* experts, int64_t rows, int64_t n_experts,
                  const OrderSpace& to);
// out += experts.
void CombineExperts(Stream& s, const ExpertSum& experts, int64_t rows, int64_t n, float* out);

// ---- logits
// Bytes that Summarise needs; rows [rows][vocab], a temperature for each.
int64_t SummarySpace(int64_t rows, int64_t vocab);
void Summarise(Stream& s, const float* logits, int64_t rows, int64_t vocab,
               const float* temperatures, void* space, RowSummary* out);

// ---- measuring
// Reads memory once; sums has ReadSums values.
int64_t ReadSums(int processors);
void ReadMemory(Stream& s, const void* from, int64_t bytes, int processors, uint32_t* sums);

}  // namespace hadal::CUDA_NAMESPACE
