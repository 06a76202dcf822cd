#include "models/weight_loader.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/tensor.h"
#include "formats/finite_blocks.h"

namespace hadal {
namespace {

size_t BytesOf(const TensorEntry* entry) {
  return entry == nullptr ? 0 : static_cast<size_t>(entry->stored_bytes());
}

// As stored, without blocks, groups or scales around it.
bool IsF16(const TensorEntry& entry) {
  return !entry.quant && entry.int4 == nullptr && entry.dtype == DType::kF16;
}

}  // namespace

WeightLoader::WeightLoader(const Checkpoint& checkpoint, Backend& backend, Progress progress)
    : checkpoint_(checkpoint),
      backend_(backend),
      progress_(std::move(progress)),
      binder_(checkpoint) {}

// ---- declaring. Shapes come from config.json: they are multiplied only in jobs, which run once
// every shape has been found in the file.

WeightLoader::Part WeightLoader::Whole(const std::string& name, int64_t rows, int64_t cols) {
  return {binder_.Require(name, {rows, cols}), 0, rows};
}

WeightLoader::Parts WeightLoader::Whole(const std::vector<Rows>& parts, int64_t cols) {
  Parts out;
  for (const Rows& part : parts) out.push_back(Whole(part.name, part.rows, cols));
  return out;
}

void WeightLoader::Count(int64_t elements, Share share) {
  totals_.parameters += elements;
  totals_.active_parameters += elements * share.used / share.of;
}

void WeightLoader::AddMatrix(WeightPtr* out, std::vector<Parts> stack, int64_t cols, Share share,
                             Precision precision) {
  Job job;
  for (const Parts& parts : stack) {
    for (const Part& part : parts) job.bytes += BytesOf(part.entry);
  }
  job.run = [this, out, stack = std::move(stack), cols, share, precision]() -> Status {
    std::vector<WeightSource> sources;
    for (const Parts& parts : stack) {
      sources.push_back(Source(parts, cols));
      Count(sources.back().rows * cols, share);
    }
    HADAL_TRY(*out, backend_.Prepare(sources, precision == Precision::kF32));
    Prepared(**out, share);
    return {};
  };
  jobs_.push_back(std::move(job));
}

void WeightLoader::Matrix(WeightPtr* out, const std::string& name, int64_t rows, int64_t cols,
                          Precision precision) {
  AddMatrix(out, {{Whole(name, rows, cols)}}, cols, {}, precision);
}

void WeightLoader::Fused(WeightPtr* out, const std::vector<Rows>& parts, int64_t cols) {
  AddMatrix(out, {Whole(parts, cols)}, cols, {});
}

void WeightLoader::Stack(WeightPtr* out, const std::vector<std::vector<Rows>>& stack, int64_t cols,
                         int64_t used) {
  std::vector<Parts> wholes;
  for (const auto& parts : stack) wholes.push_back(Whole(parts, cols));
  AddMatrix(out, std::move(wholes), cols, {used, static_cast<int64_t>(stack.size())});
}

void WeightLoader::Split(const std::vector<Slice>& slices, const std::string& name, int64_t cols) {
  int64_t rows = 0;
  for (const Slice& slice : slices) rows += slice.rows;
  const TensorEntry* entry = binder_.Require(name, {rows, cols});
  int64_t row0 = 0;
  for (const Slice& slice : slices) {
    AddMatrix(slice.out, {{Part{entry, row0, slice.rows}}}, cols, {});
    row0 += slice.rows;
  }
}

void WeightLoader::Vector(VectorPtr* out, const std::string& name, int64_t n) {
  const TensorEntry* entry = binder_.Require(name, {n});
  jobs_.push_back({BytesOf(entry), [this, out, entry, n]() -> Status {
                     Count(n, {});
                     std::vector<float> values(static_cast<size_t>(n));
                     DecodeRows(*entry, 0, 1, values.data());
                     CheckFinite(*entry, values);
                     HADAL_TRY(*out, backend_.Upload(values));
                     totals_.resident_bytes += (*out)->size();
                     totals_.bytes_per_token += (*out)->size();
                     return {};
                   }});
}

void WeightLoader::Embedding(WeightPtr* table, WeightPtr* head, const std::string& name,
                             int64_t rows, int64_t cols) {
  const Part part = Whole(name, rows, cols);
  const bool tied = head != nullptr;
  jobs_.push_back({BytesOf(part.entry), [this, table, part, cols, tied]() -> Status {
                     // A tied head counts the same numbers.
                     if (!tied) totals_.parameters += part.rows * cols;
                     HADAL_TRY(*table, backend_.PrepareEmbedding(Source({part}, cols)));
                     totals_.resident_bytes += (*table)->bytes();
                     return {};
                   }});
  if (tied) AddMatrix(head, {{part}}, cols, {});
}

void WeightLoader::Latent(LatentUp* out, const std::string& prefix, const LatentUpShape& shape) {
  const std::string whole = prefix + "kv_b_proj.weight", k = prefix + "k_b_proj.weight",
                    v = prefix + "v_b_proj.weight";
  if (checkpoint_.Find(whole) == nullptr && checkpoint_.Find(k) != nullptr) {
    const TensorEntry* uk = binder_.Require(k, {shape.n_heads, shape.kv_lora, shape.nope});
    const TensorEntry* uv = binder_.Require(v, {shape.n_heads, shape.v_dim, shape.kv_lora});
    jobs_.push_back({BytesOf(uk) + BytesOf(uv), [this, out, uk, uv, shape] {
                       return PrepareLatentParts(*out, *uk, *uv, shape);
                     }});
    return;
  }
  // Some GGUF files hold the same numbers in both layouts.
  for (const std::string& name : {k, v}) {
    if (checkpoint_.Find(name) != nullptr) Ignore(name);
  }
  const int64_t rows = shape.n_heads * (shape.nope + shape.v_dim);
  const TensorEntry* entry = binder_.Require(whole, {rows, shape.kv_lora});
  jobs_.push_back(
      {BytesOf(entry), [this, out, entry, shape] { return PrepareLatent(*out, *entry, shape); }});
}

// ---- preparing

Result<WeightTotals> WeightLoader::Load() {
  HADAL_OK(binder_.Finish());
  // Memory holds the prepared weights and this much of the files, not all of both.
  constexpr size_t kDropEvery = size_t{256} << 20;
  size_t done = 0, dropped = 0, all = 0;
  for (const Job& job : jobs_) all += job.bytes;
  for (Job& job : jobs_) {
    HADAL_OK(job.run());
    done += job.bytes;
    if (done - dropped >= kDropEvery) {
      checkpoint_.DropPages();
      dropped = done;
    }
    if (progress_) progress_(done, all);
  }
  jobs_.clear();
  if (checkpoint_.damaged()) {
    return Fail(ErrorCode::kBadFile,
                "{}: a file became shorter while it was read; copy the checkpoint again",
                checkpoint_.path().string());
  }
  HADAL_OK(AllFinite());
  return totals_;
}

// Calls read(part, row of its tensor, rows, row of the range) for the parts of [row0, row0 + n).
template <class Read>
void WeightLoader::ForParts(const Parts& parts, int64_t row0, int64_t n, const Read& read) {
  int64_t first = 0;  // row of the source where the part begins
  for (const Part& part : parts) {
    const int64_t begin = std::max(row0, first);
    const int64_t end = std::min(row0 + n, first + part.rows);
    if (begin < end) read(*part.entry, part.row0 + begin - first, end - begin, begin - row0);
    first += part.rows;
  }
}

WeightSource WeightLoader::Source(Parts parts, int64_t cols) {
  WeightSource source;
  source.cols = cols;
  source.blocks = parts.front().entry->quant;
  bool plain = false, f16 = true;
  for (const Part& part : parts) {
    const auto quant = part.entry->quant;
    source.name += (source.name.empty() ? "" : " + ") + part.entry->name;
    source.rows += part.rows;
    if (quant) source.mixed_blocks.push_back({part.rows, *quant});
    plain |= !quant;
    f16 &= IsF16(*part.entry);
    if (quant != source.blocks) source.blocks.reset();
  }
  if (source.blocks || plain) source.mixed_blocks.clear();
  if (f16) source.stored = DType::kF16;
  source.decode = [this, parts, cols](int64_t row0, int64_t n, float* out) {
    ForParts(parts, row0, n, [&](const TensorEntry& entry, int64_t row, int64_t rows, int64_t at) {
      float* to = out + at * cols;
      DecodeRows(entry, row, rows, to);
      CheckFinite(entry, {to, static_cast<size_t>(rows * cols)});
    });
  };
  if (!source.blocks && source.mixed_blocks.empty()) return source;
  source.read_blocks = [this, parts = std::move(parts), cols](int64_t row0, int64_t n,
                                                              std::byte* out) {
    ForParts(parts, row0, n, [&](const TensorEntry& entry, int64_t row, int64_t rows, int64_t at) {
      std::byte* to = out + at * RowBytes(*entry.quant, cols);
      ReadBlockRows(entry, row, rows, to);
      if (!BlocksAreFinite(*entry.quant, to, rows * cols)) NoteNonFinite(entry);
    });
  };
  return source;
}

void WeightLoader::Prepared(const Weight& weight, Share share) {
  totals_.resident_bytes += weight.bytes();
  if (share.used < share.of) {
    totals_.expert_bytes += weight.bytes();
    totals_.experts = share.of;
    totals_.experts_per_token = share.used;
    const auto values = static_cast<size_t>(weight.count() * weight.rows() * weight.cols());
    totals_.experts_quantised = 2 * weight.bytes() < 3 * values;
  }
  totals_.bytes_per_token +=
      weight.bytes() * static_cast<size_t>(share.used) / static_cast<size_t>(share.of);
}

// The matrix is decoded once; uk would otherwise decode a whole head for every slice of rows.
Status WeightLoader::PrepareLatent(LatentUp& out, const TensorEntry& entry,
                                   const LatentUpShape& s) {
  const int64_t rows = s.n_heads * (s.nope + s.v_dim), cols = s.kv_lora;
  HADAL_TRY(const Buffer buffer,
            Buffer::Allocate(static_cast<size_t>(rows * cols) * sizeof(float)));
  auto* all = static_cast<float*>(buffer.data());  // [rows, kv_lora]
  DecodeRows(entry, 0, rows, all);
  CheckFinite(entry, {all, static_cast<size_t>(rows * cols)});

  LatentSources sources;
  sources.whole = Source({{&entry, 0, rows}}, cols);
  for (int64_t h = 0; h < s.n_heads; ++h) {
    const int64_t k_row = h * (s.nope + s.v_dim);
    const float* k_rows = all + k_row * cols;  // [nope, kv_lora]
    WeightSource& uk = sources.uk.emplace_back();
    uk.name = entry.name;
    uk.rows = s.kv_lora;
    uk.cols = s.nope;
    uk.stored = sources.whole.stored;
    uk.decode = [=](int64_t row0, int64_t n, float* to) {
      for (int64_t r = row0; r < row0 + n; ++r) {
        for (int64_t c = 0; c < s.nope; ++c) *to++ = k_rows[c * cols + r];
      }
    };
    sources.uv.push_back(Source({{&entry, k_row + s.nope, s.v_dim}}, cols));
  }
  return PrepareLatentSources(out, sources, rows * cols);
}

// uk and uv are stored as they are used; the whole is put together from both.
Status WeightLoader::PrepareLatentParts(LatentUp& out, const TensorEntry& k, const TensorEntry& v,
                                        const LatentUpShape& s) {
  const int64_t head = s.nope + s.v_dim, rows = s.n_heads * head, cols = s.kv_lora;
  HADAL_TRY(const Buffer buffer,
            Buffer::Allocate(static_cast<size_t>(rows * cols) * sizeof(float)));
  auto* all = static_cast<float*>(buffer.data());                 // [rows, kv_lora]
  std::vector<float> k_head(static_cast<size_t>(cols * s.nope));  // [kv_lora, nope]
  LatentSources sources;
  for (int64_t h = 0; h < s.n_heads; ++h) {
    float* to = all + h * head * cols;
    DecodeRows(k, h * cols, cols, k_head.data());
    for (int64_t r = 0; r < s.nope; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        to[r * cols + c] = k_head[static_cast<size_t>(c * s.nope + r)];
      }
    }
    DecodeRows(v, h * s.v_dim, s.v_dim, to + s.nope * cols);
    CheckFinite(k, {to, static_cast<size_t>(s.nope * cols)});
    CheckFinite(v, {to + s.nope * cols, static_cast<size_t>(s.v_dim * cols)});
    sources.uk.push_back(Source({{&k, h * cols, cols}}, s.nope));
    sources.uv.push_back(Source({{&v, h * s.v_dim, s.v_dim}}, cols));
  }
  sources.whole.name = k.name + " + " + v.name;
  sources.whole.rows = rows;
  sources.whole.cols = cols;
  if (IsF16(k) && IsF16(v)) sources.whole.stored = DType::kF16;
  sources.whole.decode = [=](int64_t row0, int64_t n, float* to) {
    std::copy_n(all + row0 * cols, n * cols, to);
  };
  return PrepareLatentSources(out, sources, rows * cols);
}

