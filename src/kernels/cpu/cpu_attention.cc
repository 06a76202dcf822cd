// Attention over a paged cache, for GQA and for absorbed MLA (one key head shared by all heads).
//
// Keys are walked in tiles of 64 inside segments of 512, both aligned at absolute positions. A
// vector's result is the in-order merge of its segments' results, each computed from scratch, so it
// depends on its own position only: whether segments run in one task or in several is free.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/flash_index.h"
#include "kernels/cpu/softmax_state.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kTaskVectors = 64;                       // query vectors of one task
constexpr int64_t kMostPartialFloats = int64_t{64} << 20;  // 256 MiB

// One thread's working memory for a task.
struct TaskSpace {
  float *q, *scores, *keys, *values, *m, *l, *o, *run_m, *run_l, *run_o;  // keys, values: floats
  float* cached;                                                          // of cached_attention
  int32_t* seen;

  static int64_t Floats(int64_t k_dim, int64_t v_stride) {
    return kTaskVectors * (k_dim + kKeyTile + 2 * v_stride + 5) + kKeyTile * (k_dim + v_stride) +
           CachedSegmentSpace(k_dim, v_stride) / 4 + 16 * 12;
  }
  TaskSpace(float* base, int64_t k_dim, int64_t v_stride) {
    const auto take = [&base](int64_t n) {
      float* p = base;
      base += RoundUp(n, 16);
      return p;
    };
    q = take(kTaskVectors * k_dim);
    scores = take(kTaskVectors * kKeyTile);
    keys = take(k_dim * kKeyTile);
    values = take(v_stride * kKeyTile);
    o = take(kTaskVectors * v_stride);
    run_o = take(kTaskVectors * v_stride);
    m = take(kTaskVectors);
    l = take(kTaskVectors);
    run_m = take(kTaskVectors);
    run_l = take(kTaskVectors);
    cached = take(CachedSegmentSpace(k_dim, v_stride) / 4);
    seen = reinterpret_cast<int32_t*>(take(kTaskVectors));
  }
};

// Keys [first, first + n) of one head as float rows, in `space` where the cache holds bf16. Rows
// beyond repeat the last one.
void FloatKeys(const KernelTable& table, const KvView& view, int64_t column, int64_t dim,
               const int32_t* blocks, int64_t first, int n, float* space, const float** out) {
  const void* rows[kKeyTile];
  RowPointers(view, column, blocks, first, n, rows);
  for (int j = 0; j < kKeyTile; ++j) {
    out[j] = static_cast<const float*>(rows[std::min(j, n - 1)]);
    if (view.dtype != DType::kBf16) continue;
    out[j] = space + std::min(j, n - 1) * dim;
    if (j < n) table.from_bf16(static_cast<const uint16_t*>(rows[j]), dim, space + j * dim);
  }
}

int64_t SegmentsOf(const SeqChunk& c) { return (KeysOf(c) + kSegmentKeys - 1) / kSegmentKeys; }

// Whether exact rows take a cache of bf16 as it lies.
bool InPairs(const KernelTable& table, const FlashArgs& a) {
  return table.cached_attention != nullptr && a.group >= table.cached_least &&
         a.k.dtype == DType::kBf16 && a.v.dtype == DType::kBf16 && a.k_dim % kBf16KStep == 0 &&
         a.v_dim % kBf16KStep == 0;
}

// Query vectors of a task, times the scale, in the form that its kernel takes.
void TakeVectors(const KernelTable& table, const FlashArgs& a, const SeqChunk& c, int64_t kv_head,
                 int64_t vec0, int64_t n, const TaskSpace& s) {
  const auto at = [&](int64_t i) { return a.q + VectorAt(a, c, kv_head, vec0 + i, a.k_dim); };
  if (!InPairs(table, a)) return PackVectors(n, a.k_dim, a.scale, at, s.q);
  const float* rows[kTaskVectors];
  for (int64_t i = 0; i < n; ++i) {
    float* to = s.keys + i * a.k_dim;
    const float* from = at(i);
    for (int64_t d = 0; d < a.k_dim; ++d) to[d] = from[d] * a.scale;
    rows[i] = to;
  }
  auto* q = reinterpret_cast<uint16_t*>(s.q);
  if (table.split_queries != nullptr) return table.split_queries(rows, n, a.k_dim, q);
  const void* keys[kTaskVectors];
  std::copy(rows, rows + n, keys);
  table.pack_prompt_keys(keys, false, static_cast<int>(n), 0, a.k_dim, a.k_dim, q);
}

