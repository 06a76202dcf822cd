// tokenizer.json files that contradict themselves.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "malformed_case.h"
#include "tokenizer/testing/tiny_tokenizer.h"

namespace hadal::malformed {
namespace {

using hadal::testing::TinyTokenizer;

TinyTokenizer Tiny() {
  TinyTokenizer tiny;
  tiny.merges = {{"a", "b"}, {"ab", "c"}};
  tiny.merges_as_pairs = true;
  tiny.added = {{.content = "<s>"}, {.content = "<t>"}};
  return tiny;
}

Case Of(const std::string& name, std::string json) {
  return {"tokenizer.json " + name, Reader::kTokenizer, Must::kBeRefused, "",
          [json = std::move(json)] { return Files{{"tokenizer.json", json}}; }};
}

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

}  // namespace

Cases TokenizerCases() {
  const std::string right = Tiny().Json();
  Cases all;
  for (const char* id : {"-1", "97.5", "\"97\"", "null", "[97]", "2147483648",
                         "18446744073709551616", "98", "1048577"}) {
    all.push_back(Of(fmt::format("with the id {}", id),
                     Replaced(right, "\"a\":97", fmt::format("\"a\":{}", id))));
  }
  all.push_back(Of("without the byte Z", Replaced(right, "\"Z\":90", "\"ZZ\":90")));
  all.push_back(Of("with a token twice", Replaced(right, "\"b\":98", "\"a\":98")));
  all.push_back(Of("with an empty token", Replaced(right, "\"b\":98", "\"\":98")));
  for (size_t i = 1; i < 12; ++i) {
    const size_t n = right.size() * i / 12;
    all.push_back(Of(fmt::format("truncated at {}", n), right.substr(0, n)));
  }
  for (const char* text : {"", "[]", "null", "1", "{}", "{\"model\":1}", "{\"model\":{}}",
                           "{\"model\":{\"type\":\"Unigram\"}}", "{\"model\":{\"type\":\"BPE\"}}",
                           "{\"model\":{\"type\":\"BPE\",\"vocab\":[]}}",
                           "{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":{}}}"}) {
    all.push_back(Of(fmt::format("of {:?}", text), text));
  }
  const std::pair<std::string, std::vector<std::pair<std::string, std::string>>> merges[] = {
      {"of an unknown token", {{"a", "unknown"}}},
      {"of an unknown result", {{"a", "z"}, {"az", "q"}, {"azqq", "x"}}},
      {"of empty parts", {{"", "a"}}},
      {"with a cycle", {{"a", "b"}, {"ab", "a"}, {"aba", "b"}, {"abab", "ab"}, {"a", "b"}}},
  };
  for (const auto& [what, list] : merges) {
    std::string text;
    for (const auto& [a, b] : list) {
      text += fmt::format("{}[\"{}\",\"{}\"]", text.empty() ? "" : ",", a, b);
    }
    const size_t at = right.find("\"merges\":["), end = right.find("]]", at);
    EXPECT_NE(end, std::string::npos);
    all.push_back(Of("with a merge " + what,
                     right.substr(0, at) + "\"merges\":[" + text + right.substr(end + 1)));
  }
  for (const int depth : {200, 10'000, 1'000'000}) {
    all.push_back(Of(fmt::format("nested {} deep", depth),
                     "{\"model\":" + std::string(static_cast<size_t>(depth), '[')));
  }
  return all;
}

}  // namespace hadal::malformed
