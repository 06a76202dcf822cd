#include "server/http/openai_logprobs.h"

#include <algorithm>
#include <cmath>

namespace hadal::server {
namespace {

// JSON has no -inf. The value is OpenAI's own for "practically impossible".
double Finite(float logprob) {
  return std::isfinite(logprob) ? std::max(static_cast<double>(logprob), -9999.0) : -9999.0;
}

// Length of the well-formed character at the front (RFC 3629, table 3-7 of Unicode), or 0.
size_t CharacterLength(std::string_view s) {
  const auto byte = [&](size_t i) { return i < s.size() ? static_cast<uint8_t>(s[i]) : 0u; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const uint32_t b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xc2 && b <= 0xdf) return tail(1) ? 2 : 0;
  if (b >= 0xe0 && b <= 0xef) {
    const bool overlong = b == 0xe0 && byte(1) < 0xa0, surrogate = b == 0xed && byte(1) > 0x9f;
    return tail(1) && tail(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (b >= 0xf0 && b <= 0xf4) {
    const bool overlong = b == 0xf0 && byte(1) < 0x90, beyond = b == 0xf4 && byte(1) > 0x8f;
    return tail(1) && tail(2) && tail(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

bool IsWholeUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = CharacterLength(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
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
  if (IsWholeUtf8(bytes)) return bytes;
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
