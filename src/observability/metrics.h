// Owns: the counters and histograms of one server, and their Prometheus text.
// Knows nothing of engines or HTTP: what others count themselves (queue, KV blocks) is handed over
// as plain readings at the moment of the scrape, so the page can never disagree with the owner.
// Label values come from tables of ours (route, status, model name), never from a request's text.
// Thread rule: every method from any thread.
//
//   metrics.CountRequest("/v1/chat/completions", 200);
//   std::string page = metrics.Text(readings);
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace hadal {

// One number read at scrape time.
struct Reading {
  std::string_view name;  // [a-zA-Z_:][a-zA-Z0-9_:]*
  std::string_view help;
  bool is_counter = false;  // otherwise a gauge
  double value = 0;
  std::string kind = {};            // value of the label; empty: no label
  std::string_view label = "kind";  // its name
};

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void CountRequest(std::string_view route, int status);
  void ObserveDuration(std::string_view route, double seconds);
  void ObserveTimeToFirstToken(double seconds);
  void ObserveInterTokenLatency(double seconds);
  void CountTokens(int64_t prompt_tokens, int64_t completion_tokens, int64_t cached_tokens);
  void CountDroppedClient();  // the client went away before the end
  void CountStalledClient();  // cut off because it did not read

  // The whole page: what was observed, `readings`, RSS and build info.
  std::string Text(std::span<const Reading> readings) const;
  static std::string_view ContentType() { return "text/plain; version=0.0.4; charset=utf-8"; }

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

// Resident bytes of this process from /proc/self/statm; 0 where there is no /proc.
int64_t ResidentBytes();

}  // namespace hadal
