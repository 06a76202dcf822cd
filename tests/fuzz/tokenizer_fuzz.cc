// Input: tokenizer.json [NUL tokenizer_config.json [NUL text]] when it begins with '{', else a text
// for a built-in tokenizer. Whatever is accepted must encode any text and give it back.
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "tokenizer/testing/tiny_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace {

using hadal::StreamingDetokenizer;
using hadal::TokenId;
using hadal::Tokenizer;

std::string_view TakeField(std::string_view& rest) {
  const size_t end = rest.find('\0');
  const std::string_view field = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return field;
}

void Check(const Tokenizer& tokenizer, std::string_view text, bool round_trips) {
  for (const auto special : {Tokenizer::Special::kAsText, Tokenizer::Special::kRecognise}) {
    const std::vector<TokenId> ids = tokenizer.Encode(text, special);
    const std::string whole = tokenizer.Decode(ids);
    StreamingDetokenizer stream(tokenizer);
    std::string streamed;
    for (const TokenId id : ids) {
      if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
      streamed += stream.Push(id);
    }
    streamed += stream.Finish();
    if (streamed != whole) std::abort();
    StreamingDetokenizer repair(tokenizer);
    if (round_trips && whole != repair.PushBytes(text) + repair.Finish()) std::abort();
  }
}

const Tokenizer& BuiltIn() {
  static const std::unique_ptr<Tokenizer> tokenizer = [] {
    hadal::testing::TinyTokenizer tiny;
    tiny.merges = {{"a", "b"}, {"ab", "ab"}, {" ", "a"}, {"\xE4", "\xBD"}, {"\n", "\n"}};
    tiny.added = {{.content = "<s>", .special = true},
                  {.content = "<｜User｜>", .normalized = true}};
    auto parsed = Tokenizer::Parse(tiny.Json(), "");
    if (!parsed) std::abort();
    return std::move(*parsed);
  }();
  return *tokenizer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty() || input[0] != '{') {
    Check(BuiltIn(), input, /*round_trips=*/true);
    return 0;
  }
  const std::string_view json = TakeField(input), config = TakeField(input);
  const auto parsed = Tokenizer::Parse(json, config, {.max_vocab = 4096, .max_pattern_bytes = 256});
  if (!parsed) return 0;
  // Normalisers, removed matches and token strings of the file's choice may change the text.
  Check(**parsed, "abab <s>12 你好\n", /*round_trips=*/false);
  Check(**parsed, input, /*round_trips=*/false);
  return 0;
}
