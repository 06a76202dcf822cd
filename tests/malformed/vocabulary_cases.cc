// Vocabularies of GGUF files that contradict themselves.
#include <fmt/format.h>

#include "malformed_case.h"
#include "tiny_gguf.h"

namespace hadal::malformed {
namespace {

constexpr uint32_t kI32 = 5, kF32 = 6, kString = 8, kArray = 9;

Case Of(const std::string& name, GgufDraft d, Must must = Must::kBeRefused) {
  return {"gguf vocabulary: " + name, Reader::kTokenizer, must, "x.gguf",
          [d = std::move(d)] { return Files{{"x.gguf", d.Build()}}; }};
}

GgufDraft With(const std::string& key, uint32_t type, std::string value) {
  return TinyDenseGguf().Set("tokenizer.ggml." + key, type, std::move(value));
}

GgufDraft Without(const std::string& key) {
  GgufDraft d = TinyDenseGguf();
  std::erase_if(d.pairs, [&](const auto& p) { return p.key == "tokenizer.ggml." + key; });
  return d;
}

GgufDraft WithToken(size_t index, std::string text) {
  auto tokens = TinyTokens();
  tokens[index] = std::move(text);
  return With("tokens", kArray, TextArray(tokens));
}

std::string Types(uint64_t n, int32_t type) {
  std::string out = LittleEndian(kI32) + LittleEndian(n);
  for (uint64_t i = 0; i < n; ++i) out += LittleEndian(type);
  return out;
}

}  // namespace

Cases VocabularyCases() {
  Cases all;
  for (const char* model : {"llama", "bert", "t5", "rwkv", "none", "", "GPT2"}) {
    all.push_back(Of(fmt::format("model {:?}", model), With("model", kString, GgufText(model))));
  }
  for (const char* pre : {"", "default", "falcon", "gpt-2", "deepseek-v99", "../x"}) {
    all.push_back(Of(fmt::format("pre {:?}", pre), With("pre", kString, GgufText(pre))));
  }
  for (const char* key : {"model", "pre", "tokens", "merges"}) {
    all.push_back(Of(fmt::format("without {}", key), Without(key)));
    all.push_back(Of(fmt::format("{} a number", key), With(key, 4, LittleEndian<uint32_t>(1))));
    all.push_back(Of(fmt::format("{} an array of numbers", key), With(key, kArray, Types(260, 1))));
    all.push_back(Of(fmt::format("{} an empty array", key), With(key, kArray, TextArray({})),
                     key == std::string("merges") ? Must::kNotCrash : Must::kBeRefused));
  }
  all.push_back(Of("an empty token", WithToken(9, "")));
  all.push_back(Of("a token twice", WithToken(9, "a")));
  all.push_back(Of("a byte without a token", WithToken('a', "aa")));
  all.push_back(Of("a token not UTF-8", WithToken(257, "\xff")));
  all.push_back(Of("a token of 5000 bytes", WithToken(257, std::string(5000, 'a'))));
  all.push_back(Of("a control token twice", WithToken(259, "<s>")));
  for (const uint64_t n : {0, 1, 259, 261, 5000}) {
    all.push_back(Of(fmt::format("{} token types", n), With("token_type", kArray, Types(n, 1))));
  }
  for (const int32_t type : {-1, 7, INT32_MAX, INT32_MIN}) {
    all.push_back(
        Of(fmt::format("token type {}", type), With("token_type", kArray, Types(260, type))));
  }
  const std::pair<const char*, std::vector<std::string>> merges[] = {
      {"of an unknown token", {"a b", "nope c"}},
      {"with an unknown result", {"a b", "c c"}},
      {"of one part", {"ab"}},
      {"of three parts", {"a b c"}},
      {"with an empty part", {" ab"}},
      {"that is empty", {"a b", ""}},
      {"not UTF-8", {"a \xff"}},
      {"of two spaces", {"a  b"}},
  };
  for (const auto& [what, list] : merges) {
    all.push_back(Of(fmt::format("a merge {}", what), With("merges", kArray, TextArray(list))));
  }
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    for (const uint32_t id : {260u, 1u << 31, 0xffffffffu}) {
      all.push_back(Of(fmt::format("{} {}", key, id), With(key, 4, LittleEndian(id))));
    }
    all.push_back(Of(fmt::format("{} -1", key), With(key, kI32, LittleEndian(-1))));
    all.push_back(Of(fmt::format("{} a text", key), With(key, kString, GgufText("</s>"))));
    all.push_back(Of(fmt::format("{} a float", key), With(key, kF32, LittleEndian(1.0f))));
  }
  GgufDraft number = TinyDenseGguf(), long_template = TinyDenseGguf();
  number.U32("tokenizer.chat_template", 1);
  long_template.Text("tokenizer.chat_template", std::string(10u << 20, '{'));
  all.push_back(Of("a number as chat template", number));
  all.push_back(Of("a chat template of 10 MB", long_template));
  return all;
}

}  // namespace hadal::malformed
