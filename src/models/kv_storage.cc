#include <atomic>

#include "models/model.h"

namespace hadal {

Result<std::unique_ptr<KvStorage>> KvStorage::Allocate(Backend& backend, const KvLayout& layout,
                                                       int32_t n_blocks, int32_t block_tokens) {
  int32_t tokens = 0;  // slots are int32
  if (n_blocks < 1 || block_tokens < 1 || __builtin_mul_overflow(n_blocks, block_tokens, &tokens)) {
    return Fail(ErrorCode::kInvalidArgument,
                "a cache of {} blocks of {} tokens; both must be positive and their product below "
                "2^31",
                n_blocks, block_tokens);
  }
  static std::atomic<uint64_t> last_id = 0;
  auto kv = std::make_unique<KvStorage>();
  kv->id_ = ++last_id;
  kv->n_blocks_ = n_blocks;
  kv->block_tokens_ = block_tokens;
  const DType dtype = backend.kv_dtype();
  for (const KvStream& stream : layout.streams) {
    CHECK(stream.kind == KvKind::kPerToken && stream.row.width > 0);
    size_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<size_t>(tokens),
                               static_cast<size_t>(stream.row.Bytes(dtype)), &bytes)) {
      return Fail(ErrorCode::kOutOfMemory, "the cache stream {} of layer {} is too large",
                  stream.name, stream.layer);
    }
    HADAL_TRY(auto memory, backend.Allocate(bytes));
    kv->views_.push_back(
        {memory->data(), dtype, stream.row.width, block_tokens, stream.row.group, stream.row.kept});
    kv->memory_.push_back(std::move(memory));
    kv->bytes_ += bytes;
  }
  return kv;
}

}  // namespace hadal
