// Attention of single rows over the paged cache, what answers use: the choice of a kernel by shape
// and cache, and launches whose parts of rows have space.
#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/simt.h"

namespace hadal::CUDA_NAMESPACE {
namespace {

AttentionMemory SpaceOfLaunch(const AttentionShape& shape, const Cache& k, const Cache& v,
                              int64_t most_visible) {
  if (GroupsFit(shape, k, v)) return GroupsSpace(shape, most_visible);
  if (LatentsFit(shape, k, v)) return LatentsSpace(shape, most_visible);
  return PlainSpace(shape, most_visible);
}

void LaunchRows(Stream& s, const AttentionShape& shape, const Queries& q, const Cache& k,
                const Cache& v, const RowIndex& index, const AttentionScratch& scratch,
                float* out) {
  if (GroupsFit(shape, k, v)) return AttendGroups(s, shape, q.data, k, v, index, scratch, out);
  if (LatentsFit(shape, k, v)) return AttendLatents(s, shape, q, k, v, index, scratch, out);
  AttendPlain(s, shape, q, k, v, index, scratch, out);
}

// Of about equally many in every launch, as many as have parts of 160 MiB together. Each launch
// begins and ends with idle multiprocessors, which costs more than parts that leave the L2 (measured
// over latents).
int64_t RowsOfLaunch(const AttentionShape& shape, const Cache& k, const Cache& v,
                     int64_t most_visible) {
  constexpr int64_t kSpace = int64_t{40} << 20, kMostRows = 32768;  // floats
  AttentionShape one = shape;
  one.rows = 1;
  const int64_t fit = kSpace / (SpaceOfLaunch(one, k, v, most_visible).floats + 1);
  const int64_t most = fit < 1 ? 1 : fit > kMostRows ? kMostRows : fit;
  return CeilDiv(shape.rows, CeilDiv(shape.rows, most));
}

}  // namespace

AttentionMemory AttentionSpace(const AttentionShape& shape, const Cache& k, const Cache& v,
                               int64_t most_visible) {
  if (shape.rows == 0) return {};
  AttentionShape part = shape;
  part.rows = RowsOfLaunch(shape, k, v, most_visible);
  return SpaceOfLaunch(part, k, v, most_visible);
}

void AttendRows(Stream& s, const AttentionShape& shape, const Queries& q, const Cache& k,
                const Cache& v, const RowIndex& index, const AttentionScratch& scratch,
                float* out) {
  if (shape.rows == 0) return;
  const int64_t heads = shape.n_kv * shape.group, step = RowsOfLaunch(shape, k, v, index.most);
  AttentionShape part = shape;
  Queries queries = q;
  RowIndex rows = index;
  for (int64_t row = 0; row < shape.rows; row += step) {
    part.rows = step < shape.rows - row ? step : shape.rows - row;
    LaunchRows(s, part, queries, k, v, rows, scratch, out + row * heads * shape.v_dim);
    rows.rows += step;
    queries.data += step * heads * q.ld;
    if (q.rest != nullptr) queries.rest += step * heads * q.rest_ld;
  }
}

}  // namespace hadal::CUDA_NAMESPACE