Status WeightLoader::PrepareLatentSources(LatentUp& out, const LatentSources& sources,
                                          int64_t elements) {
  Count(elements, {});
  HADAL_TRY(out.whole, backend_.PrepareOne(sources.whole));
  HADAL_TRY(out.uk, backend_.Prepare(sources.uk, false));
  HADAL_TRY(out.uv, backend_.Prepare(sources.uv, false));
  totals_.resident_bytes += out.whole->bytes();
  Prepared(*out.uk, {});
  Prepared(*out.uv, {});
  return {};
}

void WeightLoader::CheckFinite(const TensorEntry& entry, std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000u;  // all ones: infinity or NaN
  bool found = false;
  for (float v : values) found |= (std::bit_cast<uint32_t>(v) & kExponent) == kExponent;
  if (found) NoteNonFinite(entry);
}

void WeightLoader::NoteNonFinite(const TensorEntry& entry) {
  const std::lock_guard lock(mutex_);
  non_finite_.insert(entry.name);
}

Status WeightLoader::AllFinite() {
  if (non_finite_.empty()) return {};
  constexpr size_t kMaxNames = 8;
  std::string names;
  size_t n = 0;
  for (const std::string& name : non_finite_) {
    if (n++ == kMaxNames) break;
    names += (names.empty() ? "" : ", ") + name;
  }
  if (non_finite_.size() > kMaxNames) {
    names += fmt::format(" and {} more", non_finite_.size() - kMaxNames);
  }
  return FailField(ErrorCode::kBadFile, *non_finite_.begin(),
                   "{}: weights must be finite, but NaN or infinity is in {}",
                   checkpoint_.path().string(), names);
}

}  // namespace hadal
