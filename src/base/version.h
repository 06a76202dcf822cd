// The one version string, the commit and the compiler of this binary.
#pragma once

#include <string_view>

namespace hadal {
std::string_view Version();   // "0.1.0"
std::string_view Commit();    // 12 hex digits, or "unknown" outside a git checkout
std::string_view Compiler();  // "clang 19.1.7"
}  // namespace hadal
