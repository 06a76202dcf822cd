#include "tokenizer/utf8.h"

namespace hadal {
namespace {

struct Lead {
  size_t length;            // of the whole character, 0 when the byte cannot lead
  unsigned char low, high;  // what the second byte may be: rules out overlong forms and surrogates
};

Lead LeadOf(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Char ReadUtf8Char(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const Lead lead = LeadOf(at(0));
  if (lead.length == 0) return {Utf8Char::Kind::kInvalid, 0, 1};
  if (lead.length == 1) return {Utf8Char::Kind::kValid, at(0), 1};
  uint32_t code_point = at(0) & (0x7Fu >> lead.length);
  for (size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) return {Utf8Char::Kind::kIncomplete, 0, i};
    const unsigned char low = i == 1 ? lead.low : 0x80;
    const unsigned char high = i == 1 ? lead.high : 0xBF;
    if (at(i) < low || at(i) > high) return {Utf8Char::Kind::kInvalid, 0, i};
    code_point = (code_point << 6) | (at(i) & 0x3Fu);
  }
  return {Utf8Char::Kind::kValid, code_point, lead.length};
}

bool IsValidUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    if (static_cast<unsigned char>(bytes[0]) < 0x80) {
      bytes.remove_prefix(1);
      continue;
    }
    const Utf8Char c = ReadUtf8Char(bytes);
    if (c.kind != Utf8Char::Kind::kValid) return false;
    bytes.remove_prefix(c.length);
  }
  return true;
}

size_t AppendRepairedUtf8(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    const Utf8Char c = ReadUtf8Char(bytes);
    if (c.kind == Utf8Char::Kind::kIncomplete) return bytes.size();
    out += c.kind == Utf8Char::Kind::kValid ? bytes.substr(0, c.length) : kReplacementCharacter;
    bytes.remove_prefix(c.length);
  }
  return 0;
}

std::string RepairUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  if (AppendRepairedUtf8(bytes, out) > 0) out += kReplacementCharacter;
  return out;
}

void AppendUtf8(uint32_t code_point, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto tail = [&](int shift) { put(0x80 | ((code_point >> shift) & 0x3F)); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    return tail(0);
  }
  if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    tail(6);
    return tail(0);
  }
  put(0xF0 | (code_point >> 18));
  tail(12);
  tail(6);
  tail(0);
}

}  // namespace hadal
