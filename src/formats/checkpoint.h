// Owns: the tensors of one checkpoint on disk, safetensors or GGUF, under the names of the hub's
// checkpoints: opening its files, finding a tensor by name, and the reference decode of rows to
// float32.
// Must not know families: which tensors a model needs is said to a Binder (binder.h).
// Use: HADAL_TRY(auto checkpoint, Checkpoint::Open("/models/R1-Distill-Qwen-7B"));
// Entries and their bytes live as long as the Checkpoint.
// Thread rule: immutable after Open; any thread may read it.
#pragma once

#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "core/dtype.h"
#include "core/tensor.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "quant/quant_type.h"

namespace hadal {

struct ModelConfig;

// Rows x columns of an FP8 matrix that share one scale (quantization_config.weight_block_size).
struct ScaleBlock {
  int64_t rows = 128;
  int64_t cols = 128;
  bool operator==(const ScaleBlock&) const = default;
};

// Where row r of a tensor is stored. GGUF keeps the q and k rows of llama models in adjacent rope
// pairs; rows are handed out in the hub's half-split order:
//   row h * head_dim + p * head_dim / 2 + i  is stored at  h * head_dim + 2 * i + p.
struct RowOrder {
  int64_t head_dim = 0;  // 0: rows are stored in order
};

struct TensorEntry;

// quantization_config of AWQ and GPTQ checkpoints.
enum class Int4Kind { kAwq, kGptq };
struct Int4Config {
  Int4Kind kind = Int4Kind::kAwq;
  int64_t group_size = 128;  // columns that share a scale and a zero; a multiple of 32
  int zero_offset = 0;       // 1: GPTQ's first format stores zero - 1
  bool operator==(const Int4Config&) const = default;
};

// A matrix of AWQ or GPTQ, 4 bit, as the hub stores it; the entry's own shape is [out, in].
struct Int4Groups {
  Int4Kind kind = Int4Kind::kAwq;
  const TensorEntry* qweight = nullptr;  // I32: AWQ [in, out / 8], GPTQ [in / 8, out]
  const TensorEntry* qzeros = nullptr;   // I32 [in / group, out / 8]
  const TensorEntry* scales = nullptr;   // F16 or BF16 [in / group, out]
  const TensorEntry* g_idx = nullptr;    // GPTQ with act-order: I32 [in]; nullptr when in order
  int64_t group = 128;
  int zero_offset = 0;  // 1: GPTQ's first format stores zero - 1
};

struct TensorEntry {
  std::string name;
  // Set: `bytes` are rows of blocks and dtype and stored have no meaning.
  std::optional<QuantType> quant;
  RowOrder row_order;
  // Set: bytes are empty; quant is kU4Z, or empty where its blocks could not hold the values
  // exactly (act-order, bf16 scales).
  const Int4Groups* int4 = nullptr;
  // Meaningful when readable(); a Binder hands out only readable entries.
  DType dtype = DType::kF32;
  const StoredDType* stored = nullptr;
  Shape shape;
  std::span<const std::byte> bytes;             // row-major, little-endian, may be unaligned
  const std::filesystem::path* file = nullptr;  // that holds it; lives as long as the Checkpoint
  const MappedFile* mapping = nullptr;          // the bytes are its; nullptr: they are in memory
  // For F8_E4M3 only: `<name>_scale_inv`, [ceil(rows / block.rows), ceil(cols / block.cols)] F32,
  // nullptr when the checkpoint has none. A weight is its e4m3 value TIMES the scale of its block.
  const TensorEntry* scale_inv = nullptr;
  ScaleBlock block;

  bool readable() const {
    return quant || int4 || (stored != nullptr && stored->weight.has_value());
  }
  // The tensor as a matrix: columns are the last dimension, rows all others; a vector is one row.
  int64_t cols() const { return shape.rank() == 0 ? 1 : shape[shape.rank() - 1]; }
  int64_t rows() const;
  uint64_t stored_bytes() const;       // in its file, scales of int4 groups included
  std::string_view type_name() const;  // as its file spells it: "BF16", "q4_k", "4-bit groups"
};

struct CheckpointOptions {
  ScaleBlock block;                // from ModelConfig::quantization
  std::optional<Int4Config> int4;  // from ModelConfig::int4
  SafetensorsLimits limits;
  size_t max_shards = 1000;
  size_t max_tensors = 1'000'000;       // over all shards
  size_t max_index_bytes = 128u << 20;  // model.safetensors.index.json
};

class Checkpoint {
 public:
  // A GGUF file, any part of a split one; or a directory with model.safetensors or
  // model.safetensors.index.json (when both exist the single file is taken, as transformers does),
  // or one .safetensors file. kNotFound, kIo, kBadFile; kUnsupportedModel for pickle files (.bin,
  // .pt, .pth, .pkl, .ckpt), which are never read.
  static Result<std::unique_ptr<Checkpoint>> Open(const std::filesystem::path& path,
                                                  const CheckpointOptions& options = {});

