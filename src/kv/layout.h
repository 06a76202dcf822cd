// Owns: what a model's cache consists of, as declared by the model. Pure data; kv/ never interprets
// the bytes. One block holds block_tokens tokens of every stream.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/strong_id.h"
#include "core/kv_row.h"

namespace hadal {

using BlockId = StrongId<struct BlockTag, int32_t>;

enum class KvKind {
  kPerToken
};  // per-group, sliding-window and per-sequence streams come with V3.2 and V4

struct KvStream {
  std::string name;  // "k", "v", "latent"
  int layer = 0;
  KvKind kind = KvKind::kPerToken;
  KvRow row;  // of a token
};

struct KvLayout {
  std::vector<KvStream> streams;

  int64_t BytesPerToken(DType t) const {
    int64_t total = 0;
    for (const KvStream& s : streams) total += s.row.Bytes(t);
    return total;
  }
};

}  // namespace hadal
