// Owns: the limits of one render and what is used of them: steps, time, memory of values. Every
// value with memory is made here. Knows nothing of syntax.
// Thread rule: one render, one thread; outlives its values.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.h"
#include "jinja/template.h"
#include "jinja/value.h"

namespace hadal::jinja {

class Budget {
 public:
  Budget(const Limits& limits, const RenderClock& clock);
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  const Limits& limits() const { return limits_; }
  int64_t unix_seconds() const { return clock_.unix_seconds; }

  // kInvalidArgument when steps or time run out.
  Status Spend(int64_t steps);
  Status SpendBytes(size_t bytes) { return Spend(1 + static_cast<int64_t>(bytes / 64)); }

  size_t bytes_left() const;
  // Whether a string of so many bytes may be made.
  Status CheckRoom(size_t string_bytes) const;

  Result<Value> NewString(Text text);
  Result<Value> NewString(std::string_view text, bool trusted);
  // Refuses namespaces, macros, loops and functions as items, and nesting over max_depth.
  Result<Value> NewList(std::vector<Value> items, ListObject::Form form);
  // Later entries replace earlier ones of the same key.
  Result<Value> NewDict(std::vector<DictObject::Entry> entries);
  Status CheckStorable(const Value& value) const;

 private:
  int64_t Milliseconds() const;
  Result<int> DepthOver(int deepest, const Value& value) const;
  Status CheckAlive() const;

  const Limits limits_;
  const RenderClock& clock_;
  const int64_t started_;
  int64_t steps_ = 0;
  int64_t next_look_ = 0;  // steps at which the clock is read again
  Meter meter_;
};

// Collects a string; stops taking bytes when there is no room and says so in Finish.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(budget), room_(budget.bytes_left() / 2) {}

  void Append(std::string_view bytes, bool trusted) {
    if (Fits(bytes.size())) text_.Append(bytes, trusted);
  }
  void Append(const Text& text) {
    if (Fits(text.size())) text_.Append(text);
  }
  void Append(const Text& text, size_t at, size_t n) {
    if (Fits(n)) text_.Append(text, at, n);
  }
  bool full() const { return full_; }
  Status Check() const { return full_ ? budget_.CheckRoom(room_ + 1) : Status(); }
  Result<Value> Finish() {
    HADAL_OK(Check());
    HADAL_OK(budget_.SpendBytes(text_.size()));
    return budget_.NewString(std::move(text_));
  }
  Text& text() { return text_; }

 private:
  bool Fits(size_t n) {
    full_ = full_ || n > room_ - text_.size();
    return !full_;
  }
  Budget& budget_;
  const size_t room_;
  Text text_;
  bool full_ = false;
};

}  // namespace hadal::jinja
