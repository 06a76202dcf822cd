// Owns: tokens -> syntax tree. Knows nothing of how it is run, but looks filters and tests up, so
// that an unknown one is refused here; inside {% if %} only when it is reached, because published
// templates guard with `is defined` what other engines offer.
// Thread rule: free function.
#pragma once

#include <vector>

#include "base/error.h"
#include "jinja/lexer.h"
#include "jinja/syntax.h"
#include "jinja/template.h"

namespace hadal::jinja {

// Errors have the position in `field`.
Result<Body> ParseTokens(const std::vector<Token>& tokens, const Limits& limits);

}  // namespace hadal::jinja
