// Owns: turning what a model writes as arguments into pieces of JSON text. Raw control characters
// in strings, which JSON does not allow and models write, are escaped. Must not know markup.
// Thread rule: one parser, one thread.
#pragma once

#include <string>
#include <string_view>

#include "chat/tools/json_progress.h"

namespace hadal {

// JSON as the model wrote it, up to the end of the value; white space around it is dropped. Text
// that stops being JSON is passed on as it is.
class JsonText {
 public:
  // Appends to `out`; what stands behind the whole value goes to `rest`.
  void Push(char c, std::string& out, std::string& rest);

  bool in_string() const { return progress_.in_string(); }
  bool started() const { return progress_.started() || progress_.broken(); }
  bool broken() const { return progress_.broken(); }
  bool CompleteAtEnd() const { return progress_.CompleteAtEnd(); }
  bool is_object() const { return progress_.is_object(); }

 private:
  JsonProgress progress_;
  std::string tail_;  // broken: white space and ` that may close a fence
};

// One parameter's value. A string's text may be anything; another value that turns out not to be
// JSON is a string too: up to kMostHeld bytes are held back until that is known.
class ParameterValue {
 public:
  static constexpr size_t kMostHeld = 4096;

  void Begin(bool is_string, std::string& out);
  void Push(std::string_view text, std::string& out, std::string& rest);
  // cut: the output ended inside the value, which stays open.
  // False: what was passed on is no JSON value.
  bool End(bool cut, std::string& out);
  bool in_json_string() const { return mode_ != Mode::kString && json_.in_string(); }

 private:
  enum class Mode { kString, kHeld, kJson };
  void BecomeString(std::string& out);

  Mode mode_ = Mode::kString;
  JsonText json_;
  std::string raw_;       // kHeld: as written
  std::string repaired_;  // kHeld: as JSON
  bool has_rest_ = false;
};

}  // namespace hadal
