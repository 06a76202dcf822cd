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
  std::vector<Tool> tools = {};
  ToolChoice tool_choice = {};
  bool parallel_tool_calls = true;
};
struct TextPrompt {
  std::string text;
};
struct TokenPrompt {
  std::vector<int32_t> ids;
};

struct Request {
  std::string request_id;
  std::string model;
  std::string tenant;  // part of every prefix-cache key; "" = the default tenant
  std::variant<ChatPrompt, TextPrompt, TokenPrompt> prompt;
  std::optional<int64_t> max_tokens;  // unset: up to the end of the context
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

// Events of one request, in order per choice: Delta* then Finished; after the last choice, Done.
// Text is whole UTF-8: half a character is held back.
struct Delta {
  int choice = 0;
  std::string content;
  std::string reasoning;
  std::vector<TokenLogprob> logprobs;  // of the tokens whose text is in this delta
  int n_tokens = 0;                    // tokens accounted to this delta
  bool in_reasoning = false;           // of all its text and logprobs: a delta never mixes the two
};
struct Finished {
  int choice = 0;
  FinishReason reason = FinishReason::kStop;
};
struct Done {
  Usage usage;
};
struct Failed {
  Error error;
};
using Event = std::variant<Delta, Finished, Done, Failed>;

}  // namespace hadal::api
