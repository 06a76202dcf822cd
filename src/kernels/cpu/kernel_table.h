// Owns: the contract between the CPU backend and its per-ISA kernels: plain structs, the packed
// weight layouts, and a table of function pointers that each ISA fills over the lower one's.
// Knows nothing of tensors, threads or models. ISA files include only intrinsics, <cstdint> and
// this; they keep everything but their Fill function in an anonymous namespace, so that no weak
// symbol compiled for a newer CPU can be linked into the rest of the program.
// Thread rule: every kernel is a pure function of its arguments; any thread may call it.
//
// Row independence: an output element is one chain of operations whose order depends on K (or on
// the key positions) alone, so a kernel may tile rows and columns as it likes.
#pragma once

#include <cstdint>

#include "kernels/cpu/block_format.h"

// Before the loops over a kernel's block of registers: left to itself the compiler may keep a block
// of 6 by 4 accumulators in memory. Sanitized, the unrolled loops take minutes to compile.
#if defined(HADAL_SANITIZED)
#define HADAL_UNROLL
#elif defined(__clang__)
#define HADAL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HADAL_UNROLL _Pragma("GCC unroll 16")
#endif

namespace hadal::cpu {

// Weights [n, k] are stored in panels of 16 output columns, zero-padded to whole panels.
//   f32:  [panel][k][16] float
//   bf16: [panel][k32 / 2][16][2] bf16, k32 = k rounded up to 32 (pairs of k side by side: one AMX
//         tile row, and two FMA operands after a shift and a mask)
//   f16:  [panel][k][16] f16
//   int8: [panel][k128 / 128] Int8Block, symmetric, one scale per column and 128 values of k
//   blocks: what came in blocks of 2 to 8 bits, see block_format.h
constexpr int kPanel = 16;
constexpr int kBf16KStep = 32;
constexpr int kInt8KStep = 128;

struct Int8Block {
  float scale[kPanel];
  int32_t minus_128_sum[kPanel];  // -128 * sum of the column's values: for unsigned activations
  int8_t w[kInt8KStep / 4][kPanel][4];
};
static_assert(sizeof(Int8Block) == 2176);

static inline int64_t RoundUp(int64_t v, int64_t step) { return (v + step - 1) / step * step; }
static inline int64_t PanelBytesF32(int64_t k) { return k * kPanel * 4; }
static inline int64_t PanelBytesBf16(int64_t k) { return RoundUp(k, kBf16KStep) * kPanel * 2; }
static inline int64_t PanelBytesF16(int64_t k) { return k * kPanel * 2; }
static inline int64_t PromptBlockElements(int64_t k) { return RoundUp(k, kBf16KStep) * 32; }
static inline int64_t PanelBytesInt8(int64_t k) {
  return RoundUp(k, kInt8KStep) / kInt8KStep * static_cast<int64_t>(sizeof(Int8Block));
}

// out[r][c] = sum_k x[r][k] * w[c][k] + bias[c], r in [0, m), c in panels [panel0, panel1) and < n.
struct MatMulTile {
  const void* x;         // [m][ldx]: float, or the output of split_bf16, quantise, quantise_groups
  int64_t ldx;           // elements
  const float* x_scale;  // int8: [m][ld_scale], one per 128 values of k
  int64_t ld_scale;
  const void* w;      // panels of the matrix, from panel 0
  int block_format;   // blocks: place in kBlockFormats
  const float* bias;  // [n] or null
  float* out;         // [m][ldo]
  int64_t ldo;
  int64_t m, n, k;
  int64_t panel0, panel1;
};

// Rows of prompts by a matrix, on a unit that multiplies pairs of bf16: activations and weights are
// rounded to bf16, sums are float in the order of k. Rows come in blocks of 32, the last one padded
// with zeros, as tile operands: [row block][k32 / 32][2][16][32] bf16.
constexpr int64_t kPromptRows = 32;
struct PromptTile {
  const uint16_t* x;
  const void* w;      // panels of the matrix, from panel 0
  int block_format;   // blocks: place in kBlockFormats
  const float* bias;  // [n] or null
  float* out;         // [m][ldo]
  int64_t ldo;
  int64_t m, n, k;
  int64_t panel0, panel1;
  // Gated: w holds n / 2 gate columns, then as many of up; panels count those of the gate. Instead
  // of out, silu(gate) * up goes to the row blocks of the next product, [.., n / 2]. n is a
  // multiple of 64, there is no bias.
  uint16_t* gated;
  void* space;  // kPromptSpace bytes of this thread's, 64-byte aligned
};
constexpr int64_t kPromptPanels =
    16;                               // panels multiplied together; of a gated product half as many
constexpr int64_t kPromptKeep = 512;  // rows whose sums are kept at a time
constexpr int64_t kPromptDepth = 256;  // values of k unpacked at a time
constexpr int64_t kPromptSpace = kPromptPanels * kPanel * (kPromptDepth * 2 + kPromptKeep * 4);

// Keys are processed in tiles of 64 aligned at absolute positions.
constexpr int kKeyTile = 64;

// One tile of keys against n_q query vectors with running softmax state (m, l, o). Rows of keys and
// values are read where they lie. A score is one chain over the dimensions in order.
struct AttentionTile {
  const float* q;            // [n_q / 16][k_dim][16], multiplied by the softmax scale
  const float* const* keys;  // [64] rows of k_dim; those that nothing sees repeat one that is seen
  const float* const* values;  // [64] rows of v_dim
  const int32_t* seen;         // [n_q] leading keys of the tile that a vector sees, 0..64
  float* scores;               // [n_q rounded up to 16][64] scratch
  float* m;                    // [n_q] running maximum, -inf at first
  float* l;                    // [n_q] running sum
  float* o;                    // [n_q][v_stride] running weighted sum of values
  int64_t n_q, k_dim, v_dim;
  int64_t v_stride;  // v_dim rounded up to 16
};

// Keys of a segment in a bf16 cache against n_q query vectors, from scratch, on a unit that
// multiplies pairs of bf16: queries and probabilities come in two parts, as exact as floats but for
// 2^-17. k_dim and v_dim are multiples of 32.
constexpr int64_t kSegmentKeys = 512;  // at most
struct CachedSegment {
  const uint16_t* q;          // from split_queries
  const void* const* keys;    // [n_keys] rows of k_dim bf16
  const void* const* values;  // [n_keys] rows of v_dim bf16
  const int32_t* seen;        // [n_q] leading keys that a vector sees, 0..n_keys
  void* space;                // CachedSegmentSpace bytes, 64-byte aligned
  float* m;                   // [n_q] maximum
  float* l;                   // [n_q] sum
  float* o;                   // [n_q][v_stride] weighted sum of values
  int64_t n_keys, n_q, k_dim, v_dim;
  int64_t v_stride;
};
static constexpr int64_t CachedSegmentSpace(int64_t k_dim, int64_t v_dim) {
  return 32 * 1024 + v_dim * kPanel * 4 + kKeyTile * k_dim * 2;
}

// Attention of prompt rows on the same unit. Probabilities and values are rounded to bf16; a
// score's error is multiplied by exp, so queries and keys come in two parts, a bf16 and that of
// what it leaves, of whose products all but the last are added. Keys are processed in tiles of 128
// aligned at absolute positions, queries in row blocks.
constexpr int64_t kPromptKeys = 128;
struct PromptAttentionTile {
  const uint16_t* q;       // row blocks, from pack_prompt_queries
  const uint16_t* keys;    // from pack_prompt_keys
  const uint16_t* values;  // from pack_prompt_values
  const int32_t* seen;     // [n_q] leading keys of the tile that a vector sees, 0..128
  void* space;             // kPromptAttentionSpace bytes, 64-byte aligned
  float* m;                // [n_q] running maximum, -inf at first
  float* l;                // [n_q] running sum
  float* o;                // [n_q rounded up to 32][v_stride] running weighted sum of values
  int64_t n_q, k_dim;
  int64_t v_stride;  // value dimensions rounded up to 16
};
constexpr int64_t kPromptAttentionSpace = kPromptRows * kPromptKeys * (4 + 2);
static inline int64_t PromptKeyElements(int64_t k_dim) {
  return 2 * kPromptKeys * RoundUp(k_dim, kBf16KStep);
}

struct KernelTable {
  // ---- matrices. Activations are float for f32 and f16 panels; for bf16 panels the output of
  // split_bf16, or float where that is null; for int8 panels the output of quantise.
  void (*matmul_f32)(const MatMulTile& t);
  void (*matmul_bf16)(const MatMulTile& t);
  void (*matmul_f16)(const MatMulTile& t);
  void (*matmul_int8)(const MatMulTile& t);
  // out[k32 / 32][2][32], zero beyond k: per 32 values h = bf16(x) of each, then bf16(x - h). The
  // two keep x to a relative 2^-17, so that a product is nearly as exact as with float activations.
  void (*split_bf16)(const float* x, int64_t k, uint16_t* out);
  // q[k128], scales[k128 / 128]: scale = amax / 127. A block with a NaN gets a NaN scale.
  void (*quantise)(const float* x, int64_t k, int8_t* q, float* scales);
  // By the place in kBlockFormats; activations are the output, [k / 32], of quantise_groups8 or 16,
  // by the format's x_parts.
  void (*matmul_blocks[kBlockFormatCount])(const MatMulTile& t);
  void (*quantise_groups8)(const float* x, int64_t k, ActivationGroup8* out);
  void (*quantise_groups16)(const float* x, int64_t k, ActivationGroup16* out);

