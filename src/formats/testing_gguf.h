// Owns: GGUF bytes put together by hand for tests, right or wrong, from the format's description
// alone: nothing here is shared with the reader or the writer. Tests only. Thread rule: one thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

template <class T>
std::string LittleEndian(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

inline std::string GgufText(std::string_view text) {
  return LittleEndian<uint64_t>(text.size()).append(text);
}

class GgufBytes {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32;  // of the data; says nothing in the file
  std::string data;         // after the padding

  // `value` is the bytes after the type.
  GgufBytes& Pair(std::string_view key, uint32_t type, std::string_view value) {
    pairs_ += GgufText(key) + LittleEndian(type);
    pairs_ += value;
    ++pair_count_;
    return *this;
  }
  GgufBytes& U32(std::string_view key, uint32_t v) { return Pair(key, 4, LittleEndian(v)); }
  GgufBytes& Text(std::string_view key, std::string_view v) { return Pair(key, 8, GgufText(v)); }
  GgufBytes& Array(std::string_view key, uint32_t element, uint64_t n, std::string_view values) {
    return Pair(key, 9, (LittleEndian(element) + LittleEndian(n)).append(values));
  }
  // ne as in the file: columns first.
  GgufBytes& Tensor(std::string_view name, const std::vector<uint64_t>& ne, uint32_t type,
                    uint64_t offset) {
    infos_ += GgufText(name) + LittleEndian(static_cast<uint32_t>(ne.size()));
    for (uint64_t n : ne) infos_ += LittleEndian(n);
    infos_ += LittleEndian(type) + LittleEndian(offset);
    ++tensor_count_;
    return *this;
  }
  GgufBytes& Data(std::string_view bytes) {
    data += bytes;
    return *this;
  }

  std::string Build() const {
    std::string out = "GGUF" + LittleEndian(version) + LittleEndian(tensor_count_) +
                      LittleEndian(pair_count_) + pairs_ + infos_;
    if (tensor_count_ > 0) out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data;
  }

 private:
  uint64_t pair_count_ = 0, tensor_count_ = 0;
  std::string pairs_, infos_;
};

}  // namespace hadal
