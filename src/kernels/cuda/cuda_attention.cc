// Attention: rows of answers by kernels of single rows, over the keys and values or, with MLA, over
// the latents themselves (the absorbed form). Rows of prompts, where they are rounded, on the
// matrix unit; with MLA over keys and values that are expanded from the latents, some heads at a
// time.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

const CudaWeight& Cast(const Weight* w) { return static_cast<const CudaWeight&>(*w); }

// Chunks of prompts come last: how many come before them, and the rows of those.
size_t ExactChunks(std::span<const SeqChunk> chunks) {
  size_t n = chunks.size();
  while (n > 0 && chunks[n - 1].prompt) --n;
  return n;
}
int64_t KeysOf(const SeqChunk& c) { return int64_t{c.context} + c.n_rows; }
int64_t RowsOf(std::span<const SeqChunk> chunks) {
  return chunks.empty() ? 0 : chunks.back().first_row + chunks.back().n_rows;
}

}  // namespace

void CudaBackend::PrepareHeads(std::span<const Heads> parts, std::span<const int32_t> positions,
                               std::span<const int32_t> slots) {
  // Two spans that are not the step's own cannot be on the card at once.
  if (step_ == nullptr) return Backend::PrepareHeads(parts, positions, slots);
  HeadParts all;
  CHECK(parts.size() <= HeadParts::kMost);
  for (const Heads& p : parts) Wrote(p.x);
  for (const Heads& p : parts) {
    HeadPart& to = all.part[all.n++];
    to.x = p.x.f32();
    to.heads = p.x.shape[1];
    to.head_dim = p.x.shape[2];
    to.norm = p.norm;
    to.eps = p.eps;
    to.at = p.at;
    if (p.rope != nullptr) {
      to.rope.offset = p.offset;
      to.rope.dims = p.rope->dims;
      to.rope.adjacent = p.rope->pairing == RopePairing::kAdjacent;
      to.cos = p.rope->cos;
      to.sin = p.rope->sin;
    }
    if (p.cache != nullptr) to.cache = CacheOf(*p.cache);
  }
  CUDA_NAMESPACE::PrepareHeads(device_->stream(), all, parts[0].x.shape[0], OnCard(positions),
                               OnCard(slots));
}

void CudaBackend::Attend(const AttentionShape& shape, const Queries& q, const Cache& k,
                         const Cache& v, const RowIndex& index, float* out) {
  const AttentionMemory memory = AttentionSpace(shape, k, v, index.most);
  AttentionScratch scratch;
  scratch.parts = ReserveFloats(kAttentionParts, memory.floats);
  scratch.counts = static_cast<int*>(
      Reserve(kAttentionCounts, static_cast<size_t>(memory.counts) * sizeof(int)));
  AttendRows(device_->stream(), shape, q, k, v, index, scratch, out);
}

void CudaBackend::Attention(const GqaArgs& a, std::span<const SeqChunk> chunks) {
  const bool rounds = rounds_prompts() && PromptsFit(a.head_dim, a.head_dim);
  const size_t exact = rounds ? ExactChunks(chunks) : chunks.size();
  Wrote(a.out);
  const RowIndex index = IndexOf(chunks, a.k.block_tokens);
  const AttentionShape shape{.rows = RowsOf(chunks.first(exact)),
                             .n_kv = a.n_kv_heads,
                             .group = a.n_heads / a.n_kv_heads,
                             .k_dim = a.head_dim,
                             .v_dim = a.head_dim,
                             .scale = a.scale};
  const Queries queries = {.data = a.q.f32(), .ld = a.head_dim, .columns = a.head_dim};
  Attend(shape, queries, CacheOf(a.k), CacheOf(a.v), index, a.out.f32());
  if (exact < chunks.size()) AttendPrompt(a, index, chunks.subspan(exact));
}

// Where the rows of the last chunks, which are of prompts, go in bf16 as well.
RoundedCopy CudaBackend::RoundPromptRows(const Tensor& out, std::span<const SeqChunk> chunks) {
  const int64_t width = out.shape.elements() / out.shape[0], from = chunks[0].first_row * width;
  return {RoundBeside(out.f32() + from, RowsOf(chunks) * width - from), from};
}

