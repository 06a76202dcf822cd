// Owns: what the products of few rows have in common, whatever the weights: which matrix and rows a
// block of threads has, how k is shared by its warps, and how their sums become the output.
// A block computes 16 columns of the output for up to kColumns rows at a time ("columns" of the
// matrix instruction, whose rows are those of the weights); its warps take turns along k.
// Only .cu files include this.
#pragma once

#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {

constexpr int kProductRows = 16;  // of weights, in a block
constexpr int kMostWarps = 8;

// Warps of a block: of `steps` steps of k as many to each as can be. A function of k alone, for it
// fixes the order of a row's sums.
inline int WarpsOf(int64_t steps) {
  const int64_t most = steps < kMostWarps ? steps : kMostWarps;
  int64_t best = most, best_turns = CeilDiv(steps, best);
  for (int64_t warps = most; warps >= CeilDiv<int64_t>(most, 2); --warps) {
    const int64_t turns = CeilDiv(steps, warps);
    if (steps * 20 >= warps * turns * 19) return static_cast<int>(warps);
    if (steps * best * best_turns > steps * warps * turns) {
      best = warps;
      best_turns = turns;
    }
  }
  return static_cast<int>(best);
}

// Rows that meet one matrix.
struct RowSet {
  int matrix = 0, count = 0;
  const int32_t* rows = nullptr;  // else
  int first = 0, step = 1;

  __device__ int operator[](int i) const { return rows != nullptr ? rows[i] : first + i * step; }
};

// Those of part x of a grid; see RowParts.
__device__ inline RowSet RowsOf(const RowMap& map, int rows, int columns, int x) {
  if (map.order.rows != nullptr) {
    const int first = map.order.first[x];
    return {map.order.matrix[x], map.order.first[x + 1] - first, map.order.rows + first};
  }
  if (map.matrix != nullptr) return {map.matrix[x], 1, nullptr, x, 1};
  const int step = map.modulo > 0 ? static_cast<int>(map.modulo) : 1, matrix = x % step;
  const int done = x / step * columns, left = CeilDiv(rows - matrix, step) - done;
  return {matrix, left < columns ? left : columns, nullptr, matrix + done * step, step};
}
inline int64_t RowParts(const RowMap& map, int64_t rows, int columns) {
  if (map.order.rows != nullptr) return map.order.groups;
  if (map.matrix != nullptr) return rows;
  if (map.modulo == 0) return CeilDiv<int64_t>(rows, columns);
  return map.modulo * CeilDiv(CeilDiv(rows, map.modulo), int64_t{columns});
}
// Rows at a time that suit the product: 1, 8 or 16.
inline int ColumnsFor(const RowMap& map, int64_t rows) {
  if (map.order.rows != nullptr) return 8;
  if (map.matrix != nullptr) return 1;
  const int64_t of_matrix = map.modulo > 0 ? CeilDiv(rows, map.modulo) : rows;
  return of_matrix == 1 ? 1 : of_matrix <= 8 ? 8 : 16;
}

