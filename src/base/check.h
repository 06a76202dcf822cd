// CHECK(condition): our own invariants. Never reachable from outside input. Active in every build.
#pragma once

namespace hadal {
[[noreturn]] void CheckFailed(const char* file, int line, const char* what);
}

#define CHECK(cond)                                    \
  do {                                                 \
    if (!(cond)) [[unlikely]]                          \
      ::hadal::CheckFailed(__FILE__, __LINE__, #cond); \
  } while (false)
