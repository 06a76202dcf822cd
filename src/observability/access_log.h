// Owns: the access log: one JSON object per line and request, appended to a file descriptor.
// Must not know, and has no field for, the text of a prompt or an answer: the input is named by its
// SHA-256 only. Values are JSON-escaped, so a hostile id cannot forge a second line.
//
// Lines go through a bounded queue to a thread of the log's own: a full disk or a pipe that nobody
// reads costs lines, which are counted, and never the time of a caller.
// Thread rule: every method from any thread; lines never mix.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
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
  // Appends to `path`, a regular file, created with mode 0600.
  static Result<std::unique_ptr<AccessLog>> Open(const std::filesystem::path& path);
  // Writes to a descriptor that stays the caller's, for instance 2, and stays open as long as the
  // process.
  explicit AccessLog(int borrowed_fd) : AccessLog(borrowed_fd, /*owned=*/false) {}
  // Writes what is queued, for a second at most.
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  void Write(const AccessRecord& record);  // does not wait
  bool Flush(Duration timeout) const;      // true when every line so far is written or lost
  int64_t lost_lines() const;              // that did not fit the queue or the system did not take

 private:
  struct Writer;
  AccessLog(int fd, bool owned);

  std::shared_ptr<Writer> writer_;  // shared with its thread, which may be stuck in a write
  std::thread thread_;
};

// The line of one record, without '\n'. `unix_ms` is the time of the end of the request.
std::string AccessLine(const AccessRecord& record, int64_t unix_ms);

}  // namespace hadal
