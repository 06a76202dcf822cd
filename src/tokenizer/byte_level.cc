#include "tokenizer/byte_level.h"

#include "tokenizer/utf8.h"

namespace hadal {
namespace {

// Printable Latin-1 stands for itself; the other 68 bytes are numbered from U+0100 on.
constexpr bool StandsForItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<uint16_t, 256> code_point_of{};
  std::array<int16_t, 512> byte_of{};  // by code point, -1 = none
};

constexpr Alphabet MakeAlphabet() {
  Alphabet a;
  for (auto& b : a.byte_of) b = -1;
  uint16_t next = 256;
  for (int b = 0; b < 256; ++b) {
    a.code_point_of[b] = StandsForItself(b) ? static_cast<uint16_t>(b) : next++;
    a.byte_of[a.code_point_of[b]] = static_cast<int16_t>(b);
  }
  return a;
}
constexpr Alphabet kAlphabet = MakeAlphabet();

}  // namespace

std::string ByteLevelChar(uint8_t byte) {
  std::string out;
  AppendUtf8(kAlphabet.code_point_of[byte], out);
  return out;
}

std::string BytesOfToken(std::string_view token, bool* in_alphabet) {
  std::string bytes;
  bytes.reserve(token.size());
  bool all = true;
  for (size_t i = 0; i < token.size() && all;) {
    const Utf8Char c = ReadUtf8Char(token.substr(i));
    all = c.kind == Utf8Char::Kind::kValid && c.code_point < kAlphabet.byte_of.size() &&
          kAlphabet.byte_of[c.code_point] >= 0;
    if (all) bytes.push_back(static_cast<char>(kAlphabet.byte_of[c.code_point]));
    i += c.length;
  }
  if (in_alphabet != nullptr) *in_alphabet = all;
  return all ? bytes : std::string(token);
}

}  // namespace hadal
