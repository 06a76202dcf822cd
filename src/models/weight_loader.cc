#include "models/weight_loader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/tensor.h"

namespace hadal {
namespace {

// An entry that is missing has none: then nothing is loaded. Rows are counted in their share of
// the tensor.
size_t StoredBytes(std::span<const TensorRows> all) {
  size_t bytes = 0;
  for (const TensorRows& part : all) {
    if (part.entry == nullptr || part.entry->rows() == 0) continue;
    bytes += static_cast<size_t>(static_cast<double>(part.entry->stored_bytes()) *
                                 static_cast<double>(part.rows) /
                                 static_cast<double>(part.entry->rows()));
  }
  return bytes;
}

// kF16 or kBf16 when the values are stored as such, without blocks, groups or scales around them.
std::optional<DType> HalfTypeOf(const TensorEntry& entry) {
  const bool half = entry.dtype == DType::kF16 || entry.dtype == DType::kBf16;
  if (entry.quant || entry.int4 != nullptr || !half) return std::nullopt;
  return entry.dtype;
}

// Rows row0 .. row0 + n - 1 of the transpose of `what`, all of which is decoded at every call.
void DecodeTransposed(WeightReader& reader, const TensorRows& what, int64_t row0, int64_t n,
                      float* out) {
  const int64_t cols = what.entry->cols();
  std::vector<float> values(static_cast<size_t>(what.rows * cols));
  reader.Decode(what, values.data());
  for (int64_t r = row0; r < row0 + n; ++r) {
    for (int64_t c = 0; c < what.rows; ++c) *out++ = values[static_cast<size_t>(c * cols + r)];
  }
}

}  // namespace

WeightLoader::WeightLoader(std::shared_ptr<const Checkpoint> checkpoint, Backend& backend,
                           Options options)
    : checkpoint_(std::move(checkpoint)),
      backend_(backend),
      options_(std::move(options)),
      binder_(*checkpoint_),
      reader_(std::make_shared<WeightReader>(checkpoint_)) {}

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
  for (const Parts& parts : stack) job.reads.insert(job.reads.end(), parts.begin(), parts.end());
  job.rank = share.used < share.of ? Rank::kExperts : Rank::kMatrix;
  const WeightUse use = precision == Precision::kF32     ? WeightUse::kMultiplyF32
                        : precision == Precision::kExact ? WeightUse::kMultiplyExact
                                                         : WeightUse::kMultiply;
  const auto sources = [this, stack = std::move(stack), cols] {
    std::vector<WeightSource> all;
    for (const Parts& parts : stack) all.push_back(Source(parts, cols));
    return all;
  };
  job.bytes = [this, sources, use](Home home) {
    return backend_.BytesOf(sources(), home == Home::kHost ? WeightUse::kHostExperts : use);
  };
  job.run = [this, out, sources, cols, share, use,
             stored = StoredBytes(job.reads)](Home home) -> Status {
    const std::vector<WeightSource> all = sources();
    for (const WeightSource& source : all) Count(source.rows * cols, share);
    HADAL_TRY(*out, PrepareAs(use, all, home));
    const size_t bytes = home == Home::kFile ? stored : (*out)->bytes();
    Prepared(bytes, home, share);
    const auto values = static_cast<size_t>((*out)->count() * (*out)->rows() * cols);
    if (share.used < share.of) totals_.experts_quantised = 2 * bytes < 3 * values;
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

void WeightLoader::Experts(const std::vector<Stack>& stacks, int64_t used) {
  for (const Stack& stack : stacks) {
    std::vector<Parts> wholes;
    for (const auto& parts : stack.matrices) wholes.push_back(Whole(parts, stack.cols));
    const auto n = static_cast<int64_t>(wholes.size());
    AddMatrix(stack.out, std::move(wholes), stack.cols, {used, n});
    jobs_.back().layer = expert_layers_;
  }
  ++expert_layers_;
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
  const Part part{binder_.Require(name, {n}), 0, 1};
  jobs_.push_back({{part},
                   [this, out, part, n](Home) -> Status {
                     Count(n, {});
                     std::vector<float> values(static_cast<size_t>(n));
                     reader_->Decode(part, values.data());
                     HADAL_TRY(*out, backend_.Upload(values));
                     totals_.resident_bytes += (*out)->size();
                     totals_.bytes_per_token += (*out)->size();
                     return {};
                   },
                   [n](Home) -> Result<size_t> { return static_cast<size_t>(n) * sizeof(float); }});
}

void WeightLoader::Embedding(WeightPtr* table, WeightPtr* head, const std::string& name,
                             int64_t rows, int64_t cols) {
  const Part part = Whole(name, rows, cols);
  const bool tied = head != nullptr;
  Job job;
  job.reads = {part};
  job.rank = Rank::kEmbedding;
  const auto source = [this, part, cols] { return std::array{Source({part}, cols)}; };
  job.bytes = [this, source](Home) { return backend_.BytesOf(source(), WeightUse::kLookUp); };
  job.run = [this, table, source, cols, tied,
             stored = StoredBytes(job.reads)](Home home) -> Status {
    const auto one = source();
    // A tied head counts the same numbers.
    if (!tied) totals_.parameters += one[0].rows * cols;
    HADAL_TRY(*table, PrepareAs(WeightUse::kLookUp, one, home));
    BytesAt(home) += home == Home::kFile ? stored : (*table)->bytes();
    return {};
  };
  jobs_.push_back(std::move(job));
  if (!tied) return;
  AddMatrix(head, {{part}}, cols, {}, Precision::kExact);
  jobs_.back().joins = true;
}

void WeightLoader::Latent(LatentUp* out, const std::string& prefix, const LatentUpShape& shape) {
  const std::string whole = prefix + "kv_b_proj.weight", k = prefix + "k_b_proj.weight",
                    v = prefix + "v_b_proj.weight";
  if (checkpoint_->Find(whole) == nullptr && checkpoint_->Find(k) != nullptr) {
    const TensorEntry* uk = binder_.Require(k, {shape.n_heads, shape.kv_lora, shape.nope});
    const TensorEntry* uv = binder_.Require(v, {shape.n_heads, shape.v_dim, shape.kv_lora});
    const Part k_rows{uk, 0, shape.n_heads * shape.kv_lora};
    const Part v_rows{uv, 0, shape.n_heads * shape.v_dim};
    // Once for the whole, once head by head.
    jobs_.push_back(
        {{k_rows, v_rows, k_rows, v_rows},
         [this, out, uk, uv, shape](Home) { return PrepareLatentParts(*out, *uk, *uv, shape); },
         [=, this](Home) {
           const int64_t head = shape.nope + shape.v_dim;
           return LatentBytes({k_rows, v_rows}, {shape.n_heads * head, shape.kv_lora});
         }});
    return;
  }
  // Some GGUF files hold the same numbers in both layouts.
  for (const std::string& name : {k, v}) {
    if (checkpoint_->Find(name) != nullptr) Ignore(name);
  }
  const int64_t rows = shape.n_heads * (shape.nope + shape.v_dim);
  const TensorEntry* entry = binder_.Require(whole, {rows, shape.kv_lora});
  const Part all{entry, 0, rows};
  // For uk, for uv, and for the whole.
  jobs_.push_back({{all, all, all},
                   [this, out, entry, shape](Home) { return PrepareLatent(*out, *entry, shape); },
                   [=, this](Home) {
                     const Part v_rows{entry, 0, shape.n_heads * shape.v_dim};
                     return LatentBytes({all, v_rows}, {shape.n_heads * shape.kv_lora, shape.nope});
                   }});
}

// Two of the whole, uk and uv are used as stored; the third one is made of decoded values.
Result<size_t> WeightLoader::LatentBytes(const Parts& stored, const Shape& decoded) {
  const std::string& name = stored[0].entry->name;
  std::vector<WeightSource> all = {{name, decoded[0], decoded[1], nullptr}};
  for (const Part& part : stored) all.push_back(Source({part}, part.entry->cols()));
  size_t bytes = 0;
  for (const WeightSource& source : all) {
    HADAL_TRY(const size_t one, backend_.BytesOf({&source, 1}, WeightUse::kMultiplyExact));
    bytes += one;
  }
  return bytes;
}

// ---- preparing

Result<WeightSizes> WeightLoader::Measure() {
  HADAL_OK(binder_.Finish());
  WeightSizes sizes{.experts = std::vector<size_t>(static_cast<size_t>(expert_layers_))};
  for (const Job& job : jobs_) {
    HADAL_TRY(const size_t bytes, job.bytes(Home::kBackend));
    const bool experts = job.rank == Rank::kExperts;
    (experts ? sizes.experts[static_cast<size_t>(job.layer)] : sizes.others) += bytes;
  }
  return sizes;
}

Result<size_t> WeightLoader::LeaveToHost(int64_t n) {
  size_t all = 0;
  for (Job& job : jobs_) {
    if (job.rank != Rank::kExperts || job.layer < expert_layers_ - n) continue;
    job.home = Home::kHost;
    HADAL_TRY(const size_t bytes, job.bytes(Home::kHost));
    all += bytes;
  }
  return all;
}

Result<WeightTotals> WeightLoader::Load() {
  HADAL_OK(binder_.Finish());
  HADAL_OK(Place());
  if (options_.read_ahead) PlanReads();
  size_t done = 0, all = 0;
  for (const Job& job : jobs_) all += StoredBytes(job.reads);
  size_t group = 0;
  for (size_t i = 0; i < jobs_.size(); ++i) {
    if (i > 0 && !jobs_[i].joins) ++group;
    reader_->Begin(group);
    HADAL_OK(jobs_[i].run(jobs_[i].home));
    done += StoredBytes(jobs_[i].reads);
    if (options_.progress) options_.progress(done, all);
  }
  reader_->End();
  HADAL_OK(reader_->Check());
  HADAL_TRY(totals_.link, backend_.EndLoad());
  const auto in_file = [](const Job& job) { return job.home == Home::kFile; };
  if (std::ranges::any_of(jobs_, in_file)) in_use_ = reader_;
  jobs_.clear();
  return totals_;
}

// Decides which matrices stay in the file.
Status WeightLoader::Place() {
  if (options_.weight_memory == SIZE_MAX) return {};
  size_t left = options_.weight_memory;
  for (const Rank rank : {Rank::kMatrix, Rank::kExperts, Rank::kEmbedding}) {
    for (Job& job : jobs_) {
      if (job.rank != rank) continue;
      HADAL_TRY(const size_t bytes, job.bytes(Home::kBackend));
      if (bytes > left) {
        job.home = Home::kFile;
      } else {
        left -= bytes;
      }
    }
  }
  return {};
}

void WeightLoader::PlanReads() {
  std::vector<Parts> groups;
  for (const Job& job : jobs_) {
    if (!job.joins) groups.emplace_back();
    if (job.home == Home::kFile) continue;
    groups.back().insert(groups.back().end(), job.reads.begin(), job.reads.end());
  }
  reader_->Plan(groups, {});
}

// Calls read(rows of a tensor, where they begin in the range) for the parts of [row0, row0 + n).
template <class Read>
void WeightLoader::ForParts(const Parts& parts, int64_t row0, int64_t n, const Read& read) {
  int64_t first = 0;  // row of the source where the part begins
  for (const Part& part : parts) {
    const int64_t begin = std::max(row0, first);
    const int64_t end = std::min(row0 + n, first + part.rows);
    if (begin < end) {
      read(Part{part.entry, part.row0 + begin - first, end - begin}, begin - row0);
    }
    first += part.rows;
  }
}

WeightSource WeightLoader::Source(Parts parts, int64_t cols) {
  WeightSource source;
  source.cols = cols;
  source.blocks = parts.front().entry->quant;
  source.stored = HalfTypeOf(*parts.front().entry);
  bool plain = false, fp8 = true;
  for (const Part& part : parts) {
    const auto quant = part.entry->quant;
    source.name += (source.name.empty() ? "" : " + ") + part.entry->name;
    if (quant) source.mixed_blocks.push_back({part.rows, *quant});
    plain |= !quant;
    if (HalfTypeOf(*part.entry) != source.stored) source.stored.reset();
    fp8 &= IsFp8InTiles(*part.entry) && part.row0 % kFp8TileRows == 0 &&
           source.rows % kFp8TileRows == 0;
    if (quant != source.blocks) source.blocks.reset();
    source.rows += part.rows;
  }
  if (source.blocks || plain) source.mixed_blocks.clear();
  const auto reader = reader_;
  source.decode = [reader, parts, cols](int64_t row0, int64_t n, float* out) {
    ForParts(parts, row0, n,
             [&](const Part& rows, int64_t at) { reader->Decode(rows, out + at * cols); });
  };
  if (fp8) {
    source.read_fp8 = [reader, parts, cols](int64_t row0, int64_t n, uint8_t* codes,
                                            float* scales) {
      const int64_t columns = (cols + kFp8TileCols - 1) / kFp8TileCols;
      ForParts(parts, row0, n, [&](const Part& rows, int64_t at) {
        reader->ReadFp8(rows, codes + at * cols, scales + at / kFp8TileRows * columns);
      });
    };
  }
  const bool blocks = source.blocks || !source.mixed_blocks.empty();
  if (!blocks && !source.stored) return source;
  (blocks ? source.read_blocks : source.read_stored) =
      [reader, parts = std::move(parts)](int64_t row0, int64_t n, std::byte* out) {
        ForParts(parts, row0, n, [&](const Part& rows, int64_t at) {
          reader->ReadStored(rows, out + at * StoredRowBytes(*rows.entry));
        });
      };
  return source;
}

Result<WeightPtr> WeightLoader::PrepareAs(WeightUse use, std::span<const WeightSource> sources,
                                          Home home) {
  if (home == Home::kFile) return backend_.Defer(sources, use);
  if (home == Home::kHost) return backend_.Prepare(sources, WeightUse::kHostExperts);
  if (use == WeightUse::kLookUp) return backend_.PrepareEmbedding(sources[0]);
  return backend_.Prepare(sources, use);
}

size_t& WeightLoader::BytesAt(Home home) {
  if (home == Home::kFile) return totals_.file_bytes;
  return home == Home::kHost ? totals_.host_bytes : totals_.resident_bytes;
}

void WeightLoader::Prepared(size_t bytes, Home home, Share share) {
  BytesAt(home) += bytes;
  if (share.used < share.of) {
    totals_.expert_bytes += bytes;
    totals_.experts = share.of;
    totals_.experts_per_token = share.used;
  }
  totals_.bytes_per_token +=
      bytes * static_cast<size_t>(share.used) / static_cast<size_t>(share.of);
}

Status WeightLoader::PrepareLatent(LatentUp& out, const TensorEntry& entry,
                                   const LatentUpShape& s) {
  const int64_t rows = s.n_heads * (s.nope + s.v_dim), cols = s.kv_lora;
  LatentSources sources;
  sources.whole = Source({{&entry, 0, rows}}, cols);
  for (int64_t h = 0; h < s.n_heads; ++h) {
    const int64_t k_row = h * (s.nope + s.v_dim);
    WeightSource& uk = sources.uk.emplace_back();
    uk.name = entry.name;
    uk.rows = s.kv_lora;
    uk.cols = s.nope;
    uk.stored = sources.whole.stored;
    uk.decode = [reader = reader_, k = Part{&entry, k_row, s.nope}](int64_t row0, int64_t n,
                                                                    float* to) {
      DecodeTransposed(*reader, k, row0, n, to);
    };
    sources.uv.push_back(Source({{&entry, k_row + s.nope, s.v_dim}}, cols));
  }
  return PrepareLatentSources(out, sources, rows * cols);
}

// uk and uv are stored as they are used; the whole is put together from both.
Status WeightLoader::PrepareLatentParts(LatentUp& out, const TensorEntry& k, const TensorEntry& v,
                                        const LatentUpShape& s) {
  const int64_t head = s.nope + s.v_dim, rows = s.n_heads * head, cols = s.kv_lora;
  LatentSources sources;
  for (int64_t h = 0; h < s.n_heads; ++h) {
    sources.uk.push_back(Source({{&k, h * cols, cols}}, s.nope));
    sources.uv.push_back(Source({{&v, h * s.v_dim, s.v_dim}}, cols));
  }
  sources.whole.name = k.name + " + " + v.name;
  sources.whole.rows = rows;
  sources.whole.cols = cols;
  if (HalfTypeOf(k) == HalfTypeOf(v)) sources.whole.stored = HalfTypeOf(k);
  sources.whole.decode = [=, reader = reader_, k = &k, v = &v](int64_t row0, int64_t n, float* to) {
    for (const int64_t end = row0 + n; row0 < end; row0 += n, to += n * cols) {
      const int64_t h = row0 / head, row = row0 % head;
      if (row < s.nope) {
        n = std::min(end - row0, s.nope - row);
        DecodeTransposed(*reader, {k, h * cols, cols}, row, n, to);
      } else {
        n = std::min(end - row0, head - row);
        reader->Decode({v, h * s.v_dim + row - s.nope, n}, to);
      }
    }
  };
  return PrepareLatentSources(out, sources, rows * cols);
}

Status WeightLoader::PrepareLatentSources(LatentUp& out, const LatentSources& sources,
                                          int64_t elements) {
  Count(elements, {});
  HADAL_TRY(out.whole, backend_.PrepareOne(sources.whole, WeightUse::kMultiplyExact));
  HADAL_TRY(out.uk, backend_.Prepare(sources.uk, WeightUse::kMultiplyExact));
  HADAL_TRY(out.uv, backend_.Prepare(sources.uv, WeightUse::kMultiplyExact));
  totals_.resident_bytes += out.whole->bytes();
  Prepared(out.uk->bytes(), Home::kBackend, {});
  Prepared(out.uv->bytes(), Home::kBackend, {});
  return {};
}

}  // namespace hadal