  // Entries without bytes, for planning what a checkpoint of these shapes becomes; never decoded.
  static Result<std::unique_ptr<Checkpoint>> OfShapes(std::vector<TensorEntry> entries);

  // `config` is ModelConfigOfGguf's of this file.
  static Result<std::unique_ptr<Checkpoint>> OfGguf(std::unique_ptr<GgufFile> file,
                                                    const ModelConfig& config);

  const TensorEntry* Find(std::string_view name) const;              // nullptr when absent
  std::span<const TensorEntry> entries() const { return entries_; }  // sorted by name
  std::vector<std::string_view> names() const;
  uint64_t total_bytes() const;  // of tensor data
  // A shard shrank or was written to while mapped: bytes read since may be zeros or anything, and
  // what was computed from them must be thrown away.
  bool damaged() const;
  const std::filesystem::path& path() const { return path_; }
  const ScaleBlock& block() const { return block_; }
  const GgufFile* gguf() const { return gguf_.get(); }  // nullptr when it is not one

 private:
  Checkpoint() = default;
  Status OpenSingle(const std::filesystem::path& file, const CheckpointOptions& options);
  Status OpenIndexed(const std::filesystem::path& index, const CheckpointOptions& options);
  Status AddShard(const std::filesystem::path& file, const CheckpointOptions& options);
  Status FinishEntries();
  Status JoinInt4(const Int4Config& config);

  std::filesystem::path path_;
  ScaleBlock block_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::unique_ptr<GgufFile> gguf_;
  std::deque<TensorEntry> int4_parts_;  // qweight, qzeros, scales, g_idx; not in entries_
  std::deque<Int4Groups> int4_groups_;
  std::vector<TensorEntry> entries_;  // sorted by name; not resized after Open
};

// True for what DecodeRows reads: F32, F16, BF16, F8_E4M3 with its scale, blocks, int4 groups.
bool IsDecodable(const TensorEntry& entry);

// THE reference decode: rows [row0, row0 + n_rows) to float32, row-major [n_rows, cols()].
// The entry must come from a Binder (or be IsDecodable with a scale of the right shape), and the
// rows must lie inside it. NaN and infinity come out as such: whoever needs finite weights looks at
// `out`, where a finite FP8 value times its scale may have overflowed too.
void DecodeRows(const TensorEntry& entry, int64_t row0, int64_t n_rows, float* out);

// Whether rows are stored one after another in a mapping; and where some of them are then.
bool RowsFollow(const TensorEntry& entry);
std::span<const std::byte> BytesOfRows(const TensorEntry& entry, int64_t row0, int64_t n_rows);
// Whether such rows can be decoded without anything else, as a tensor of their own with `bytes`.
bool RowsStandAlone(const TensorEntry& entry);
TensorEntry RowsOf(const TensorEntry& entry, int64_t n_rows, std::span<const std::byte> bytes);
// What else has to be there: every tensor that decoding this one looks at, itself included.
std::vector<const TensorEntry*> PartsOf(const TensorEntry& entry);

// Whether rows of an F8_E4M3 matrix can be had as they are, with scales for tiles of kFp8TileRows x
// kFp8TileCols values.
bool IsFp8InTiles(const TensorEntry& entry);
// Codes [n_rows][cols()] and scales [ceil(n_rows / kFp8TileRows)][ceil(cols() / kFp8TileCols)];
// row0 is a multiple of kFp8TileRows.
void ReadFp8Rows(const TensorEntry& entry, int64_t row0, int64_t n_rows, uint8_t* codes,
                 float* scales);

// Bytes of a row as ReadStoredRows gives it.
int64_t StoredRowBytes(const TensorEntry& entry);
// Rows as they are stored, in the hub's order: of an entry with `quant` blocks of that type,
// otherwise elements of its dtype (no int4 groups).
void ReadStoredRows(const TensorEntry& entry, int64_t row0, int64_t n_rows, std::byte* out);

}  // namespace hadal
