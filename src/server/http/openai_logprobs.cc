#include "server/http/openai_logprobs.h"

#include <algorithm>
#include <cmath>

#include "tokenizer/utf8.h"

namespace hadal::server {
namespace {

// JSON has no -inf. The value is OpenAI's own for "practically impossible".
double Finite(float logprob) {
  return std::isfinite(logprob) ? std::max(static_cast<double>(logprob), -9999.0) : -9999.0;
}

OrderedJson Bytes(std::string_view bytes) {
  OrderedJson array = OrderedJson::array();
  for (const char c : bytes) array.push_back(static_cast<uint8_t>(c));
  return array;
}

OrderedJson ChatToken(const std::string& bytes, float logprob) {
  return {{"token", bytes}, {"logprob", Finite(logprob)}, {"bytes", Bytes(bytes)}};
}

std::string TextToken(const std::string& bytes) {
  if (IsValidUtf8(bytes)) return bytes;
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text = "bytes:";
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    text += "\\x";
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

}  // namespace

int64_t CountCharacters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; });
}

OrderedJson ChatLogprobs(std::span<const api::TokenLogprob> tokens) {
  OrderedJson array = OrderedJson::array();
  for (const api::TokenLogprob& token : tokens) {
    OrderedJson entry = ChatToken(token.bytes, token.logprob);
    OrderedJson& top = entry["top_logprobs"] = OrderedJson::array();
    for (size_t i = 0; i < token.top.size() && i < token.top_bytes.size(); ++i) {
      top.push_back(ChatToken(token.top_bytes[i], token.top[i].second));
    }
    array.push_back(std::move(entry));
  }
  return array;
}

OrderedJson TextLogprobs::Add(std::span<const api::TokenLogprob> tokens) {
  OrderedJson out = {{"tokens", OrderedJson::array()},
                     {"token_logprobs", OrderedJson::array()},
                     {"top_logprobs", OrderedJson::array()},
                     {"text_offset", OrderedJson::array()}};
  for (const api::TokenLogprob& token : tokens) {
    out["tokens"].push_back(TextToken(token.bytes));
    out["token_logprobs"].push_back(Finite(token.logprob));
    OrderedJson top = OrderedJson::object();
    for (size_t i = 0; i < token.top.size() && i < token.top_bytes.size(); ++i) {
      top[TextToken(token.top_bytes[i])] = Finite(token.top[i].second);
    }
    out["top_logprobs"].push_back(std::move(top));
    out["text_offset"].push_back(offset_);
    offset_ += CountCharacters(token.bytes);
  }
  return out;
}

}  // namespace hadal::server