// A segment of the cache, of which vectors up to vec1 see n_keys.
void RunInPairs(const KernelTable& table, const FlashArgs& a, const SeqChunk& c, int64_t kv_head,
                int64_t vec0, int64_t n, int64_t first, int n_keys, const TaskSpace& s) {
  const void *keys[kSegmentKeys], *values[kSegmentKeys];
  RowPointers(a.k, kv_head * a.k_dim, c.blocks, first, n_keys, keys);
  RowPointers(a.v, kv_head * a.v_dim, c.blocks, first, n_keys, values);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t seen = Visible(a, c, vec0 + i) - first;
    s.seen[i] = static_cast<int32_t>(std::clamp<int64_t>(seen, 0, n_keys));
  }
  table.cached_attention({reinterpret_cast<const uint16_t*>(s.q), keys, values, s.seen, s.cached,
                          s.m, s.l, s.o, n_keys, n, a.k_dim, a.v_dim, RoundUp(a.v_dim, kPanel)});
}

// Runs the tiles of one segment for vectors [vec0, vec1) into s.m, s.l, s.o.
void RunSegment(const KernelTable& table, const FlashArgs& a, const SeqChunk& c, int64_t kv_head,
                int64_t vec0, int64_t vec1, int64_t segment, const TaskSpace& s) {
  const int64_t v_stride = RoundUp(a.v_dim, kPanel), n = vec1 - vec0;
  const int64_t all = Visible(a, c, vec1 - 1);
  const bool latent = a.n_kv_heads == 1 && a.k.data == a.v.data;  // values begin the keys
  const int64_t end = std::min(all, (segment + 1) * kSegmentKeys);
  if (InPairs(table, a)) {
    const int64_t first = segment * kSegmentKeys;
    const auto n_keys = static_cast<int>(std::max<int64_t>(end - first, 0));
    return RunInPairs(table, a, c, kv_head, vec0, n, first, n_keys, s);
  }
  for (int64_t i = 0; i < n; ++i) {
    ResetState({s.m + i, s.l + i, s.o + i * v_stride}, v_stride);
  }
  for (int64_t first = segment * kSegmentKeys; first < end; first += kKeyTile) {
    const int n_keys = static_cast<int>(std::min<int64_t>(kKeyTile, all - first));
    for (int64_t i = 0; i < n; ++i) {
      const int64_t seen = Visible(a, c, vec0 + i) - first;
      s.seen[i] = static_cast<int32_t>(std::clamp<int64_t>(seen, 0, kKeyTile));
    }
    const float *keys[kKeyTile], *values[kKeyTile];
    FloatKeys(table, a.k, kv_head * a.k_dim, a.k_dim, c.blocks, first, n_keys, s.keys, keys);
    if (latent) {
      std::copy(keys, keys + kKeyTile, values);
    } else {
      FloatKeys(table, a.v, kv_head * a.v_dim, a.v_dim, c.blocks, first, n_keys, s.values, values);
    }
    table.attention_tile(
        {s.q, keys, values, s.seen, s.scores, s.m, s.l, s.o, n, a.k_dim, a.v_dim, v_stride});
  }
}

}  // namespace

// Tasks of kTaskVectors vectors each. When that makes too few tasks for the threads (decoding), a
// chunk's tasks are split by segment, with partial results that are merged afterwards.
void CpuBackend::PlanFlash(const FlashArgs& a, std::span<const SeqChunk> chunks) {
  flash_tasks_.clear();
  int64_t whole_tasks = 0;
  for (const SeqChunk& c : chunks) {
    whole_tasks += a.n_kv_heads * ((VectorsOf(a, c) + kTaskVectors - 1) / kTaskVectors);
  }
  const bool split = pool_.size() > 1 && whole_tasks < 4 * pool_.size();
  const int64_t state = RoundUp(a.v_dim, kPanel) + 2;
  int64_t partial_floats = 0;
  for (size_t i = 0; i < chunks.size(); ++i) {
    const SeqChunk& c = chunks[i];
    const int64_t vectors = VectorsOf(a, c), segments = SegmentsOf(c);
    const int64_t need = a.n_kv_heads * vectors * segments * state;
    const bool split_chunk = split && segments > 1 && vectors <= 4 * kTaskVectors &&
                             partial_floats + need <= kMostPartialFloats;
    // The last vectors see the most keys: longest tasks first.
    const int64_t tiles = (vectors + kTaskVectors - 1) / kTaskVectors;
    for (int64_t tile = tiles - 1; tile >= 0; --tile) {
      for (int64_t h = 0; h < a.n_kv_heads; ++h) {
        FlashTask task;
        task.chunk = static_cast<int32_t>(i);
        task.kv_head = static_cast<int32_t>(h);
        task.vec0 = tile * kTaskVectors;
        task.vec1 = std::min(vectors, task.vec0 + kTaskVectors);
        if (!split_chunk) {
          flash_tasks_.push_back(task);
          continue;
        }
        task.n_partials = static_cast<int32_t>(segments);
        for (int64_t g = 0; g < segments; ++g, task.n_partials = 0) {
          task.segment = static_cast<int32_t>(g);
          flash_tasks_.push_back(task);
        }
      }
    }
    if (split_chunk) partial_floats += need;
  }
  float* partial = ReserveFloats(kAttentionPartials, partial_floats);
  for (FlashTask& task : flash_tasks_) {
    if (task.segment < 0) continue;
    task.partial = partial;
    partial += (task.vec1 - task.vec0) * state;
  }
}

