// Owns: a string whose every byte is marked trusted or not, and the operations on strings that keep
// the marks. Knows nothing of values, templates or limits.
// Characters are code points of UTF-8; a byte that is not part of one counts as a character.
// Thread rule: values and free functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::jinja {

struct Text {
  std::string bytes;
  std::string marks;  // as long as bytes: '\1' trusted, '\0' not

  size_t size() const { return bytes.size(); }
  void Append(std::string_view more, bool trusted) {
    bytes += more;
    marks.append(more.size(), trusted ? '\1' : '\0');
  }
  void Append(const Text& more) {
    bytes += more.bytes;
    marks += more.marks;
  }
  void Append(const Text& from, size_t at, size_t n) {
    bytes.append(from.bytes, at, n);
    marks.append(from.marks, at, n);
  }
  Text Slice(size_t at, size_t n) const { return {bytes.substr(at, n), marks.substr(at, n)}; }
};

// ---- characters
struct Character {
  char32_t code = 0;
  size_t size = 1;     // bytes
  bool valid = false;  // false: one byte that is no character; code is U+FFFD
};
Character CharacterAt(std::string_view bytes, size_t at);
size_t CountCharacters(std::string_view bytes);
void AppendUtf8(std::string& out, char32_t code);
// Offset of the first byte that is not UTF-8, or npos.
size_t FindInvalidUtf8(std::string_view bytes);
bool IsSpace(char32_t code);      // as Python's str.isspace
bool IsPrintable(char32_t code);  // as Python's str.isprintable
bool IsDigit(char32_t code);
bool IsLetter(char32_t code);

// ---- whole strings
enum class Case { kUpper, kLower, kCapitalize, kTitle };
Text WithCase(const Text& text, Case wanted);  // kTitle: as Python's str.title
// As the filter `title`: words begin after white space, '-' and opening brackets.
Text TitleWords(const Text& text);

struct Ends {
  bool left = true, right = true;
};
// chars: null = white space.
Text Strip(const Text& text, const std::string* chars, Ends ends);

constexpr size_t kNotFound = static_cast<size_t>(-1);
// Linear in the two sizes, whatever they hold.
size_t Find(std::string_view text, std::string_view needle, size_t from = 0);
size_t FindLast(std::string_view text, std::string_view needle);

// separator: null = runs of white space. At most max_splits when >= 0; an empty separator is the
// caller's mistake.
std::vector<Text> Split(const Text& text, const std::string* separator, int64_t max_splits);
std::vector<Text> SplitFromRight(const Text& text, const std::string& separator,
                                 int64_t max_splits);
std::vector<Text> SplitLines(const Text& text);

}  // namespace hadal::jinja
