// Multi-head latent attention in its two forms (DeepSeek-V2 paper, section 2.1).
// Absorbed: q~ = W_UK q_nope meets the cached latents directly; every head shares one key.
// Decompressed: a chunk's whole context is expanded to per-head keys and values, 256 keys at a
// time, and attended as ordinary multi-head attention; cheaper for long chunks. Rows of prompts
// take it where they are told from those of answers.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/flash_index.h"
#include "kernels/cpu/prompt_space.h"
#include "kernels/cpu/softmax_state.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kExpandKeys = 256;  // keys expanded at a time, whole key tiles
constexpr int64_t kTaskVectors = 64;

const CpuWeight& Cast(const Weight* w) { return static_cast<const CpuWeight&>(*w); }

// Row of the cache at a position of the sequence, in elements.
int64_t LatentAt(const KvView& latent, const SeqChunk& c, int64_t position) {
  const int64_t slot = int64_t{c.blocks[position / latent.block_tokens]} * latent.block_tokens +
                       position % latent.block_tokens;
  return slot * latent.width;
}

// Some keys of a chunk, expanded, and the running softmax of all its heads and rows over them.
struct ExpandedKeys {
  const KernelTable& table;
  const MlaArgs& a;
  const SeqChunk& c;
  int64_t first = 0, n = 0;   // key positions [first, first + n)
  float* expanded = nullptr;  // [n][n_heads][nope + v_dim]
  float* states = nullptr;    // [n_heads]: m [rows], l [rows], o [rows][v_stride], whole row blocks

  int64_t v_stride() const { return RoundUp(a.v_dim, kPanel); }
  int64_t q_dim() const { return a.nope + a.rope; }
  bool bf16() const { return a.latent.dtype == DType::kBf16; }
  // Working memory of Attend: queries, scores, whole keys, counts of visible keys.
  int64_t SpaceFloats() const {
    return kTaskVectors * (q_dim() + kKeyTile + 1) + kKeyTile * q_dim();
  }
  const std::byte* Latent(int64_t position, int64_t column) const {
    return static_cast<const std::byte*>(a.latent.data) +
           (LatentAt(a.latent, c, position) + column) *
               static_cast<int64_t>(SizeOf(a.latent.dtype));
  }
  int64_t rows() const { return RoundUp(c.n_rows, kPromptRows); }
  int64_t StateFloats() const { return rows() * (v_stride() + 2); }
  SoftmaxState State(int64_t head, int64_t row) const {
    float* base = states + head * StateFloats();
    return {base + row, base + rows() + row, base + 2 * rows() + row * v_stride()};
  }

  void CopyLatent(int64_t position, float* out) const {
    const std::byte* row = Latent(position, 0);
    if (bf16()) {
      table.from_bf16(reinterpret_cast<const uint16_t*>(row), a.kv_lora, out);
    } else {
      std::memcpy(out, row, static_cast<size_t>(a.kv_lora) * sizeof(float));
    }
  }

  // Where the parts of keys [tile, tile + n_keys) of one head are.
  struct KeyRows {
    const void *nope[kPromptKeys], *rope[kPromptKeys], *value[kPromptKeys];
  };
  KeyRows RowsOf(int64_t head, int64_t tile, int n_keys) const {
    KeyRows r;
    for (int64_t j = 0; j < n_keys; ++j) {
      const float* row = expanded + ((tile - first + j) * a.n_heads + head) * (a.nope + a.v_dim);
      r.nope[j] = row;
      r.value[j] = row + a.nope;
      r.rope[j] = Latent(tile + j, a.kv_lora);
    }
    return r;
  }
  // Keys [tile, tile + n_keys) of one head: both parts side by side in `space`.
  void WholeKeys(const KeyRows& r, int n_keys, float* space, const float** keys,
                 const float** values) const {
    for (int j = 0; j < kKeyTile; ++j) {
      const int from = std::min(j, n_keys - 1);
      keys[j] = space + from * q_dim();
      values[j] = static_cast<const float*>(r.value[from]);
      if (j >= n_keys) continue;
      float* key = space + j * q_dim();
      std::memcpy(key, r.nope[j], static_cast<size_t>(a.nope) * sizeof(float));
      if (bf16()) {
        table.from_bf16(static_cast<const uint16_t*>(r.rope[j]), a.rope, key + a.nope);
      } else {
        std::memcpy(key + a.nope, r.rope[j], static_cast<size_t>(a.rope) * sizeof(float));
      }
    }
  }

