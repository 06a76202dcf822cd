#include "chat/tools/argument_text.h"

#include "chat/tools/json_text.h"

namespace hadal {
namespace {

constexpr size_t kMostTail = 64;

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

}  // namespace

void JsonText::Push(char c, std::string& out, std::string& rest) {
  if (progress_.broken()) {
    if ((IsSpace(c) || c == '`') && tail_.size() < kMostTail) {
      tail_ += c;
      return;
    }
    out += tail_;
    tail_.clear();
    out += c;
    return;
  }
  if (progress_.complete()) {
    if (!IsSpace(c)) rest += c;
    return;
  }
  if (!progress_.started() && IsSpace(c)) return;
  if (progress_.in_plain_string() && static_cast<unsigned char>(c) < 0x20) {
    AppendJsonEscaped(std::string_view(&c, 1), out);
    return;
  }
  progress_.Push(c);
  if (!progress_.complete() || !IsSpace(c)) out += c;
}

void ParameterValue::Begin(bool is_string, std::string& out) {
  mode_ = is_string ? Mode::kString : Mode::kHeld;
  json_ = {};
  raw_.clear();
  repaired_.clear();
  has_rest_ = false;
  if (is_string) out += '"';
}

void ParameterValue::Push(std::string_view text, std::string& out, std::string& rest) {
  if (mode_ == Mode::kString) return AppendJsonEscaped(text, out);
  for (size_t i = 0; i < text.size(); ++i) {
    if (mode_ == Mode::kString) return AppendJsonEscaped(text.substr(i), out);
    const size_t rest_before = rest.size();
    json_.Push(text[i], mode_ == Mode::kHeld ? repaired_ : out, rest);
    has_rest_ = has_rest_ || rest.size() > rest_before;
    if (mode_ == Mode::kJson) continue;
    raw_ += text[i];
    if (has_rest_ || json_.broken()) {
      rest.resize(rest_before);
      BecomeString(out);
    } else if (raw_.size() >= kMostHeld) {
      out += repaired_;
      mode_ = json_.started() ? Mode::kJson : mode_;
      if (mode_ == Mode::kHeld) BecomeString(out);
    }
  }
}

void ParameterValue::BecomeString(std::string& out) {
  mode_ = Mode::kString;
  has_rest_ = false;
  out += '"';
  AppendJsonEscaped(raw_, out);
}

bool ParameterValue::End(bool cut, std::string& out) {
  if (mode_ == Mode::kHeld) {
    if (cut && raw_.empty()) return false;  // nothing says what it would have been
    if (json_.CompleteAtEnd() || (cut && json_.started())) {
      out += repaired_;
      return json_.CompleteAtEnd();
    }
    BecomeString(out);
  }
  if (mode_ == Mode::kString) {
    if (!cut) out += '"';
    return !cut;
  }
  return json_.CompleteAtEnd() && !has_rest_;
}

}  // namespace hadal
