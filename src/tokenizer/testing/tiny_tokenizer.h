// Owns: building the text of a small tokenizer.json for tests: 256 byte tokens (id = byte), one
// token per merge, then the added tokens in order. Included by tests only.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/byte_level.h"

namespace hadal::testing {

inline std::string JsonString(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// Bytes as the file writes them: " a" becomes "Ġa".
inline std::string InAlphabet(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += ByteLevelChar(static_cast<uint8_t>(c));
  return out;
}

struct TinyTokenizer {
  struct Added {
    std::string content;
    bool special = false;
    bool normalized = false;
    bool lstrip = false;
    bool rstrip = false;
    bool single_word = false;
  };
  std::vector<std::pair<std::string, std::string>> merges;  // raw bytes, by rank
  std::vector<Added> added;
  std::string normalizer = "null";
  // The words of Qwen2.
  std::string pattern =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  std::string pre_tokenizer;  // overrides the pattern
  std::string post_processor = "null";
  bool ignore_merges = false;
  bool merges_as_pairs = false;
  std::vector<std::string> words;  // further vocabulary that no merge makes; raw bytes

  int first_merge_id() const { return 256; }
  int first_word_id() const { return 256 + static_cast<int>(merges.size()); }
  int first_added_id() const { return first_word_id() + static_cast<int>(words.size()); }

  std::string Json() const {
    std::string vocab, merge_list, added_list;
    for (int byte = 0; byte < 256; ++byte) {
      vocab += fmt::format("{}:{},", JsonString(ByteLevelChar(static_cast<uint8_t>(byte))), byte);
    }
    int id = 256;
    for (const auto& [a, b] : merges) {
      vocab += fmt::format("{}:{},", JsonString(InAlphabet(a + b)), id++);
      const std::string left = InAlphabet(a), right = InAlphabet(b);
      merge_list += merges_as_pairs ? fmt::format("[{},{}],", JsonString(left), JsonString(right))
                                    : JsonString(left + " " + right) + ",";
    }
    for (const std::string& word : words) {
      vocab += fmt::format("{}:{},", JsonString(InAlphabet(word)), id++);
    }
    for (const Added& t : added) {
      added_list += fmt::format(
          R"({{"id":{},"content":{},"special":{},"normalized":{},"lstrip":{},"rstrip":{},"single_word":{}}},)",
          id++, JsonString(t.content), t.special, t.normalized, t.lstrip, t.rstrip, t.single_word);
    }
    for (std::string* list : {&vocab, &merge_list, &added_list}) {
      if (!list->empty()) list->pop_back();
    }
    const std::string pre =
        !pre_tokenizer.empty()
            ? pre_tokenizer
            : fmt::format(
                  R"({{"type":"Sequence","pretokenizers":[{{"type":"Split","pattern":{{"Regex":{}}},"behavior":"Isolated","invert":false}},{{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}}]}})",
                  JsonString(pattern));
    return fmt::format(
        R"({{"version":"1.0","added_tokens":[{}],"normalizer":{},"pre_tokenizer":{},"post_processor":{},"decoder":{{"type":"ByteLevel"}},"model":{{"type":"BPE","ignore_merges":{},"vocab":{{{}}},"merges":[{}]}}}})",
        added_list, normalizer, pre, post_processor, ignore_merges, vocab, merge_list);
  }
};

}  // namespace hadal::testing
