// Owns: what the terminal commands share: waiting for one answer, texts of files made
// printable, colours, progress.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>

#include "api/types.h"
#include "service/chat_service.h"

namespace hadal::cli {

// What a file says, without its control characters and with invalid UTF-8 repaired: a terminal
// obeys some of them. `newline` stands for each line end.
std::string Printable(std::string_view text, std::string_view newline = "\n");

// One answer, collected while on_delta sees the pieces as they come (on the service's thread).
struct Answer {
  std::string content, reasoning;
  api::FinishReason reason = api::FinishReason::kStop;
  api::Usage usage;
  double first_token_seconds = 0, seconds = 0;
  bool interrupted = false;
};

// kUnsupportedModel: the model has no chat format; says what can be done.
Status CheckChats(const ChatService& service);

// Submits and waits. When *interrupt becomes true the request is cancelled and what came is
// returned.
Result<Answer> Ask(ChatService& service, const api::Request& request,
                   const std::function<void(const api::Delta&)>& on_delta,
                   const std::atomic<bool>* interrupt = nullptr);

// Writes "label 42 %  1.20 GB/s, 3 s left" to stderr: at most 10 times a second on one line of a
// terminal, every 10 seconds a line elsewhere.
std::function<void(size_t done, size_t all)> ProgressBar(std::string label);
// The same for work that is not counted in bytes: done is 0 .. 1, "label 42 %, 3 s left".
std::function<void(double done)> FractionBar(std::string label);

}  // namespace hadal::cli
