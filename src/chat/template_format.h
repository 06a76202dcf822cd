// Owns: a chat format made from a template of jinja/template.h and a tokenizer. Only bytes that the
// template itself wrote can become control tokens; what a caller typed stays text.
// Knows nothing of where the template comes from. Thread rule: immutable; the tokenizer outlives
// it.
#pragma once

#include <memory>
#include <string_view>

#include "chat/chat_format.h"

namespace hadal {

// kBadFile: the source is refused, or it cannot render a plain question.
Result<std::unique_ptr<ChatFormat>> MakeTemplateFormat(std::string_view source,
                                                       const Tokenizer& tokenizer);

}  // namespace hadal
