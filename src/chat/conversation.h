// Owns: checking a list of messages and sorting it into what DeepSeek's formats write: one system
// text, turns, and an answer to be continued. Knows nothing of tokens.
// Thread rule: free function.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "api/types.h"
#include "base/error.h"

namespace hadal {

struct Conversation {
  struct Turn {
    bool from_user = true;
    std::string_view content;  // of the message
  };
  struct Continuation {  // the last message, an assistant's with prefix = true
    std::string_view reasoning;
    std::string_view content;
  };
  // All system messages, wherever they stand, joined by a blank line. Published templates of V3 and
  // R1 disagree (some keep only the last one, silently); V3.1's joins, and so do all formats here.
  std::string system;
  std::vector<Turn> turns;  // views into the messages
  std::optional<Continuation> continuation;
};

// kInvalidArgument names messages or messages[i].field.
Result<Conversation> ReadConversation(std::span<const api::Message> messages);

}  // namespace hadal
