// KvRow: where the values of one token lie in a stream of the cache. F32 and BF16: `width`
// elements. F8_E4M3: a code for each value but the last `kept`, then a float32 scale, a power of
// two, for every `group` codes, then the kept values as BF16; each of the three begins at a
// multiple of 16 bytes, and so does the next row. (576 values, group 128, kept 64: 512 + 16 + 128
// bytes.)
#pragma once

#include <cstdint>

#include "base/check.h"
#include "core/dtype.h"

namespace hadal {

struct KvRow {
  int64_t width = 0;  // values
  int64_t group = 0;
  int64_t kept = 0;

  constexpr int64_t codes() const { return width - kept; }
  constexpr int64_t scales() const { return (codes() + group - 1) / group; }
  constexpr int64_t scales_at() const { return Whole(codes()); }
  constexpr int64_t kept_at() const { return scales_at() + Whole(scales() * 4); }
  int64_t Bytes(DType t) const {
    if (t != DType::kF8E4M3) return width * static_cast<int64_t>(SizeOf(t));
    CHECK(group > 0);
    return kept_at() + Whole(kept * 2);
  }

 private:
  static constexpr int64_t Whole(int64_t bytes) { return (bytes + 15) / 16 * 16; }
};

}  // namespace hadal
