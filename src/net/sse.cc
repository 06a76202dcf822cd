#include "net/sse.h"

#include <utility>

namespace hadal {
namespace {

void AppendDataLines(std::string_view data, std::string* out) {
  for (;;) {
    size_t end = data.find_first_of("\r\n");
    out->append("data: ").append(data.substr(0, end)).push_back('\n');
    if (end == std::string_view::npos) break;
    bool pair = data[end] == '\r' && end + 1 < data.size() && data[end + 1] == '\n';
    data.remove_prefix(end + (pair ? 2 : 1));
  }
  out->push_back('\n');
}

}  // namespace

std::string SseEvent(std::string_view data) {
  std::string out;
  out.reserve(data.size() + 8);
  AppendDataLines(data, &out);
  return out;
}

std::string SseEvent(std::string_view name, std::string_view data) {
  std::string out = "event: ";
  out.reserve(name.size() + data.size() + 16);
  for (char c : name) {
    if (c != '\r' && c != '\n') out.push_back(c);
  }
  out.push_back('\n');
  AppendDataLines(data, &out);
  return out;
}

std::string_view SseKeepAlive() { return ":\n\n"; }

Status SseParser::Feed(std::string_view bytes, std::vector<SseMessage>* events) {
  for (char c : bytes) {
    bool pair = after_cr_ && c == '\n';
    after_cr_ = c == '\r';
    if (pair) continue;
    if (c == '\r' || c == '\n') {
      HADAL_OK(EndLine(events));
      continue;
    }
    if (line_.size() + message_.data.size() + message_.event.size() >= max_event_bytes_) {
      return Fail(ErrorCode::kPayloadTooLarge, "a server-sent event is longer than {} bytes",
                  max_event_bytes_);
    }
    line_.push_back(c);
  }
  return {};
}

Status SseParser::EndLine(std::vector<SseMessage>* events) {
  if (std::exchange(first_line_, false) && line_.starts_with("\xef\xbb\xbf")) line_.erase(0, 3);
  if (!line_.empty()) {
    TakeField();
    line_.clear();
    return {};
  }
  if (has_data_) {
    message_.data.pop_back();  // the LF after the last data line
    events->push_back(std::move(message_));
  }
  message_ = {};
  has_data_ = false;
  return {};
}

void SseParser::TakeField() {
  std::string_view line = line_;
  size_t colon = line.find(':');
  std::string_view name = line.substr(0, colon);
  std::string_view value = colon == line.npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "data") {
    message_.data.append(value).push_back('\n');
    has_data_ = true;
  } else if (name == "event") {
    message_.event = std::string(value);
  }
}

}  // namespace hadal
