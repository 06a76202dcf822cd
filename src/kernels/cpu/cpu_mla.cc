// Multi-head latent attention in its two forms (DeepSeek-V2 paper, section 2.1).
// Absorbed: q~ = W_UK q_nope meets the cached latents directly; every head shares one key.
// Decompressed: a chunk's whole context is expanded to per-head keys and values, 256 keys at a
// time, and attended as ordinary multi-head attention; cheaper for long chunks.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_backend.h"
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

}  // namespace

// Per query, key and head the absorbed form costs 2 kv_lora + rope multiply-adds, the other
// nope + rope + v; expanding costs kv_lora (nope + v) per key and head, shared by the chunk's rows.
bool CpuBackend::Decompress(const MlaArgs& a, const SeqChunk& chunk) const {
  const MlaForm form = a.form == MlaForm::kAuto ? mla_form_ : a.form;
  if (form != MlaForm::kAuto) return form == MlaForm::kDecompressed;
  const int64_t saved = 2 * a.kv_lora - a.nope - a.v_dim;
  return saved > 0 && chunk.n_rows * saved > int64_t{a.kv_lora} * (a.nope + a.v_dim);
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

  const Activations nope = Convert({q, q_dim, rows * heads, a.nope}, Cast(a.uk).layout());
  Activations head_rows = nope;  // row = token, for one head
  head_rows.ld = nope.ld * heads;
  head_rows.ld_scales = nope.ld_scales * heads;
  for (int64_t h = 0; h < heads; ++h) {
    Activations x = head_rows;
    x.data += h * nope.ld * nope.element_bytes;
    if (x.scales) x.scales += h * nope.ld_scales;
    QueueTile(x, 0, rows, Cast(a.uk), h);
    LastTile().out = absorbed + h * k_dim;
    LastTile().ldo = heads * k_dim;
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

  const Activations o =
      Convert({latent_out, a.kv_lora, rows * heads, a.kv_lora}, Cast(a.uv).layout());
  float* out = a.out.f32() + row0 * heads * a.v_dim;
  for (int64_t h = 0; h < heads; ++h) {
    Activations x = o;
    x.data += h * o.ld * o.element_bytes;
    if (x.scales) x.scales += h * o.ld_scales;
    x.ld = o.ld * heads;
    x.ld_scales = o.ld_scales * heads;
    QueueTile(x, 0, rows, Cast(a.uv), h);
    LastTile().out = out + h * a.v_dim;
    LastTile().ldo = heads * a.v_dim;
  }
  RunQueued(Cast(a.uv).layout());
}

void CpuBackend::MlaDecompressed(const MlaArgs& a, const SeqChunk& c) {
  const int64_t heads = a.n_heads, q_dim = a.nope + a.rope, kv = a.nope + a.v_dim;
  const int64_t keys = int64_t{c.context} + c.n_rows, v_stride = RoundUp(a.v_dim, kPanel);
  const int64_t state = v_stride + 2, vectors = c.n_rows;
  const bool bf16 = a.latent.dtype == DType::kBf16;
  const auto latent_bytes = static_cast<int64_t>(SizeOf(a.latent.dtype));
  float* latents = ReserveFloats(kMlaLatentRows, kExpandKeys * a.kv_lora);
  float* expanded = ReserveFloats(kMlaKeysValues, kExpandKeys * heads * kv);
  // Running softmax of every head and row: [heads][m of rows, l of rows, o of rows].
  float* states = ReserveFloats(kMlaState, heads * vectors * state);
  const int64_t space_floats =
      RoundUp(kTaskVectors * (q_dim + kKeyTile + 1) + kKeyTile * (q_dim + v_stride) + 64, 1024);
  float* spaces = ReserveFloats(kAttentionThread, space_floats * pool_.size());
  const int64_t tiles = (vectors + kTaskVectors - 1) / kTaskVectors;
  CHECK(heads * tiles < (int64_t{1} << 31));

  for (int64_t first = 0; first < keys; first += kExpandKeys) {
    const int64_t n = std::min(kExpandKeys, keys - first);
    const auto* cache = static_cast<const std::byte*>(a.latent.data);
    ForRows(n, a.kv_lora, [&](int64_t j) {
      const std::byte* row = cache + LatentAt(a.latent, c, first + j) * latent_bytes;
      float* to = latents + j * a.kv_lora;
      if (bf16) {
        table_.from_bf16(reinterpret_cast<const uint16_t*>(row), a.kv_lora, to);
      } else {
        std::memcpy(to, row, static_cast<size_t>(a.kv_lora) * sizeof(float));
      }
    });
    const Layout layout = Cast(a.kv_b).layout();
    QueueTile(Convert({latents, a.kv_lora, n, a.kv_lora}, layout), 0, n, Cast(a.kv_b), 0);
    LastTile().out = expanded;
    LastTile().ldo = heads * kv;
    RunQueued(layout);

    pool_.ForEach(static_cast<int>(heads * tiles), [&](int task, int thread) {
      const int64_t h = task % heads, vec0 = task / heads * kTaskVectors;
      const int64_t n_q = std::min(kTaskVectors, vectors - vec0);
      float* q = spaces + thread * space_floats;
      float* scores = q + kTaskVectors * q_dim;
      float* packed_keys = scores + kTaskVectors * kKeyTile;
      float* packed_values = packed_keys + q_dim * kKeyTile;
      auto* seen = reinterpret_cast<int32_t*>(packed_values + v_stride * kKeyTile);
      float* m = states + h * vectors * state + vec0;
      float* l = m + vectors;
      float* o = states + h * vectors * state + 2 * vectors + vec0 * v_stride;
      for (int64_t i = 0; i < n_q; ++i) {
        const float* from = a.q.f32() + ((c.first_row + vec0 + i) * heads + h) * q_dim;
        for (int64_t d = 0; d < q_dim; ++d) q[i * q_dim + d] = from[d] * a.scale;
        if (first == 0) ResetState({m + i, l + i, o + i * v_stride}, v_stride);
      }
      const int64_t visible = std::min(first + n, c.context + vec0 + n_q);
      for (int64_t tile = first; tile < visible; tile += kKeyTile) {
        const int n_keys = static_cast<int>(std::min<int64_t>(kKeyTile, visible - tile));
        const void *nope_rows[kKeyTile], *rope_rows[kKeyTile], *value_rows[kKeyTile];
        for (int64_t j = 0; j < n_keys; ++j) {
          const float* row = expanded + ((tile - first + j) * heads + h) * kv;
          nope_rows[j] = row;
          value_rows[j] = row + a.nope;
          rope_rows[j] = cache + (LatentAt(a.latent, c, tile + j) + a.kv_lora) * latent_bytes;
        }
        table_.pack_keys(nope_rows, false, n_keys, a.nope, packed_keys);
        table_.pack_keys(rope_rows, bf16, n_keys, a.rope, packed_keys + a.nope * kKeyTile);
        table_.pack_values(value_rows, false, n_keys, a.v_dim, v_stride, packed_values);
        for (int64_t i = 0; i < n_q; ++i) {
          const int64_t sees = c.context + vec0 + i + 1 - tile;
          seen[i] = static_cast<int32_t>(std::clamp<int64_t>(sees, 0, kKeyTile));
        }
        table_.attention_tile(
            {q, packed_keys, packed_values, seen, scores, m, l, o, n_q, q_dim, v_stride});
      }
      if (first + n < keys) return;
      for (int64_t i = 0; i < n_q; ++i) {
        float* out = a.out.f32() + ((c.first_row + vec0 + i) * heads + h) * a.v_dim;
        for (int64_t d = 0; d < a.v_dim; ++d) out[d] = o[i * v_stride + d] / l[i];
      }
    });
  }
}

}  // namespace hadal::cpu