// Which product a block has, and which of its parts, each `in_block` tiles of 16 rows. Parts of
// rows in x, so that those which read the same weights run together; tiles in y, of which there are
// at most 65,535; those of a product with a row of its own in both.
struct ProductTile {
  int product, tile;
};
__device__ __host__ inline int ProductTiles(const RowProduct& p, int in_block) {
  return static_cast<int>(CeilDiv<int64_t>(p.w.rows, kProductRows * in_block));
}
__device__ __host__ inline int PartsInY(const RowProduct& p, int in_block, int parts_in_x) {
  const int tiles = ProductTiles(p, in_block);
  return p.HasOwnRow() ? CeilDiv(tiles, parts_in_x) : tiles;
}
// kOwnRows: a product may have a row of its own; what does not ask takes fewer registers.
template <bool kOwnRows>
__device__ inline ProductTile ProductOf(const RowProducts& products, int in_block) {
  const auto columns = static_cast<int>(gridDim.x);
  const auto parts_of = [&](const RowProduct& p) {
    return kOwnRows ? PartsInY(p, in_block, columns) : ProductTiles(p, in_block);
  };
  int i = 0, y = static_cast<int>(blockIdx.y);
  for (; i + 1 < products.count; ++i) {
    const int parts = parts_of(products.of[i]);
    if (y < parts) break;
    y -= parts;
  }
  if (!kOwnRows || !products.of[i].HasOwnRow()) return {i, y};
  return {i, y * columns + static_cast<int>(blockIdx.x)};
}
inline dim3 ProductGrid(const RowProducts& products, const RowMap& map, int64_t rows, int columns,
                        int in_block) {
  const int64_t parts = RowParts(map, rows, columns);
  int64_t tiles = 0;
  for (int i = 0; i < products.count; ++i) {
    tiles += PartsInY(products.of[i], in_block, static_cast<int>(parts));
  }
  return dim3(static_cast<unsigned>(parts), static_cast<unsigned>(tiles));
}

constexpr int TilesOfColumns(int columns) { return columns <= 8 ? 1 : columns / 8; }
// Of shared memory: the warps' sums, and a ring of `stages` stages for each warp, through which
// cp.async brings weights: many bytes under way and no register that waits for them.
__device__ __host__ constexpr size_t SumBytes(int columns, int tiles, int warps) {
  return sizeof(float) * kProductRows * static_cast<size_t>(columns * tiles * warps);
}
// Three blocks of a multiprocessor have room for their rings.
constexpr int StagesFor(int stage_bytes) {
  return stage_bytes > 3072 ? 2 : stage_bytes > 1536 ? 3 : 4;
}
// Blocks of a multiprocessor that have room for their registers; x of `parts` parts.
constexpr int BlocksFor(int columns, int parts) { return columns == 1 && parts == 1 ? 3 : 2; }

// Adds the sums of the first `warps` warps, which are in the fragments of the matrix instruction,
// in their order, at the begin of shared memory. `first` is the first of `set`'s rows that were
// computed. Gated: the first eight rows of a tile gate the other eight.
template <int kColumns, int kTiles>
__device__ void StoreSums(const float (&sums)[kTiles][TilesOfColumns(kColumns)][4],
                          const RowProducts& products, const ProductTile& at, const RowSet& set,
                          int first, int warps) {
  constexpr int kRows = kProductRows * kTiles, kHalf = kProductRows / 2;
  auto* shared = reinterpret_cast<float*>(SharedMemory());
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
  float* mine = shared + thread / kWarp * kRows * kColumns;
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < TilesOfColumns(kColumns); ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = n * 8 + lane % 4 * 2 + i % 2;
        const int row = m * kProductRows + lane / 4 + i / 2 * kHalf;
        if (column < kColumns) mine[column * kRows + row] = sums[m][n][i];
      }
    }
  }
  __syncthreads();
  const auto total = [&](int i) {
    float sum = shared[i];
    for (int warp = 1; warp < warps; ++warp) sum += shared[warp * kRows * kColumns + i];
    return sum;
  };
  const Output& out = products.of[at.product].out;
  const int w_rows = static_cast<int>(products.of[at.product].w.rows);
  const int per_row = products.gated ? kRows / 2 : kRows;
  const int limit = products.gated ? w_rows / 2 : w_rows;
  for (int i = thread; i < per_row * kColumns; i += static_cast<int>(blockDim.x)) {
    const int column = i / per_row, in_row = i % per_row, n = at.tile * per_row + in_row;
    if (first + column >= set.count || n >= limit) continue;
    float* to = out.data + set[first + column] * out.ld + n;
    if (products.gated) {
      const int of = column * kRows + in_row / kHalf * kProductRows + in_row % kHalf;
      *to = Gate(total(of), total(of + kHalf));
    } else {
      const float sum = total(i);
      *to = out.bias == nullptr ? sum : sum + out.bias[n];
    }
  }
}

}  // namespace hadal::CUDA_NAMESPACE