// All chunks at once from a bf16 cache; another is made bf16 first, chunk by chunk.
void CudaBackend::AttendPrompt(const GqaArgs& a, const RowIndex& index,
                               std::span<const SeqChunk> chunks) {
  const PromptShape shape{.heads = a.n_heads,
                          .group = a.n_heads / a.n_kv_heads,
                          .row_heads = a.n_heads,
                          .k_dim = a.head_dim,
                          .v_dim = a.head_dim,
                          .scale = a.scale};
  const auto columns = [&](const void* data) {
    return KeyColumns{static_cast<const uint16_t*>(data), a.k.width, a.head_dim, a.head_dim};
  };
  const RoundedCopy rounded = RoundPromptRows(a.out, chunks);
  if (a.k.dtype == DType::kBf16) {
    std::vector<PromptChunk> rows;
    for (const SeqChunk& c : chunks) rows.push_back({c.first_row, c.n_rows, 0});
    AttendPrompts(device_->stream(), shape, a.q.f32(),
                  {columns(a.k.data), {}, columns(a.v.data), true}, index, rows, a.out.f32(),
                  rounded);
    return;
  }
  for (const SeqChunk& c : chunks) {
    const int64_t keys = KeysOf(c);
    uint16_t* k = ReserveHalves(kGatheredKeys, keys * a.k.width);
    uint16_t* v = ReserveHalves(kGatheredValues, keys * a.v.width);
    GatherCache(device_->stream(), CacheOf(a.k), index, c.first_row, keys, 0, a.k.width, k);
    GatherCache(device_->stream(), CacheOf(a.v), index, c.first_row, keys, 0, a.v.width, v);
    const PromptChunk rows{c.first_row, c.n_rows, 0};
    AttendPrompts(device_->stream(), shape, a.q.f32(), {columns(k), {}, columns(v), false}, index,
                  {&rows, 1}, a.out.f32(), rounded);
  }
}

// ---- MLA

void CudaBackend::MlaAttention(const MlaArgs& a, std::span<const SeqChunk> chunks) {
  const size_t exact = Decompresses(a) ? ExactChunks(chunks) : chunks.size();
  Wrote(a.out);
  const RowIndex index = IndexOf(chunks, a.latent.block_tokens);
  MlaAbsorbed(a, index, RowsOf(chunks.first(exact)));
  if (exact == chunks.size()) return;
  const RoundedCopy rounded = RoundPromptRows(a.out, chunks.subspan(exact));
  for (size_t i = exact; i < chunks.size();) {
    constexpr int64_t kTogether = 32768;  // keys, unless one chunk has more
    size_t end = i + 1;
    int64_t keys = KeysOf(chunks[i]);
    while (end < chunks.size() && keys + KeysOf(chunks[end]) <= kTogether) {
      keys += KeysOf(chunks[end++]);
    }
    MlaDecompressed(a, index, chunks.subspan(i, end - i), keys, rounded);
    i = end;
  }
}

void CudaBackend::MlaAbsorbed(const MlaArgs& a, const RowIndex& index, int64_t rows) {
  if (rows == 0) return;
  const int64_t heads = a.n_heads, q_dim = a.nope + a.rope, k_dim = a.kv_lora + a.rope;
  const RowMap by_head{.modulo = heads};
  float* absorbed = ReserveFloats(kMlaQuery, rows * heads * a.kv_lora);
  Multiply({a.q.f32(), q_dim}, rows * heads, Cast(a.uk), by_head, {absorbed, a.kv_lora, nullptr});
  const Queries queries = {absorbed, a.kv_lora, a.kv_lora, a.q.f32() + a.nope, q_dim};
  float* latent = ReserveFloats(kMlaLatent, rows * heads * a.kv_lora);
  const AttentionShape shape{.rows = rows,
                             .n_kv = 1,
                             .group = heads,
                             .k_dim = k_dim,
                             .v_dim = a.kv_lora,
                             .scale = a.scale,
                             .rounded = options_.round_answers};
  Attend(shape, queries, CacheOf(a.latent), CacheOf(a.latent), index, latent);
  Multiply({latent, a.kv_lora}, rows * heads, Cast(a.uv), by_head, {a.out.f32(), a.v_dim, nullptr});
}

