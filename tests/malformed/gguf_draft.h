// Owns: a GGUF file that can be wrong in every field, put together from the format's description.
// Tests only. Thread rule: one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/testing_gguf.h"

namespace hadal::malformed {

struct GgufDraft {
  struct Pair {
    std::string key;
    uint32_t type;
    std::string value;  // bytes after the type
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> ne;  // columns first
    uint32_t type;
    std::string data;
    std::optional<uint64_t> offset = {};  // instead of the right one
    std::optional<uint32_t> rank = {};
  };

  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t alignment = 32;  // of the data as it is laid out
  std::optional<uint64_t> tensor_count, pair_count;
  std::vector<Pair> pairs;
  std::vector<Tensor> tensors;

  // `ends`: the offset behind each field.
  std::string Build(std::vector<size_t>* ends = nullptr) const {
    std::string out;
    const auto put = [&](std::string_view bytes) {
      out += bytes;
      if (ends != nullptr) ends->push_back(out.size());
    };
    put(magic);
    put(LittleEndian(version));
    put(LittleEndian(tensor_count.value_or(tensors.size())));
    put(LittleEndian(pair_count.value_or(pairs.size())));
    for (const Pair& p : pairs) {
      put(LittleEndian<uint64_t>(p.key.size()));
      put(p.key);
      put(LittleEndian(p.type));
      put(p.value);
    }
    uint64_t offset = 0;
    for (const Tensor& t : tensors) {
      put(LittleEndian<uint64_t>(t.name.size()));
      put(t.name);
      put(LittleEndian(t.rank.value_or(static_cast<uint32_t>(t.ne.size()))));
      for (const uint64_t n : t.ne) put(LittleEndian(n));
      put(LittleEndian(t.type));
      put(LittleEndian(t.offset.value_or(offset)));
      offset = Aligned(offset + t.data.size());
    }
    for (const Tensor& t : tensors) {
      out.resize(Aligned(out.size()));
      put(t.data);
    }
    return out;
  }

  GgufDraft& Set(std::string_view key, uint32_t type, std::string value) {
    for (Pair& p : pairs) {
      if (p.key != key) continue;
      p.type = type;
      p.value = std::move(value);
      return *this;
    }
    pairs.push_back({std::string(key), type, std::move(value)});
    return *this;
  }
  GgufDraft& U32(std::string_view key, uint32_t v) { return Set(key, 4, LittleEndian(v)); }
  GgufDraft& Text(std::string_view key, std::string_view v) { return Set(key, 8, GgufText(v)); }

 private:
  uint64_t Aligned(uint64_t n) const { return (n + alignment - 1) / alignment * alignment; }
};

}  // namespace hadal::malformed
