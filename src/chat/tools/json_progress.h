// Owns: following JSON text as it comes: whether what has come so far can still become one JSON
// value, whether it has, whether a string is open. Must not know what the value means.
// Use: JsonProgress p; for (char c : text) if (!p.Push(c)) ...; p.CompleteAtEnd();
// Memory: one bit per level of nesting, at most kMaxDepth levels. Thread rule: one thread.
#pragma once

#include <bitset>
#include <cstdint>

namespace hadal {

class JsonProgress {
 public:
  static constexpr int kMaxDepth = 256;

  // False: with this character the text is no JSON value, and stays none. White space around the
  // value is accepted.
  bool Push(char c);

  bool started() const { return state_ != State::kValue || depth_ > 0; }
  bool in_string() const { return state_ == State::kString || IsEscape(); }
  // An unescaped control character, which JSON does not allow, would stand here inside a string.
  bool in_plain_string() const { return state_ == State::kString; }
  bool complete() const { return state_ == State::kDone; }
  bool CompleteAtEnd() const;  // a number has no end of its own
  bool is_object() const { return is_object_; }
  bool broken() const { return state_ == State::kBroken; }

 private:
  enum class State : uint8_t {
    kValue,       // a value must come
    kFirstValue,  // after [: a value or ]
    kFirstKey,    // after {: a key or }
    kKey,         // after , in an object
    kColon,
    kAfter,  // a value has ended inside an object or array
    kString,
    kEscape,
    kHex,
    kMinus,  // numbers, by what has come
    kZero,
    kInteger,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
    kWord,  // inside true, false, null
    kDone,
    kBroken,
  };
  bool IsEscape() const { return state_ == State::kEscape || state_ == State::kHex; }
  State Next(char c);
  State BeginValue(char c);
  State AfterValue(char c);
  State InNumber(char c);
  State EndNumber(char c);
  State Open(bool object);
  State Close(bool object);
  State Ended() const { return depth_ == 0 ? State::kDone : State::kAfter; }

  State state_ = State::kValue;
  bool is_object_ = false;  // of the outermost value
  bool string_is_key_ = false;
  uint8_t hex_left_ = 0;
  const char* word_left_ = nullptr;
  int depth_ = 0;
  std::bitset<kMaxDepth> objects_;  // per level: an object, not an array
};

}  // namespace hadal
