// Owns: tiles of 32 latents of MLA (DeepSeek's 512 values and 64 rotated ones) on their way from
// the cache to shared memory, where they lie as bf16 in rows of swizzled chunks (ChunkAt): straight
// from a bf16 cache, by way of a ring of rows as they are from one of FP8. Each warp of the block
// brings some of a tile's rows.
// Use: Begin for the keys that are there already and for the others, Start, then for every tile
// Take, in order, and Prepare after its first use. Only .cu files of attention include this.
#pragma once

#include "kernels/cuda/cache_values.h"
#include "kernels/cuda/latent_problem.h"

namespace hadal::CUDA_NAMESPACE {

constexpr int kLatentKeys = 32;  // of a tile
constexpr int kLatentRowBytes = kLatentColumns * 2,
              kLatentTileBytes = kLatentKeys * kLatentRowBytes;

// The keys [begin, end) of a sequence, of which a lane knows the slot of one of each tile's.
struct LatentKeys {
  Cache cache;
  RowIndex index;
  const int32_t* table;
  int begin, end;

  __device__ int tiles() const { return CeilDiv(end - begin, kLatentKeys); }
  __device__ int Slot(const KeyRange& keys, int tile) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    return SlotIn(index, table, keys, begin + tile * kLatentKeys + lane);
  }
  __device__ int Slot(int tile) const { return Slot({begin, end, end}, tile); }
  // Loads the first kTiles tiles, each a group of copies: load(slot, tile).
  template <int kTiles, class F>
  __device__ void Begin(const KeyRange& keys, const F& load) const {
    int slots[kTiles];
#pragma unroll
    for (int i = 0; i < kTiles; ++i) slots[i] = Slot(keys, i);
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      if (i < tiles()) load(slots[i], i);
      CopyAsyncCommit();
    }
  }
};

// kWarps: of the block; kTiles: of the ring.
template <int kWarps, int kTiles>
struct Bf16LatentRing {
  static constexpr int kBytes = kTiles * kLatentTileBytes;
  static constexpr int kEach = kLatentKeys / kWarps;

  const LatentKeys from;
  char* const tiles;
  int next;  // slot

  __device__ Bf16LatentRing(const LatentKeys& keys, char* memory) : from(keys), tiles(memory) {}

  __device__ void Begin(const KeyRange& keys) const {
    from.Begin<kTiles>(keys, [this](int slot, int i) { Load(slot, i); });
  }
  __device__ void Start() { next = from.Slot(kTiles); }
  __device__ void Load(int slot, int i) const {
    constexpr int kChunks = kLatentColumns / 8;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    char* tile = tiles + i % kTiles * kLatentTileBytes;
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int key = static_cast<int>(threadIdx.x) / kWarp * kEach + j;
      const int at = __shfl_sync(~0u, slot, key);
      const uint8_t* row = RowOf(from.cache, at < 0 ? 0 : at);
#pragma unroll
      for (int round = 0; round < CeilDiv(kChunks, kWarp); ++round) {
        const int c = round * kWarp + lane;
        CopyAsync16If(c < kChunks && at != kAsItIs, ChunkAt(tile, kLatentRowBytes, key, c),
                      row + c * 16, at >= 0);
      }
    }
  }
  // Tile i; all threads are done with the one before.
  __device__ char* Take(int i) {
    i == 0 ? CopyAsyncWait<kTiles - 1>() : CopyAsyncWait<kTiles - 2>();
    __syncthreads();
    if (i > 0) {  // the place of the one before takes the one after the last under way
      const int ahead = i - 1 + kTiles;
      if (ahead < from.tiles()) Load(next, ahead);
      CopyAsyncCommit();
      next = from.Slot(ahead + 1);
    }
    return tiles + i % kTiles * kLatentTileBytes;
  }
  __device__ void Prepare(int) const {}
};

// kRows: tiles of rows as they are. With two tiles one is made while the other is used.
template <int kWarps, int kTiles, int kRows>
struct Fp8LatentRing {
  static constexpr int kRowBytes = kLatentValues + 16 + 128;
  static constexpr int kScalesAt = kLatentValues, kKeptAt = kScalesAt + 16;
  static constexpr int kEach = kLatentKeys / kWarps;
  static constexpr int kBytes = kTiles * kLatentTileBytes + kRows * kLatentKeys * kRowBytes;
  static_assert(kTiles == 1 || kTiles == 2);

  const LatentKeys from;
  char *const tiles, *const rows;  // rows: the warp's own, [kRows][kEach]
  int next;

  __device__ Fp8LatentRing(const LatentKeys& keys, char* memory)
      : from(keys),
        tiles(memory),
        rows(memory + kTiles * kLatentTileBytes +
             static_cast<int>(threadIdx.x) / kWarp * (kRows * kEach * kRowBytes)) {}

  __device__ void Begin(const KeyRange& keys) const {
    from.Begin<kRows>(keys, [this](int slot, int i) { Load(slot, i); });
  }
  __device__ void Start() {
    next = from.Slot(kRows);
    if constexpr (kTiles == 2) Convert(0);
  }
  __device__ void Load(int slot, int i) const {
    constexpr int kChunks = kRowBytes / 16;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int at = __shfl_sync(~0u, slot, static_cast<int>(threadIdx.x) / kWarp * kEach + j);
      const uint8_t* row = RowOf(from.cache, at < 0 ? 0 : at);
      char* to = rows + (i % kRows * kEach + j) * kRowBytes;
      CopyAsync16If(at != kAsItIs, to + lane * 16, row + lane * 16, at >= 0);
      const int c = kWarp + lane;
      CopyAsync16If(c < kChunks && at != kAsItIs, to + c * 16, row + c * 16, at >= 0);
    }
  }
  __device__ void Convert(int i) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    char* tile = tiles + i % kTiles * kLatentTileBytes;
    CopyAsyncWait<kRows - 1>();
    __syncwarp();
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int key = static_cast<int>(threadIdx.x) / kWarp * kEach + j;
      const char* row = rows + (i % kRows * kEach + j) * kRowBytes;
      const auto* scales = reinterpret_cast<const float*>(row + kScalesAt);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int c = half * kWarp + lane;
        const float scale = scales[c / 16];
        *reinterpret_cast<uint4*>(ChunkAt(tile, kLatentRowBytes, key, c)) =
            CodesToBf16(*reinterpret_cast<const uint2*>(row + c * 8), CodeFactors(scale, scale));
      }
      if (lane < 8) {
        *reinterpret_cast<uint4*>(ChunkAt(tile, kLatentRowBytes, key, 2 * kWarp + lane)) =
            *reinterpret_cast<const uint4*>(row + kKeptAt + lane * 16);
      }
    }
    __syncwarp();
    if (i + kRows < from.tiles()) Load(next, i + kRows);
    CopyAsyncCommit();
    next = from.Slot(i + kRows + 1);
  }
  __device__ char* Take(int i) {
    if constexpr (kTiles == 1) {
      __syncthreads();
      Convert(i);
    }
    __syncthreads();
    return tiles + i % kTiles * kLatentTileBytes;
  }
  // Makes tile i, when there is one, while others use the one before.
  __device__ void Prepare(int i) {
    if (kTiles == 2 && i < from.tiles()) Convert(i);
  }
};

}  // namespace hadal::CUDA_NAMESPACE