  // Null where there is no such unit, or where rows of this kind are as fast without. The panels of
  // each kind of weights; to_prompt_rows writes the activations of one row block, at most 32 rows.
  void (*prompt_bf16)(const PromptTile& t);
  void (*prompt_f16)(const PromptTile& t);
  void (*prompt_blocks[kBlockFormatCount])(const PromptTile& t);
  void (*to_prompt_rows)(const float* const* x, int64_t rows, int64_t k, uint16_t* out);

  // ---- rows
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* out);
  void (*add)(float* x, const float* delta, int64_t n);        // x += delta
  void (*axpy)(float a, const float* x, int64_t n, float* y);  // y += a * x
  void (*swiglu)(const float* gate, const float* up, int64_t n, float* out);
  // adjacent: pairs (2i, 2i + 1), else (i, i + pairs).
  void (*rope)(float* x, const float* cos, const float* sin, int64_t pairs, bool adjacent);
  void (*to_bf16)(const float* x, int64_t n, uint16_t* out);
  void (*from_bf16)(const uint16_t* x, int64_t n, float* out);
  void (*from_f16)(const uint16_t* x, int64_t n, float* out);

  // ---- attention
  void (*attention_tile)(const AttentionTile& t);
  // Of prompts; null where there is no unit for them. Queries: at most 32 rows times the softmax
  // scale, [k_dim32 / 32][part][2][16][32] bf16, zero beyond.
  void (*pack_prompt_queries)(const float* const* x, int64_t rows, int64_t k_dim, float scale,
                              uint16_t* out);
  // Dimensions [at, at + dim) of the keys, both multiples of 2 and `at` one of 32:
  // [key / 16][k_dim32 / 32][part][16][key % 16][2], zero beyond the last dimensions and, up to a
  // multiple of 32, keys.
  void (*pack_prompt_keys)(const void* const* rows, bool bf16, int n_keys, int64_t at, int64_t dim,
                           int64_t k_dim, uint16_t* keys);
  // [v_stride / 16][key / 2][16][2] bf16, zero beyond.
  void (*pack_prompt_values)(const void* const* rows, bool bf16, int n_keys, int64_t dim,
                             int64_t stride, uint16_t* values);
  void (*prompt_attention)(const PromptAttentionTile& t);
  // Null where floats are as fast, as they are with fewer query vectors of a row to a key head than
  // cached_least. Queries: [vector][k_dim / 32][part][32] bf16; where split_queries is null, by 16
  // vectors as pack_prompt_keys makes them of keys.
  void (*cached_attention)(const CachedSegment& t);
  void (*split_queries)(const float* const* x, int64_t rows, int64_t k_dim, uint16_t* out);
  int cached_least;
};

// Each fills what it does better over a table filled by the one before.
void FillRef(KernelTable* table);
void FillAvx2(KernelTable* table);
void FillAvx512(KernelTable* table);
void FillAvx512Bf16(KernelTable* table);  // of CPUs that have this extension of the level
void FillAmx(KernelTable* table);
void FillAmxEmulated(KernelTable* table);  // the same bits on AVX-512

}  // namespace hadal::cpu