  // Rows [row0, row0 + n_q) of one head against these keys.
  void Attend(int64_t head, int64_t row0, int64_t n_q, float* space) const {
    float* q = space;
    float* scores = q + kTaskVectors * q_dim();
    float* keys = scores + kTaskVectors * kKeyTile;
    auto* seen = reinterpret_cast<int32_t*>(keys + q_dim() * kKeyTile);
    PackVectors(
        n_q, q_dim(), a.scale,
        [&](int64_t i) {
          return a.q.f32() + ((c.first_row + row0 + i) * a.n_heads + head) * q_dim();
        },
        q);
    for (int64_t i = 0; first == 0 && i < n_q; ++i) ResetState(State(head, row0 + i), v_stride());
    const SoftmaxState state = State(head, row0);
    const int64_t visible = std::min(first + n, c.context + row0 + n_q);
    for (int64_t tile = first; tile < visible; tile += kKeyTile) {
      const auto n_keys = static_cast<int>(std::min<int64_t>(kKeyTile, visible - tile));
      const float *key_rows[kKeyTile], *value_rows[kKeyTile];
      WholeKeys(RowsOf(head, tile, n_keys), n_keys, keys, key_rows, value_rows);
      for (int64_t i = 0; i < n_q; ++i) {
        const int64_t sees = c.context + row0 + i + 1 - tile;
        seen[i] = static_cast<int32_t>(std::clamp<int64_t>(sees, 0, kKeyTile));
      }
      table.attention_tile({q, key_rows, value_rows, seen, scores, state.m, state.l, state.o, n_q,
                            q_dim(), a.v_dim, v_stride()});
    }
  }

  // The same on the matrix unit; n_q is at most kPromptQueries, row0 begins a row block.
  void AttendPrompt(int64_t head, int64_t row0, int64_t n_q, const PromptSpace& s) const {
    s.TakeQueries(table, n_q, q_dim(), a.scale, [&](int64_t i) {
      return a.q.f32() + ((c.first_row + row0 + i) * a.n_heads + head) * q_dim();
    });
    for (int64_t i = 0; first == 0 && i < RoundUp(n_q, kPromptRows); ++i) {
      ResetState(State(head, row0 + i), v_stride());
    }
    const SoftmaxState state = State(head, row0);
    const int64_t visible = std::min(first + n, c.context + row0 + n_q);
    for (int64_t tile = first; tile < visible; tile += kPromptKeys) {
      const auto n_keys = static_cast<int>(std::min(kPromptKeys, visible - tile));
      const KeyRows r = RowsOf(head, tile, n_keys);
      table.pack_prompt_keys(r.nope, false, n_keys, 0, a.nope, q_dim(), s.keys);
      table.pack_prompt_keys(r.rope, bf16(), n_keys, a.nope, a.rope, q_dim(), s.keys);
      table.pack_prompt_values(r.value, false, n_keys, a.v_dim, v_stride(), s.values);
      for (int64_t i = 0; i < n_q; ++i) {
        const int64_t sees = c.context + row0 + i + 1 - tile;
        s.seen[i] = static_cast<int32_t>(std::clamp<int64_t>(sees, 0, kPromptKeys));
      }
      table.prompt_attention({s.q, s.keys, s.values, s.seen, s.scratch, state.m, state.l, state.o,
                              n_q, q_dim(), v_stride()});
    }
  }

  // Writes the result of these rows, after the last keys.
  void Finish(int64_t head, int64_t row0, int64_t n_q) const {
    for (int64_t i = 0; i < n_q; ++i) {
      const SoftmaxState s = State(head, row0 + i);
      float* out = a.out.f32() + ((c.first_row + row0 + i) * a.n_heads + head) * a.v_dim;
      for (int64_t d = 0; d < a.v_dim; ++d) out[d] = s.o[d] / *s.l;
    }
  }
};

}  // namespace

// Per query, key and head the absorbed form costs 2 kv_lora + rope multiply-adds, the other
// nope + rope + v; expanding costs kv_lora (nope + v) per key and head, shared by the chunk's rows.
// Their results differ by rounding, which quantised activations of the next product make visible,
// so what a row is decides, never how many rows its chunk has.
bool CpuBackend::Decompress(const MlaArgs& a, const SeqChunk& chunk) const {
  const MlaForm form = a.form == MlaForm::kAuto ? mla_form_ : a.form;
  return form == MlaForm::kAuto ? chunk.prompt : form == MlaForm::kDecompressed;
}

void CpuBackend::MlaAttention(const MlaArgs& args, std::span<const SeqChunk> chunks) {
  CHECK(args.uk && args.uv && args.kv_b && args.latent.width == args.kv_lora + args.rope);
  CHECK(args.uk->count() == args.n_heads && args.uk->rows() == args.kv_lora &&
        args.uk->cols() == args.nope);
  CHECK(args.uv->count() == args.n_heads && args.uv->rows() == args.v_dim &&
        args.uv->cols() == args.kv_lora);
  CHECK(args.kv_b->rows() == int64_t{args.n_heads} * (args.nope + args.v_dim) &&
        args.kv_b->cols() == args.kv_lora);
  for (size_t i = 0; i < chunks.size();) {
    if (Decompress(args, chunks[i])) {
      MlaDecompressed(args, chunks[i++]);
      continue;
    }
    size_t end = i + 1;  // chunks whose rows follow one another share the matrix products
    while (end < chunks.size() && !Decompress(args, chunks[end]) &&
           chunks[end].first_row == chunks[end - 1].first_row + chunks[end - 1].n_rows) {
      ++end;
    }
    MlaAbsorbed(args, chunks.subspan(i, end - i));
    i = end;
  }
}

