#include "base/version.h"

namespace hadal {

std::string_view Version() { return HADAL_VERSION; }
std::string_view Commit() {
  return
#include "commit.inc"
      ;
}
std::string_view Compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace hadal
