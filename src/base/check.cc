#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace hadal {

void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "hadal: internal check failed: %s (%s:%d). Please report this.\n", what,
               file, line);
  std::abort();
}

}  // namespace hadal
