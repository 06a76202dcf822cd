// Owns: text in, events out. A front end (HTTP, gRPC, terminal) sees only this; whether the model
// is local or elsewhere it cannot tell. Thread rule: every method from any thread. Callbacks of one
// request come one at a time, in order, on a thread of the service; they must not block for long.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/types.h"
#include "base/error.h"

namespace hadal {

struct ModelCard {
  std::string name;  // what callers write into "model"
  std::string architecture;
  int64_t context = 0;
  int64_t created = 0;           // unix seconds
  bool chat = false;             // a chat format was resolved
  std::string chat_format = {};  // its name
  bool tools = false;            // the chat format can call functions
  bool thinking = false;         // the chat format has reasoning
  bool fim = false;              // the vocabulary has fill-in-the-middle tokens
  int64_t parameters = 0;
  std::string weights = {};  // how they are stored: "fp8", "q4_k_m", ...
};

// What the model would be given for a request: the pieces of its prompt and their ids.
struct PromptView {
  struct Piece {
    std::string text;                // of a control token: its name
    std::optional<int32_t> control;  // a control token
  };
  std::vector<Piece> pieces;
  std::vector<int32_t> ids;
  int64_t max_tokens = 0;               // that the answer may have
  std::optional<api::Dropped> dropped;  // by the request's truncation
};

// Plain numbers for /metrics and /health.
struct ServiceStats {
  int64_t running = 0, queued = 0;
  int64_t blocks_total = 0, blocks_free = 0, blocks_cached = 0, blocks_held = 0;
  int64_t steps = 0, prompt_tokens = 0, generated_tokens = 0, cached_tokens = 0, preemptions = 0;
  int64_t last_batch_rows = 0, last_batch_sequences = 0;
  std::string_view speculation = "off";  // who guesses tokens
  int64_t drafted_tokens = 0, accepted_tokens = 0;
  double step_seconds_total = 0;
  int64_t constraints = 0, constraint_bytes = 0;  // kept: compiled formats of answers
  int64_t constraints_compiled = 0, constraint_hits = 0;
  int64_t replayed_answers = 0;  // with tool calls, found again in a later request
};

class ChatService {
 public:
  using OnEvent = std::function<void(api::Event)>;
  // Destroying a session cancels what is left of the request; no event comes after that returns.
  class Session {
   public:
    virtual ~Session() = default;
    virtual int64_t prompt_tokens() const = 0;
    // Fields of the request that are followed less strictly than they say: a tool's schema that no
    // constraint can enforce.
    virtual std::vector<std::string> not_enforced() const { return {}; }
  };

  virtual ~ChatService() = default;
  virtual std::vector<ModelCard> models() const = 0;
  // Renders, tokenises and submits (blocking, CPU work proportional to the prompt: call it from a
  // worker, not from an event loop). Errors name the field. After success events follow until
  // api::Done or api::Failed.
  virtual Result<std::unique_ptr<Session>> Submit(const api::Request& request,
                                                  OnEvent on_event) = 0;
  // What Submit would hand to the model; errors as Submit's.
  virtual Result<PromptView> Render(const api::Request& request) = 0;
  // Ids of a text that stays text. kNotFound names model, kInvalidArgument the ids.
  virtual Result<std::vector<int32_t>> Tokenize(std::string_view model,
                                                std::string_view text) const = 0;
  virtual Result<std::string> Detokenize(std::string_view model,
                                         std::span<const int32_t> ids) const = 0;
  virtual ServiceStats stats() const = 0;
  // Why no request can be answered any more; nothing: they can. Submit fails with it.
  virtual std::optional<Error> failure() const { return std::nullopt; }
  virtual double RetryAfterSeconds() const = 0;
  virtual void Drain() = 0;  // refuse new requests, let running ones finish
  virtual bool WaitIdle(std::chrono::milliseconds timeout) = 0;
};

}  // namespace hadal
