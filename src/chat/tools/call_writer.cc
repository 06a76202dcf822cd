#include "chat/tools/call_writer.h"

#include <fmt/format.h>

#include <algorithm>

namespace hadal {

ToolEvent& CallWriter::Join(ToolEvent::Kind kind, int call) {
  if (events_->empty() || events_->back().kind != kind || events_->back().call != call) {
    events_->push_back({.kind = kind, .call = call, .text = {}, .id = {}});
  }
  return events_->back();
}

void CallWriter::Content(std::string_view text) {
  if (after_block_) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    if (text.empty()) return;
    after_block_ = false;
  }
  const size_t last = text.find_last_not_of('\n');
  const size_t body = last == text.npos ? 0 : last + 1;
  if (body > 0) {
    ReleaseNewlines();
    Join(ToolEvent::Kind::kContent, -1).text += text.substr(0, body);
  }
  const auto newlines = static_cast<size_t>(held_newlines_) + text.size() - body;
  held_newlines_ = static_cast<int>(std::min(newlines, static_cast<size_t>(most_held_)));
  const size_t over = newlines - static_cast<size_t>(held_newlines_);
  if (over > 0) Join(ToolEvent::Kind::kContent, -1).text.append(over, '\n');
}

void CallWriter::ReleaseNewlines() {
  if (held_newlines_ == 0) return;
  Join(ToolEvent::Kind::kContent, -1).text.append(static_cast<size_t>(held_newlines_), '\n');
  held_newlines_ = 0;
}

bool CallWriter::BeginCall(std::string_view name) {
  if (outcome_.calls == api::Limits::kMaxToolCalls) return false;
  const int call = outcome_.calls++;
  events_->push_back({.kind = ToolEvent::Kind::kCallBegin,
                      .call = call,
                      .text = std::string(name),
                      .id = fmt::format("call_{:02}_{}", call, id_prefix_)});
  in_call_ = true;
  return true;
}

void CallWriter::Arguments(std::string_view json) {
  if (!json.empty()) Join(ToolEvent::Kind::kArguments, outcome_.calls - 1).text += json;
}

void CallWriter::EndCall(bool complete) {
  events_->push_back({.kind = ToolEvent::Kind::kCallEnd,
                      .call = outcome_.calls - 1,
                      .text = {},
                      .id = {},
                      .complete = complete});
  outcome_.incomplete_calls += complete ? 0 : 1;
  in_call_ = false;
}

void CallWriter::Malformed(std::string_view text) {
  if (text.empty()) return;
  outcome_.malformed = true;
  Join(ToolEvent::Kind::kMalformed, -1).text += text;
}

}  // namespace hadal
