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
#include "chat/chat_format.h"

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
  // All system messages, wherever they stand, joined by a blank line, as V3's and V3.1's published
  // templates do. R1's keeps only the last one, silently; losing a caller's instructions is worse
  // than a prompt in a shape the model has seen from its siblings.
  std::string system;
  std::vector<Turn> turns;  // views into the messages
  std::optional<Continuation> continuation;
};

// For formats without tools. kInvalidArgument names messages, messages[i].field or tools.
Result<Conversation> ReadConversation(std::span<const api::Message> messages,
                                      const RenderOptions& options);

// kInvalidArgument when a request asks a model for reasoning that it does not have.
Status RefuseThinking(const RenderOptions& options);

}  // namespace hadal
