// Owns: the error type that crosses folders, and Result<T>.
// Knows nothing of Hadal's domains. Expected failures (bad input, bad file, full queue) are values;
// CHECK (base/check.h) is for our own bugs only.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace hadal {

enum class ErrorCode {
#define HADAL_ERROR(name, wire, http, en, zh) name,
#include "base/error_codes.inc"
#undef HADAL_ERROR
};

struct ErrorInfo {
  std::string_view wire;  // stable code in JSON errors
  int http;               // HTTP status
  std::string_view en;    // cause and fix
  std::string_view zh;
};
const ErrorInfo& InfoOf(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // one sentence: what is wrong, the value, what would be right
  std::string field;    // the request field, config key or tensor concerned; may be empty

  // "message" prefixed by context, for errors that pass through a layer.
  Error In(std::string_view context) const {
    return Error{code, fmt::format("{}: {}", context, message), field};
  }
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

template <class... A>
tl::unexpected<Error> Fail(ErrorCode code, fmt::format_string<A...> format, A&&... args) {
  return tl::make_unexpected(Error{code, fmt::format(format, std::forward<A>(args)...), {}});
}
// Failure that names a field.
template <class... A>
tl::unexpected<Error> FailField(ErrorCode code, std::string field, fmt::format_string<A...> format,
                                A&&... args) {
  return tl::make_unexpected(
      Error{code, fmt::format(format, std::forward<A>(args)...), std::move(field)});
}

}  // namespace hadal

#define HADAL_CONCAT_(a, b) a##b
#define HADAL_CONCAT(a, b) HADAL_CONCAT_(a, b)
// HADAL_TRY(auto x, Expr()): x = value, or return the error.
#define HADAL_TRY(decl, expr)                                                    \
  auto HADAL_CONCAT(try_, __LINE__) = (expr);                                    \
  if (!HADAL_CONCAT(try_, __LINE__))                                             \
    return tl::make_unexpected(std::move(HADAL_CONCAT(try_, __LINE__)).error()); \
  decl = std::move(*HADAL_CONCAT(try_, __LINE__))
// HADAL_OK(Expr()): return the error of a Status.
#define HADAL_OK(expr)                                                    \
  do {                                                                    \
    auto status_ = (expr);                                                \
    if (!status_) return tl::make_unexpected(std::move(status_).error()); \
  } while (false)