void CpuBackend::MlaAbsorbed(const MlaArgs& a, std::span<const SeqChunk> chunks) {
  const int64_t row0 = chunks.front().first_row, heads = a.n_heads;
  const int64_t rows = chunks.back().first_row + chunks.back().n_rows - row0;
  const int64_t q_dim = a.nope + a.rope, k_dim = a.kv_lora + a.rope;
  const float* q = a.q.f32() + row0 * heads * q_dim;
  float* absorbed = ReserveFloats(kMlaQuery, rows * heads * k_dim);  // [rows][heads][k_dim]

  const Activations nope = Convert({q, q_dim, rows * heads, a.nope}, Cast(a.uk));
  for (int64_t h = 0; h < heads; ++h) {
    Queue(nope.Interleaved(h, heads), 0, rows, Cast(a.uk), h,
          {absorbed + h * k_dim, heads * k_dim, nullptr});
  }
  RunQueued(Cast(a.uk).layout());
  for (int64_t i = 0; i < rows * heads; ++i) {
    std::memcpy(absorbed + i * k_dim + a.kv_lora, q + i * q_dim + a.nope,
                static_cast<size_t>(a.rope) * sizeof(float));
  }

  float* latent_out = ReserveFloats(kMlaLatentOut, rows * heads * a.kv_lora);
  FlashArgs f;
  f.q = absorbed;
  f.first_row = row0;
  f.k = f.v = a.latent;
  f.group = heads;
  f.k_dim = k_dim;
  f.v_dim = a.kv_lora;
  f.scale = a.scale;
  f.out = latent_out;
  Flash(f, chunks);

  const Activations o = Convert({latent_out, a.kv_lora, rows * heads, a.kv_lora}, Cast(a.uv));
  float* out = a.out.f32() + row0 * heads * a.v_dim;
  for (int64_t h = 0; h < heads; ++h) {
    Queue(o.Interleaved(h, heads), 0, rows, Cast(a.uv), h,
          {out + h * a.v_dim, heads * a.v_dim, nullptr});
  }
  RunQueued(Cast(a.uv).layout());
}

void CpuBackend::MlaDecompressed(const MlaArgs& a, const SeqChunk& c) {
  const int64_t heads = a.n_heads, vectors = c.n_rows;
  const int64_t keys = int64_t{c.context} + c.n_rows, expanded_cols = heads * (a.nope + a.v_dim);
  float* latents = ReserveFloats(kMlaLatentRows, kExpandKeys * a.kv_lora);
  ExpandedKeys e{table_, a, c};
  e.expanded = ReserveFloats(kMlaKeysValues, kExpandKeys * expanded_cols);
  e.states = ReserveFloats(kMlaState, heads * e.StateFloats());
  const bool prompt = c.prompt && rounds_prompts_ && a.nope % kBf16KStep == 0;
  const int64_t per_task = prompt ? kPromptQueries : kTaskVectors;
  const int64_t floats = prompt ? PromptSpace::Bytes(e.q_dim(), e.v_stride()) / 4 : e.SpaceFloats();
  const int64_t space = RoundUp(floats, 1024);  // threads do not share pages
  float* spaces = ReserveFloats(kAttentionThread, space * pool_.size());
  const int64_t tiles = (vectors + per_task - 1) / per_task;
  CHECK(heads * tiles < (int64_t{1} << 31));

  for (e.first = 0; e.first < keys; e.first += kExpandKeys) {
    e.n = std::min(kExpandKeys, keys - e.first);
    ForRows(e.n, a.kv_lora, [&](int64_t j) { e.CopyLatent(e.first + j, latents + j * a.kv_lora); });
    Multiply({latents, a.kv_lora, e.n, a.kv_lora}, Cast(a.kv_b), {e.expanded, expanded_cols},
             kAllRows);
    pool_.ForEach(static_cast<int>(heads * tiles), [&](int task, int thread) {
      const int64_t head = task % heads, vec0 = task / heads * per_task;
      const int64_t n_q = std::min(per_task, vectors - vec0);
      float* memory = spaces + thread * space;
      if (prompt) {
        const PromptSpace s(reinterpret_cast<std::byte*>(memory), e.q_dim(), e.v_stride());
        e.AttendPrompt(head, vec0, n_q, s);
      } else {
        e.Attend(head, vec0, n_q, memory);
      }
      if (e.first + e.n == keys) e.Finish(head, vec0, n_q);
    });
  }
}

}  // namespace hadal::cpu