void CpuBackend::RunFlashTask(const FlashArgs& a, const SeqChunk& c, const FlashTask& task,
                              float* space) const {
  const int64_t v_stride = RoundUp(a.v_dim, kPanel), n = task.vec1 - task.vec0;
  TaskSpace s(space, a.k_dim, v_stride);
  TakeVectors(table_, a, c, task.kv_head, task.vec0, n, s);
  if (task.segment >= 0) {
    s.o = task.partial;
    s.m = task.partial + n * v_stride;
    s.l = s.m + n;
    RunSegment(table_, a, c, task.kv_head, task.vec0, task.vec1, task.segment, s);
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    ResetState({s.run_m + i, s.run_l + i, s.run_o + i * v_stride}, v_stride);
  }
  const int64_t all = Visible(a, c, task.vec1 - 1);
  for (int64_t g = 0; g * kSegmentKeys < all; ++g) {
    RunSegment(table_, a, c, task.kv_head, task.vec0, task.vec1, g, s);
    for (int64_t i = 0; i < n; ++i) {
      MergeState({s.run_m + i, s.run_l + i, s.run_o + i * v_stride},
                 {s.m + i, s.l + i, s.o + i * v_stride}, v_stride);
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    float* out = a.out + VectorAt(a, c, task.kv_head, task.vec0 + i, a.v_dim);
    for (int64_t d = 0; d < a.v_dim; ++d) out[d] = s.run_o[i * v_stride + d] / s.run_l[i];
  }
}

// Merges each split task's segments into its first one, in order, and writes the result.
void CpuBackend::MergeFlashPartials(const FlashArgs& a, std::span<const SeqChunk> chunks) {
  const int64_t v_stride = RoundUp(a.v_dim, kPanel);
  for (size_t t = 0; t < flash_tasks_.size(); ++t) {
    const FlashTask& first = flash_tasks_[t];
    if (first.n_partials == 0) continue;
    const SeqChunk& c = chunks[static_cast<size_t>(first.chunk)];
    const int64_t n = first.vec1 - first.vec0;
    const auto state = [&](int64_t segment, int64_t i) {
      float* p = flash_tasks_[t + static_cast<size_t>(segment)].partial;
      return SoftmaxState{p + n * v_stride + i, p + n * v_stride + n + i, p + i * v_stride};
    };
    ForRows(n, first.n_partials * v_stride, [&](int64_t i) {
      // Onto the empty state, as the unsplit walk does.
      float m, l, *o = state(0, i).o;
      m = *state(0, i).m;
      l = *state(0, i).l;
      const SoftmaxState run{&m, &l, o};
      for (int64_t g = 1; g < first.n_partials; ++g) MergeState(run, state(g, i), v_stride);
      float* out = a.out + VectorAt(a, c, first.kv_head, first.vec0 + i, a.v_dim);
      for (int64_t d = 0; d < a.v_dim; ++d) out[d] = o[d] / l;
    });
  }
}

// Chunks of prompts come last.
void CpuBackend::Flash(const FlashArgs& a, std::span<const SeqChunk> all) {
  size_t exact = all.size();
  while (a.rounds_prompts && exact > 0 && all[exact - 1].prompt) --exact;
  for (const SeqChunk& chunk : all.subspan(exact)) FlashPrompt(a, chunk);
  const std::span<const SeqChunk> chunks = all.first(exact);
  if (chunks.empty()) return;
  PlanFlash(a, chunks);
  const int64_t floats = TaskSpace::Floats(a.k_dim, RoundUp(a.v_dim, kPanel));
  const int64_t stride = RoundUp(floats, 1024);  // threads do not share pages
  float* spaces = ReserveFloats(kAttentionThread, stride * pool_.size());
  const auto run = [&](int i, int thread) {
    const FlashTask& task = flash_tasks_[static_cast<size_t>(i)];
    RunFlashTask(a, chunks[static_cast<size_t>(task.chunk)], task, spaces + thread * stride);
  };
  pool_.ForEach(static_cast<int>(flash_tasks_.size()), run);
  MergeFlashPartials(a, chunks);
}

void CpuBackend::Attention(const GqaArgs& args, std::span<const SeqChunk> chunks) {
  CHECK(args.n_kv_heads > 0 && args.n_heads % args.n_kv_heads == 0);
  CHECK(args.k.width == int64_t{args.n_kv_heads} * args.head_dim && args.k.width == args.v.width);
  CHECK(args.q.shape.elements() == args.out.shape.elements());
  FlashArgs a;
  a.q = args.q.f32();
  a.k = args.k;
  a.v = args.v;
  a.n_kv_heads = args.n_kv_heads;
  a.group = args.n_heads / args.n_kv_heads;
  a.k_dim = a.v_dim = args.head_dim;
  a.scale = args.scale;
  a.rounds_prompts = rounds_prompts_;
  a.out = args.out.f32();
  Flash(a, chunks);
}

}  // namespace hadal::cpu