// Whether rows of prompts take the decompressed form: where it is not rounded, the absorbed one is
// computed in its place.
bool CudaBackend::Decompresses(const MlaArgs& a) const {
  const MlaForm form = a.form == MlaForm::kAuto ? options_.mla_form : a.form;
  const bool whole = a.nope % 8 == 0 && a.rope % 8 == 0 && a.kv_lora % 8 == 0;
  return form != MlaForm::kAbsorbed && rounds_prompts() && MayRound(Cast(a.kv_b)) && whole &&
         PromptsFit(a.nope + a.rope, a.v_dim);
}

// Expands the chunks' keys and values, for as many heads at a time as fit 256 MiB.
void CudaBackend::MlaDecompressed(const MlaArgs& a, const RowIndex& index,
                                  std::span<const SeqChunk> chunks, int64_t keys,
                                  const RoundedCopy& rounded) {
  constexpr int64_t kSpace = int64_t{128} << 20;  // values
  const int64_t per_head = a.nope + a.v_dim;
  const int64_t step = std::clamp<int64_t>(kSpace / (keys * per_head), 1, a.n_heads);
  uint16_t* latents = ReserveHalves(kGatheredKeys, keys * a.kv_lora);
  uint16_t* ropes = ReserveHalves(kGatheredValues, keys * a.rope);
  std::vector<PromptChunk> rows;
  int64_t first = 0;
  for (const SeqChunk& c : chunks) {
    GatherCache(device_->stream(), CacheOf(a.latent), index, c.first_row, KeysOf(c), 0, a.kv_lora,
                latents + first * a.kv_lora);
    GatherCache(device_->stream(), CacheOf(a.latent), index, c.first_row, KeysOf(c), a.kv_lora,
                a.rope, ropes + first * a.rope);
    rows.push_back({c.first_row, c.n_rows, static_cast<int32_t>(first)});
    first += KeysOf(c);
  }
  for (int64_t head = 0; head < a.n_heads; head += step) {
    const int64_t heads = std::min(step, a.n_heads - head), ld = heads * per_head;
    uint16_t* expanded = ReserveHalves(kExpanded, keys * ld);
    ExpandHeads(a, latents, keys, head, heads, expanded);
    const PromptShape shape{.heads = static_cast<int>(heads),
                            .row_heads = a.n_heads,
                            .k_dim = a.nope + a.rope,
                            .v_dim = a.v_dim,
                            .scale = a.scale};
    const PromptKeys where{.first = {expanded, ld, per_head, a.nope},
                           .second = {ropes, a.rope, 0, a.rope},
                           .values = {expanded + a.nope, ld, per_head, a.v_dim}};
    AttendPrompts(
        device_->stream(), shape, a.q.f32() + head * shape.k_dim, where, index, rows,
        a.out.f32() + head * a.v_dim,
        {rounded.data == nullptr ? nullptr : rounded.data + head * a.v_dim, rounded.from});
  }
}

// out [keys][heads][nope + v_dim]: the latents times the rows of some heads in kv_b.
void CudaBackend::ExpandHeads(const MlaArgs& a, const uint16_t* latents, int64_t keys,
                              int64_t head0, int64_t heads, uint16_t* out) {
  const int64_t per_head = a.nope + a.v_dim, first = head0 * per_head, n = heads * per_head;
  for (const WeightPart& part : Cast(a.kv_b).parts()) {
    const int64_t from = std::max(first, part.first_row);
    const int64_t to = std::min(first + n, part.first_row + part.matrix.rows);
    if (from >= to) continue;
    Matrix m = Rounded(part.matrix, 0, 1);
    m.data += (from - part.first_row) * m.cols * 2;
    m.rows = to - from;
    MultiplyTiles(device_->stream(), m, latents, keys, {.ld = n, .rounded = out + from - first});
  }
}

}  // namespace hadal::CUDA_NAMESPACE
