#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace hadal {

std::string StreamingDetokenizer::Push(TokenId id) { return PushBytes(tokenizer_->BytesOf(id)); }

std::string StreamingDetokenizer::PushBytes(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  const size_t undecided = AppendRepairedUtf8(pending_, out);
  pending_.erase(0, pending_.size() - undecided);
  return out;
}

std::string StreamingDetokenizer::Finish() {
  std::string out = RepairUtf8(pending_);
  pending_.clear();
  return out;
}

}  // namespace hadal
