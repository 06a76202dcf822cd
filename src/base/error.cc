#include "base/error.h"

namespace hadal {

const ErrorInfo& InfoOf(ErrorCode code) {
  static constexpr ErrorInfo kTable[] = {
#define HADAL_ERROR(name, wire, http, en, zh) {wire, http, en, zh},
#include "base/error_codes.inc"
#undef HADAL_ERROR
  };
  return kTable[static_cast<size_t>(code)];
}

}  // namespace hadal
