// Owns: the engine thread: bounded queue, scheduler, cache, sampling. Tokens in, tokens out.
// Knows nothing of text, chat or HTTP. All sequence and cache state lives on the engine thread.
//
// Events of a request: per choice kToken* (or one kEmbedding) then at most one kFinished, and
// exactly one last event for the whole request: kDone (with usage) or kFailed. After
//   Cancel(request)          only kDone comes, without kFinished of its choices;
//   Cancel(request, choice)  that choice ends with kFinished and reason kStop (its reader has seen
//                            enough, as with a stop string); after the last choice comes kDone;
//   a deadline               only kFailed with kTimeout comes;
//   a failed step            only kFailed comes, for the requests that had rows in it;
//   the GPU was lost         only kFailed with kGpuLost comes, for every request;
//   destroying the engine    only kFailed with kUnavailable comes.
// Each takes effect before the next step is planned; tokens of a step under way may still come.
//
// Thread rule: Submit, Cancel, stats, RetryAfterSeconds, Drain, WaitIdle from any thread, also from
// the sink. The sink is called on the engine thread, at most once per step, and must neither block
// nor throw.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/types.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/strong_id.h"
#include "core/ids.h"
#include "sampling/token_guide.h"

namespace hadal {

class Runner;  // engine/runner.h: the only device work

using RequestId = StrongId<struct RequestTag, uint64_t>;

struct EngineRequest {
  std::vector<TokenId> prompt;  // at least one token
  int64_t max_tokens = 0;       // >= 1, per choice
  int n = 1;                    // choices; each with its own seed derived from sampling.seed
  api::Sampling sampling;       // stop strings are the caller's business; no seed: a random one
  // These and sampling.stop_token_ids end the choice with kStop; the stop token itself is reported.
  std::vector<TokenId> stop_tokens;
  std::string tenant;  // part of every prefix key
  // Instead of an answer: the mean hidden state of the prompt (kEmbedding, then kFinished). n is 1
  // and max_tokens 1. Cached blocks are not used, as they hold no hidden states.
  bool embed = false;
  // Empty, or one for each choice (null: everything may come).
  std::vector<std::shared_ptr<TokenGuide>> guides = {};
  std::optional<TimePoint> deadline;
};

struct EngineEvent {
  enum class Kind { kToken, kEmbedding, kFinished, kDone, kFailed };
  RequestId request{};
  Kind kind = Kind::kToken;
  int choice = 0;
  // kToken
  TokenId token = 0;
  bool is_stop_token = false;
  float logprob = 0;                           // of the model's distribution, when asked for
  std::vector<std::pair<TokenId, float>> top;  // most likely first, when asked for
  std::vector<float> embedding;  // kEmbedding: [hidden], mean over the prompt's tokens
  // kFinished
  api::FinishReason reason = api::FinishReason::kStop;
  // kDone: completion tokens of all choices; cached_tokens as choice 0 found them when it started
  api::Usage usage;
  // kFailed: the whole request
  Error error;
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  // Events of one step, in order. May be moved from.
  virtual void OnStep(std::span<EngineEvent> events) = 0;
};

// Who guesses tokens that one step then checks together. The tokens of an answer stay the same.
enum class Speculation {
  kOff,
  kNgram,  // what followed the same tokens before
  kMtp,    // the model's layer of multi-token prediction
};
std::string_view NameOf(Speculation kind);  // "off" "ngram" "mtp"

struct EngineOptions {
  int32_t max_sequences = 64;     // running at once
  int32_t max_queued = 256;       // waiting requests; more is kQueueFull
  int32_t max_step_tokens = 512;  // rows of one step; at least max_sequences
  int32_t prefill_chunk = 256;    // prompt tokens of one sequence in a step with answers
  int64_t context = 4096;         // prompt + generated, per sequence
  bool prefix_cache = true;
  Speculation speculation = Speculation::kOff;
  // Guessed tokens of one step, of all sequences together; one less for each sequence beside the
  // first that is decoding: where many rows share the weights that are read, a row is not free.
  int32_t max_draft = 8;
  static constexpr int32_t kMostDraft = 64;
};

// A consistent snapshot, taken between steps.
struct EngineStats {
  int64_t running = 0;  // sequences with rows in the steps
  int64_t queued = 0;   // requests that have not started
  int64_t blocks_total = 0, blocks_free = 0, blocks_cached = 0, blocks_held = 0;
  int64_t steps = 0, prompt_tokens = 0, generated_tokens = 0, cached_tokens = 0, preemptions = 0;
  Speculation speculation = Speculation::kOff;
  int64_t drafted_tokens = 0, accepted_tokens = 0;  // guesses checked, and those that were right
  int64_t last_batch_rows = 0, last_batch_sequences = 0;
  double step_seconds_total = 0;
};

class Engine {
 public:
  // The sink must outlive the engine. kBadConfig: options that contradict each other or the runner.
  static Result<std::unique_ptr<Engine>> Start(std::unique_ptr<Runner> runner,
                                               const EngineOptions& options, EventSink& sink);
  virtual ~Engine() = default;  // fails what is left and joins the thread

  // kContextLengthExceeded (both counts), kRequestTooLarge (blocks needed and there are),
  // kQueueFull, kUnavailable while draining, kInvalidArgument (token ids out of range), what
  // failure() says.
  virtual Result<RequestId> Submit(EngineRequest request) = 0;
  // Takes effect within one step; choice < 0 cancels all of them. Unknown ids are ignored.
  virtual void Cancel(RequestId request, int choice = -1) = 0;
  virtual EngineStats stats() const = 0;
  // Why no step can be computed any more (kGpuLost); nothing: they can.
  virtual std::optional<Error> failure() const { return std::nullopt; }
  virtual double RetryAfterSeconds() const = 0;  // >= 1; from the queue and recent throughput
  virtual void Drain() = 0;                      // refuse new requests, let accepted ones finish
  // True when every accepted request has had its last event, false after the timeout.
  virtual bool WaitIdle(std::chrono::milliseconds timeout) = 0;
};

}  // namespace hadal
