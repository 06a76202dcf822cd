#include "chat/tools/json_progress.h"

#include <cstring>

namespace hadal {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

}  // namespace

bool JsonProgress::Push(char c) {
  state_ = Next(c);
  return state_ != State::kBroken;
}

bool JsonProgress::CompleteAtEnd() const {
  if (state_ == State::kDone) return true;
  return depth_ == 0 && (state_ == State::kZero || state_ == State::kInteger ||
                         state_ == State::kFraction || state_ == State::kExponentDigits);
}

JsonProgress::State JsonProgress::Next(char c) {
  switch (state_) {
    case State::kValue:
      return IsSpace(c) ? state_ : BeginValue(c);
    case State::kFirstValue:
      if (IsSpace(c)) return state_;
      return c == ']' ? Close(false) : BeginValue(c);
    case State::kFirstKey:
    case State::kKey:
      if (IsSpace(c)) return state_;
      if (c == '}' && state_ == State::kFirstKey) return Close(true);
      string_is_key_ = true;
      return c == '"' ? State::kString : State::kBroken;
    case State::kColon:
      if (IsSpace(c)) return state_;
      return c == ':' ? State::kValue : State::kBroken;
    case State::kAfter:
      return AfterValue(c);
    case State::kString:
      if (c == '\\') return State::kEscape;
      if (c == '"') return string_is_key_ ? State::kColon : Ended();
      return static_cast<unsigned char>(c) < 0x20 ? State::kBroken : state_;
    case State::kEscape:
      if (c == 'u') {
        hex_left_ = 4;
        return State::kHex;
      }
      return c != '\0' && std::strchr("\"\\/bfnrt", c) ? State::kString : State::kBroken;
    case State::kHex:
      if (!IsHex(c)) return State::kBroken;
      return --hex_left_ == 0 ? State::kString : State::kHex;
    case State::kWord:
      if (c != *word_left_) return State::kBroken;
      return *++word_left_ == '\0' ? Ended() : State::kWord;
    case State::kDone:
      return IsSpace(c) ? state_ : State::kBroken;
    case State::kBroken:
      return state_;
    default:
      return InNumber(c);
  }
}

JsonProgress::State JsonProgress::BeginValue(char c) {
  string_is_key_ = false;
  switch (c) {
    case '{':
      return Open(true);
    case '[':
      return Open(false);
    case '"':
      return State::kString;
    case '-':
      return State::kMinus;
    case '0':
      return State::kZero;
    case 't':
      word_left_ = "rue";
      return State::kWord;
    case 'f':
      word_left_ = "alse";
      return State::kWord;
    case 'n':
      word_left_ = "ull";
      return State::kWord;
    default:
      return IsDigit(c) ? State::kInteger : State::kBroken;
  }
}

JsonProgress::State JsonProgress::AfterValue(char c) {
  if (IsSpace(c)) return State::kAfter;
  const bool object = objects_[static_cast<size_t>(depth_ - 1)];
  if (c == ',') return object ? State::kKey : State::kValue;
  if (c == '}' || c == ']') return Close(c == '}');
  return State::kBroken;
}

JsonProgress::State JsonProgress::InNumber(char c) {
  const bool digit = IsDigit(c);
  const bool exponent = c == 'e' || c == 'E';
  switch (state_) {
    case State::kMinus:
      if (!digit) return State::kBroken;
      return c == '0' ? State::kZero : State::kInteger;
    case State::kZero:
    case State::kInteger:
      if (digit) return state_ == State::kInteger ? state_ : State::kBroken;
      if (c == '.') return State::kPoint;
      return exponent ? State::kExponent : EndNumber(c);
    case State::kPoint:
      return digit ? State::kFraction : State::kBroken;
    case State::kFraction:
      if (digit) return state_;
      return exponent ? State::kExponent : EndNumber(c);
    case State::kExponent:
      if (c == '+' || c == '-') return State::kExponentSign;
      return digit ? State::kExponentDigits : State::kBroken;
    case State::kExponentSign:
      return digit ? State::kExponentDigits : State::kBroken;
    default:
      return digit ? State::kExponentDigits : EndNumber(c);
  }
}

JsonProgress::State JsonProgress::EndNumber(char c) {
  if (depth_ > 0) return AfterValue(c);
  return IsSpace(c) ? State::kDone : State::kBroken;
}

JsonProgress::State JsonProgress::Open(bool object) {
  if (depth_ == kMaxDepth) return State::kBroken;
  if (depth_ == 0) is_object_ = object;
  objects_[static_cast<size_t>(depth_++)] = object;
  return object ? State::kFirstKey : State::kFirstValue;
}

JsonProgress::State JsonProgress::Close(bool object) {
  if (depth_ == 0 || objects_[static_cast<size_t>(depth_ - 1)] != object) return State::kBroken;
  --depth_;
  return Ended();
}

}  // namespace hadal
