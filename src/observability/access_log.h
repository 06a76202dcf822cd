// Owns: the access log: one JSON object per line and request, appended to a file descriptor.
// Must not know, and has no field for, the text of a prompt or an answer: the input is named by its
// SHA-256 only. Values are JSON-escaped, so a hostile id cannot forge a second line.
// Thread rule: Write from any thread; lines never mix.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "base/error.h"

namespace hadal {

struct AccessRecord {
  std::string request_id = {};
  std::string method = {};
  std::string route = {};   // "" when none matched: the path is the client's text and stays out
  int status = 0;           // as sent: 200 for a stream that began, whatever ended it
  std::string model = {};   // a served name, or ""
  std::string key_id = {};  // public name of the API key, never the key
  std::string client = {};  // peer address
  std::string input_sha256 = {};  // of the body as received, hex; "" without a body
  std::string error_code = {};    // wire code, "" on success
  std::string finish = {};        // "stop", "length", "cancelled", "error"; "" without generation
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;
  double seconds = 0;                      // from the request's head to its last byte queued
  double time_to_first_token_seconds = 0;  // 0: there was none
  bool stream = false;
};

class AccessLog {
 public:
  // Appends to `path`, created with mode 0600.
  static Result<std::unique_ptr<AccessLog>> Open(const std::filesystem::path& path);
  // Writes to a descriptor that stays the caller's, for instance 2.
  explicit AccessLog(int borrowed_fd) : fd_(borrowed_fd), owned_(false) {}
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  void Write(const AccessRecord& record);
  int64_t lost_lines() const;  // lines that the system did not take (disk full)

 private:
  AccessLog(int fd, bool owned) : fd_(fd), owned_(owned) {}

  int fd_;
  bool owned_;
  mutable std::mutex mutex_;
  int64_t lost_lines_ = 0;
};

// The line of one record, without '\n'. `unix_ms` is the time of the end of the request.
std::string AccessLine(const AccessRecord& record, int64_t unix_ms);

}  // namespace hadal
