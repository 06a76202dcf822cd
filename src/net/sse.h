// Owns: Server-Sent Events, both ways: text -> event bytes, and bytes split anyhow -> events.
// Knows no HTTP and no JSON.
// Thread rule: values.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace hadal {

// "data: ...\n\n". Exactly one event whatever the text: each CR, LF or CR LF in it begins another
// data line, which the receiver joins with LF.
std::string SseEvent(std::string_view data);
// With "event: name\n" before it; line breaks in the name are left out.
std::string SseEvent(std::string_view name, std::string_view data);
// ":\n\n": nothing for the receiver, but the connection is not silent.
std::string_view SseKeepAlive();

struct SseMessage {
  std::string event;  // empty: the default, "message"
  std::string data;
};

class SseParser {
 public:
  explicit SseParser(size_t max_event_bytes) : max_event_bytes_(max_event_bytes) {}

  // Appends the events that these bytes complete. kPayloadTooLarge when one is beyond the limit.
  Status Feed(std::string_view bytes, std::vector<SseMessage>* events);

 private:
  Status EndLine(std::vector<SseMessage>* events);
  void TakeField();

  size_t max_event_bytes_;
  std::string line_;
  SseMessage message_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_line_ = true;
};

}  // namespace hadal
