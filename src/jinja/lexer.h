// Owns: the source of a template <-> tokens: delimiters, white-space control, literals.
// trim_blocks and lstrip_blocks are on and a newline that ends the source is dropped, as the
// published templates expect. Knows nothing of grammar.
// Thread rule: free function.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace hadal::jinja {

struct Position {
  uint32_t line = 1, column = 1;  // columns count characters
};
std::string ToString(Position position);  // "line 3, column 5"

template <class... A>
tl::unexpected<Error> FailAt(Position position, fmt::format_string<A...> format, A&&... args) {
  return tl::make_unexpected(Error{
      ErrorCode::kBadFile, fmt::format(format, std::forward<A>(args)...), ToString(position)});
}

struct Token {
  enum class Kind : uint8_t {
    kText,        // outside of all delimiters
    kBlockBegin,  // {%
    kBlockEnd,    // %}
    kPrintBegin,  // {{
    kPrintEnd,    // }}
    kName,
    kString,    // text: without quotes, escapes resolved
    kInteger,   // text: digits
    kFloat,     // text: as written
    kOperator,  // text: the operator
    kEnd,
  };
  Kind kind = Kind::kEnd;
  Position position;
  std::string text;

  bool Is(std::string_view op) const { return kind == Kind::kOperator && text == op; }
  bool IsName(std::string_view name) const { return kind == Kind::kName && text == name; }
};

// Always ends with kEnd. Errors have the position in `field`.
Result<std::vector<Token>> Tokenise(std::string_view source);

}  // namespace hadal::jinja
