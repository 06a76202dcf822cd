#include "jinja/text.h"

#include <string.h>
#include <utf8proc.h>

#include <algorithm>

namespace hadal::jinja {
namespace {

// The character at `at` as Text with another code point, marked as the original is.
void AppendMapped(Text& out, const Text& from, size_t at, const Character& c, char32_t code) {
  if (!c.valid || code == c.code) return out.Append(from, at, c.size);
  const size_t before = out.bytes.size();
  if (c.code == U'ß') {
    out.bytes += "SS";  // the letter of most use whose upper case is longer
  } else {
    AppendUtf8(out.bytes, code);
  }
  out.marks.append(out.bytes.size() - before, from.marks[at]);
}

char32_t Upper(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
char32_t Lower(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}
char32_t Title(char32_t c) {
  return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}
bool IsCased(char32_t c) { return Upper(c) != c || Lower(c) != c; }

bool EndsLine(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool IsAmong(const std::string* chars, std::string_view bytes, size_t at, const Character& c) {
  if (chars == nullptr) return c.valid && IsSpace(c.code);
  return Find(*chars, bytes.substr(at, c.size)) != kNotFound;
}

// Where the character that ends before `end` begins.
size_t PreviousCharacter(std::string_view bytes, size_t end) {
  for (size_t n = 1; n <= 4 && n <= end; ++n) {
    const Character c = CharacterAt(bytes, end - n);
    if (c.valid && c.size == n) return end - n;
  }
  return end - 1;
}

std::vector<Text> SplitAtSpaces(const Text& text, int64_t max_splits) {
  std::vector<Text> parts;
  const std::string_view bytes = text.bytes;
  size_t at = 0;
  const auto skip = [&](bool spaces) {
    while (at < bytes.size()) {
      const Character c = CharacterAt(bytes, at);
      if ((c.valid && IsSpace(c.code)) != spaces) return;
      at += c.size;
    }
  };
  for (skip(true); at < bytes.size(); skip(true)) {
    if (max_splits >= 0 && static_cast<int64_t>(parts.size()) == max_splits) {
      parts.push_back(Strip(text.Slice(at, bytes.size() - at), nullptr, {.left = false}));
      return parts;
    }
    const size_t begin = at;
    skip(false);
    parts.push_back(text.Slice(begin, at - begin));
  }
  return parts;
}

}  // namespace

Character CharacterAt(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return {first, 1, true};
  const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || at + size > bytes.size()) return {0xFFFD, 1, false};
  char32_t code = first & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {0xFFFD, 1, false};
    code = code << 6 | (byte(at + i) & 0x3Fu);
  }
  const char32_t least = size == 4 ? 0x10000 : size == 3 ? 0x800 : 0x80;
  if (code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
    return {0xFFFD, 1, false};
  }
  return {code, size, true};
}

size_t CountCharacters(std::string_view bytes) {
  size_t n = 0;
  for (size_t at = 0; at < bytes.size(); ++n) at += CharacterAt(bytes, at).size;
  return n;
}

void AppendUtf8(std::string& out, char32_t code) {
  utf8proc_uint8_t buffer[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(n));
}

size_t FindInvalidUtf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const Character c = CharacterAt(bytes, at);
    if (!c.valid) return at;
    at += c.size;
  }
  return std::string_view::npos;
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool IsPrintable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
      return false;
    default:
      return true;
  }
}

bool IsDigit(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
}

bool IsLetter(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

Text WithCase(const Text& text, Case wanted) {
  Text out;
  bool inside_word = false;
  for (size_t at = 0; at < text.size();) {
    const Character c = CharacterAt(text.bytes, at);
    char32_t code = Lower(c.code);
    if (wanted == Case::kUpper) code = Upper(c.code);
    if (wanted == Case::kCapitalize && at == 0) code = Title(c.code);
    if (wanted == Case::kTitle && !inside_word) code = Title(c.code);
    inside_word = IsCased(c.code);
    AppendMapped(out, text, at, c, code);
    at += c.size;
  }
  return out;
}

Text TitleWords(const Text& text) {
  Text out;
  bool at_start = true;
  for (size_t at = 0; at < text.size();) {
    const Character c = CharacterAt(text.bytes, at);
    const bool separates = IsSpace(c.code) || c.code == '-' || c.code == '(' || c.code == '{' ||
                           c.code == '[' || c.code == '<';
    AppendMapped(out, text, at, c, at_start ? Upper(c.code) : Lower(c.code));
    at_start = separates;
    at += c.size;
  }
  return out;
}

Text Strip(const Text& text, const std::string* chars, Ends ends) {
  size_t begin = 0, end = text.size();
  while (ends.left && begin < end) {
    const Character c = CharacterAt(text.bytes, begin);
    if (!IsAmong(chars, text.bytes, begin, c)) break;
    begin += c.size;
  }
  while (ends.right && end > begin) {
    const size_t last = PreviousCharacter(text.bytes, end);
    if (!IsAmong(chars, text.bytes, last, CharacterAt(text.bytes, last))) break;
    end = last;
  }
  return text.Slice(begin, end - begin);
}

size_t Find(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return kNotFound;
  if (needle.empty()) return from;
  // glibc's memmem takes linear time; std::string::find does not.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return kNotFound;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t FindLast(std::string_view text, std::string_view needle) {
  const std::string reversed(text.rbegin(), text.rend());
  const std::string backwards(needle.rbegin(), needle.rend());
  const size_t at = Find(reversed, backwards);
  return at == kNotFound ? kNotFound : text.size() - at - needle.size();
}

std::vector<Text> Split(const Text& text, const std::string* separator, int64_t max_splits) {
  if (separator == nullptr) return SplitAtSpaces(text, max_splits);
  std::vector<Text> parts;
  size_t begin = 0;
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t at = Find(text.bytes, *separator, begin);
    if (at == kNotFound) break;
    parts.push_back(text.Slice(begin, at - begin));
    begin = at + separator->size();
  }
  parts.push_back(text.Slice(begin, text.size() - begin));
  return parts;
}

std::vector<Text> SplitFromRight(const Text& text, const std::string& separator,
                                 int64_t max_splits) {
  Text reversed = text;
  std::reverse(reversed.bytes.begin(), reversed.bytes.end());
  std::reverse(reversed.marks.begin(), reversed.marks.end());
  const std::string backwards(separator.rbegin(), separator.rend());
  std::vector<Text> parts = Split(reversed, &backwards, max_splits);
  for (Text& part : parts) {
    std::reverse(part.bytes.begin(), part.bytes.end());
    std::reverse(part.marks.begin(), part.marks.end());
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> SplitLines(const Text& text) {
  std::vector<Text> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Character c = CharacterAt(text.bytes, at);
    at += c.size;
    if (!c.valid || !EndsLine(c.code)) continue;
    lines.push_back(text.Slice(begin, at - c.size - begin));
    if (c.code == '\r' && at < text.size() && text.bytes[at] == '\n') ++at;
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.Slice(begin, text.size() - begin));
  return lines;
}

}  // namespace hadal::jinja
