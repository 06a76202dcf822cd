// Owns: tiles of 64 latents of MLA on their way from the cache to shared memory, where the matrix
// instructions of warpgroups read them, as keys and as values: nine blocks of 64 columns, rows of
// 128 bytes, bf16, in the places that ChunkAt gives. From a cache of FP8 a warpgroup brings them
// while two others use those before. Only attention_latents_wgmma.cu and, for what a block works
// on, attention_latents_tma.cu include this.
#pragma once

#include "kernels/cuda/cache_values.h"
#include "kernels/cuda/latent_problem.h"
#include "kernels/cuda/wgmma.h"

namespace hadal::CUDA_NAMESPACE {

constexpr int kLatentKeys = 64;  // of a tile
constexpr int kLatentBlockBytes = kLatentKeys * 128;
constexpr int kLatentTileBytes = kLatentColumns / 64 * kLatentBlockBytes;
constexpr int kLatentConsumers = 2 * kWarpgroup, kLatentProducers = kWarpgroup;
static_assert(LatentRule({}).step % kLatentKeys == 0);

enum : int { kLatentsReady = 1, kLatentsFree = 3 };  // barriers, of even tiles; the next: of odd

__device__ inline char* LatentChunk(char* tile, int row, int c) {
  return ChunkAt(tile + c / 8 * kLatentBlockBytes, 128, row, c % 8);
}

// What a block works on: keys [begin, end) of a row, whole parts but for the last one.
struct LatentWork {
  int64_t row;
  int visible, stored, per_part, begin, end;
  const int32_t* table;

  __device__ LatentWork(const LatentProblem& p, int64_t of_row, int first_part, int parts)
      : row(of_row) {
    const RowKeys keys = p.index.rows[row];
    visible = keys.visible;
    stored = keys.stored;
    table = p.index.tables + keys.table_at;
    per_part = SplitKeys(LatentRule(p.a), visible);
    begin = first_part * per_part;
    end = min(begin + parts * per_part, visible);
  }
  __device__ int tiles() const { return CeilDiv(end - begin, kLatentKeys); }
  __device__ int KeysOf(int tile) const { return end - begin - tile * kLatentKeys; }  // or more
  __device__ bool BeginsPart(int tile) const { return tile * kLatentKeys % per_part == 0; }
  __device__ bool EndsPart(int tile) const {
    return (tile + 1) * kLatentKeys % per_part == 0 || tile + 1 == tiles();
  }
  __device__ int PartTiles() const { return per_part / kLatentKeys; }
  __device__ int PartOf(int tile) const { return (begin + tile * kLatentKeys) / per_part; }
  __device__ bool OnlyPart() const { return per_part >= visible; }
};

// A warp's keys of tiles.
struct LatentSource {
  const LatentProblem& p;
  const LatentWork& work;
  const int thread, lane;  // of the producers

  __device__ LatentSource(const LatentProblem& problem, const LatentWork& of)
      : p(problem),
        work(of),
        thread(static_cast<int>(threadIdx.x) - kLatentConsumers),
        lane(thread % kWarp) {}
  // Of key `key` of a tile.
  __device__ int Slot(int tile, int key) const {
    return SlotIn(p.index, work.table, {work.begin, work.end, work.end},
                  work.begin + tile * kLatentKeys + key);
  }
  // Keys that the step itself writes are there only after the wait.
  __device__ void AwaitKeys(int tile) const {
    if (work.begin + (tile + 1) * kLatentKeys > work.stored) WaitForInputs();
  }
};

// Rows of a cache of FP8 pass through registers, where they become bf16; a warp has the next
// four rows under way meanwhile.
struct Fp8Latents {
  static constexpr int kTileThreads = kLatentProducers;
  static constexpr int kEach = kLatentKeys / (kLatentProducers / kWarp);  // keys of a warp
  static constexpr int kTogether = 4, kBatches = kEach / kTogether, kAhead = 2;
  static constexpr int kScalesAt = kLatentValues, kKeptAt = kScalesAt + 16;
  static_assert(kBatches % kAhead == 0);

  struct Batch {
    uint2 codes[kTogether][2];  // of columns 8 lane .. and 256 columns on
    uint4 kept;                 // eight columns of row lane / 8
    float scale;                // lane % 4 of row lane / 4 % 4
  };
  const LatentSource from;
  char* const tiles;

  __device__ Fp8Latents(const LatentProblem& p, const LatentWork& work, char* to)
      : from(p, work), tiles(to) {}

  // Row `key` of the warp's, of which lane `key` has the slot; null: zeros.
  __device__ const uint8_t* Row(int slots, int key) const {
    const int at = __shfl_sync(~0u, slots, key);
    return at < 0 ? nullptr : RowOf(from.p.latents, at);
  }
  __device__ void Load(int slots, int first, Batch& to) const {
    const int lane = ComputedHere(from.lane);
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      const uint8_t* row = Row(slots, first + i);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        to.codes[i][half] = {0, 0};
        if (row == nullptr) continue;
        to.codes[i][half] = __ldcg(reinterpret_cast<const uint2*>(row + half * 256 + lane * 8));
      }
    }
    const uint8_t* kept = Row(slots, first + lane / 8);
    to.kept = {0, 0, 0, 0};
    if (kept != nullptr)
      to.kept = __ldcg(reinterpret_cast<const uint4*>(kept + kKeptAt) + lane % 8);
    const uint8_t* scaled = Row(slots, first + lane / 4 % kTogether);
    to.scale = 0;
    if (scaled != nullptr) {
      to.scale = __ldcg(reinterpret_cast<const float*>(scaled + kScalesAt) + lane % 4);
    }
  }
  __device__ void Store(const Batch& of, char* tile, int key) const {
    const int lane = ComputedHere(from.lane);
    const uint32_t factors = CodeFactors(of.scale, of.scale);
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint32_t by = __shfl_sync(~0u, factors, i * 4 + half * 2 + lane / 16);
        *reinterpret_cast<uint4*>(LatentChunk(tile, key + i, half * kWarp + lane)) =
            CodesToBf16(of.codes[i][half], by);
      }
    }
    *reinterpret_cast<uint4*>(LatentChunk(tile, key + lane / 8, 2 * kWarp + lane % 8)) = of.kept;
  }
  __device__ void Run() const {
    const int tiles_here = from.work.tiles(), key0 = from.thread / kWarp * kEach;
    Batch batches[kAhead];
    int slots = from.Slot(0, key0 + from.lane % kEach), next = 0;
    from.AwaitKeys(0);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) Load(slots, i * kTogether, batches[i]);
    for (int tile = 0; tile < tiles_here; ++tile) {
      next = from.Slot(tile + 1, key0 + from.lane % kEach);
      if (tile >= 2) SyncThreads(kLatentsFree + tile % 2, kTileThreads + kLatentConsumers);
      if (tile + 1 < tiles_here) from.AwaitKeys(tile + 1);
#pragma unroll
      for (int i = 0; i < kBatches; ++i) {
        Batch& batch = batches[i % kAhead];
        Store(batch, tiles + tile % 2 * kLatentTileBytes, key0 + i * kTogether);
        if (i + kAhead < kBatches) {
          Load(slots, (i + kAhead) * kTogether, batch);
        } else if (tile + 1 < tiles_here) {
          Load(next, (i + kAhead - kBatches) * kTogether, batch);
        }
      }
      FenceShared();
      ArriveThreads(kLatentsReady + tile % 2, kTileThreads + kWarpgroup);
      slots = next;
    }
  }
};

}  // namespace hadal::CUDA_NAMESPACE
