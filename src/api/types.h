// Owns: what a caller can ask and what comes back, independent of any HTTP dialect.
// Knows nothing of JSON, tokens' bytes, models or devices. Plain data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"

namespace hadal::api {

enum class Role { kSystem, kUser, kAssistant, kTool, kDeveloper };

// A function that the model may call.
struct Tool {
  std::string name;  // [A-Za-z0-9_-], 1 to 128
  std::optional<std::string> description;
  std::string parameters;  // JSON Schema text of an object; "" = no parameters
  bool strict = false;     // arguments must validate against parameters
  // The function object as the caller wrote it; "" = built from the fields above. Formats that show
  // the model the whole object show this one, so the order of its keys is the caller's.
  std::string source_json = {};
};

struct ToolChoice {
  enum class Mode { kNone, kAuto, kRequired, kNamed };
  Mode mode = Mode::kAuto;
  std::string name;  // kNamed
};

// A call that the model made.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text of an object, as the model wrote it
};

struct Message {
  Role role = Role::kUser;
  std::string content;
  std::optional<std::string> reasoning_content;  // assistant only; accepted and dropped or replayed
  bool prefix = false;                           // last assistant message to be continued
  std::vector<ToolCall> tool_calls = {};         // assistant only
  std::string tool_call_id = {};                 // tool only: the call whose result this is
  // assistant only: the model's own tokens of its reasoning, the end of it included, and of content
  // and calls. A format that writes these into a prompt writes the tokens instead. Not a caller's.
  std::vector<int32_t> reasoning_ids = {}, answer_ids = {};
};

// What an answer must look like, enforced token by token after the reasoning.
struct AnswerFormat {
  enum class Kind { kText, kJsonObject, kJsonSchema, kRegex, kGrammar };
  Kind kind = Kind::kText;
  std::string text = {};  // JSON text of a schema; a pattern (whole answer); GBNF
  bool constrains() const { return kind != Kind::kText; }
};

// How much a model should think, in DeepSeek's words.
enum class Effort { kLow, kHigh, kMax };

// What may be left out of a conversation that does not fit; nothing unless asked for.
struct Truncation {
  enum class Mode { kNone, kMiddle, kFront };  // which whole turns go first
  Mode mode = Mode::kNone;
};
// What was left out.
struct Dropped {
  int64_t messages = 0;
  int64_t tokens = 0;  // of the prompt that would have been
};

// Limits that hold for every dialect; the validator names the field that breaks one.
struct Limits {
  static constexpr int kMaxN = 8;
  static constexpr int kMaxTopLogprobs = 20;
  static constexpr int kMaxStops = 16;
  static constexpr int kMaxStopBytes = 1024;
  static constexpr int kMaxLogitBias = 1024;
  static constexpr int kMaxMessages = 4096;
  static constexpr int kMaxModelNameBytes = 256;
  static constexpr int kMaxTools = 128;
  static constexpr int kMaxToolNameBytes = 128;
  static constexpr int kMaxToolCalls = 128;  // of one message
  static constexpr int kMaxToolCallIdBytes = 256;
  static constexpr int kMaxToolTextBytes = 1 << 20;  // of all tools' texts, and of one call's
  static constexpr int kMaxToolJsonDepth = 64;       // of a schema or of arguments
  static constexpr int kMaxEmbedInputs = 256;
  static constexpr int kMaxFormatBytes = 1 << 20;  // of a schema, pattern or grammar
};

struct Sampling {
  double temperature = 1.0;                            // [0, 2]; 0 = greedy
  double top_p = 1.0;                                  // (0, 1]
  double min_p = 0.0;                                  // [0, 1]
  int32_t top_k = 0;                                   // 0 = off
  double repetition_penalty = 1.0;                     // (0, 10]
  double presence_penalty = 0.0;                       // [-2, 2]
  double frequency_penalty = 0.0;                      // [-2, 2]
  std::vector<std::pair<int32_t, double>> logit_bias;  // token id, [-100, 100]
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  bool logprobs = false;
  int top_logprobs = 0;  // <= 20
};

// Exactly one of the prompt forms is used.
struct ChatPrompt {
  std::vector<Message> messages;
  std::optional<bool> thinking = {};  // unset: the format's default
  bool thinking_is_default = false;   // of the dialect: a model that cannot follow is no error
  // Bounds the reasoning to a share of the answer's tokens; unset: no bound.
  std::optional<Effort> effort = {};
  std::optional<int64_t> max_thinking_tokens = {};  // bounds it in tokens; wins over effort
  std::vector<Tool> tools = {};
  ToolChoice tool_choice = {};
  bool parallel_tool_calls = true;
  Truncation truncation = {};
};
struct TextPrompt {
  std::string text;
};
struct TokenPrompt {
  std::vector<int32_t> ids;
};
// The model writes what stands between the two (fill in the middle).
struct FimPrompt {
  std::string prefix, suffix;
};

// Texts to be embedded; no answer is written.
struct EmbedPrompt {
  std::vector<std::variant<TextPrompt, TokenPrompt>> inputs;
};

struct Request {
  std::string request_id;
  std::string model;
  std::string tenant;  // part of every prefix-cache key; "" = the default tenant
  std::variant<ChatPrompt, TextPrompt, TokenPrompt, FimPrompt, EmbedPrompt> prompt;
  AnswerFormat format = {};
  std::optional<int64_t> max_tokens;  // unset: up to the end of the context
  // Prompt and answer together may have at most so many tokens; unset: the server's context, which
  // is also the most that it can be.
  std::optional<int64_t> context = {};
  int n = 1;
  bool echo = false;
  Sampling sampling;
  std::optional<double> deadline_seconds;
};

enum class FinishReason { kStop, kLength, kCancelled, kError, kToolCalls };

struct TokenLogprob {
  int32_t id = 0;
  std::string bytes;  // may be part of a character
  float logprob = 0;
  std::vector<std::pair<int32_t, float>> top;  // id, logprob; most likely first
  std::vector<std::string> top_bytes;          // same order
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;
  int64_t cached_tokens = 0;  // prompt tokens served from the prefix cache
};

// Events of one request, in order per choice: (Delta | ToolCallDelta)* then Finished; after the
// last choice, Done. Text is whole UTF-8: half a character is held back.
struct Delta {
  int choice = 0;
  std::string content;
  std::string reasoning;
  std::vector<TokenLogprob> logprobs;  // of the tokens whose text is in this delta
  int n_tokens = 0;                    // tokens accounted to this delta
  bool in_reasoning = false;           // of all its text and logprobs: a delta never mixes the two
};
// A piece of one call. A call's pieces come one after the other; the first has its id and name.
struct ToolCallDelta {
  int choice = 0;
  int call = 0;           // numbered from 0 within the choice
  bool first = false;     // of this call
  bool last = false;      // nothing more of this call comes
  bool complete = false;  // last: the arguments make one JSON object
  std::string id, name;   // first
  std::string arguments;  // the next piece of JSON text
  int n_tokens = 0;       // tokens accounted to this delta
};
// Of one input: the mean over its tokens of the residual stream after the last layer, before the
// final norm, scaled to length 1.
struct Embedding {
  int choice = 0;  // the input's index
  std::vector<float> values;
};
struct Finished {
  int choice = 0;
  FinishReason reason = FinishReason::kStop;
  std::optional<std::string> stop = {};  // the stop string that ended the choice
};
struct Done {
  Usage usage;
  std::optional<Dropped> dropped = {};  // set when Truncation left something out
};
struct Failed {
  Error error;
};
using Event = std::variant<Delta, ToolCallDelta, Embedding, Finished, Done, Failed>;

}  // namespace hadal::api
