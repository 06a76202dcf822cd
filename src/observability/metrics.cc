#include "observability/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <cstdio>
#include <sstream>
#include <vector>

#include "base/version.h"

namespace hadal {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;

// From a cached 1-token prompt on a GPU to a long prompt on two CPU cores.
const Histogram::BucketBoundaries kTtftBuckets = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                                  2.5,   5,    10,    20,   40,  80,   160};
const Histogram::BucketBoundaries kItlBuckets = {
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5};
const Histogram::BucketBoundaries kDurationBuckets = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1,  2.5,
                                                      5,     10,    30,   60,   120, 300, 600};

MetricFamily Single(std::string_view name, std::string_view help, bool is_counter, double value) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = is_counter ? MetricType::Counter : MetricType::Gauge;
  prometheus::ClientMetric metric;
  if (is_counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  family.metric.push_back(std::move(metric));
  return family;
}

MetricFamily BuildInfo() {
  MetricFamily family =
      Single("hadal_build_info", "Always 1; the labels name this build.", false, 1);
  family.metric[0].label = {{"commit", std::string(Commit())},
                            {"compiler", std::string(Compiler())},
                            {"version", std::string(Version())}};
  return family;
}

}  // namespace

struct Metrics::Families {
  // Families live in the registry; the references stay valid as long as it does.
  prometheus::Registry registry;
  Family<Counter>& requests = BuildCounter()
                                  .Name("hadal_http_requests_total")
                                  .Help("Answered HTTP requests by route and status.")
                                  .Register(registry);
  Family<Histogram>& duration = BuildHistogram()
                                    .Name("hadal_request_duration_seconds")
                                    .Help("Time from the request to the last byte queued.")
                                    .Register(registry);
  Histogram& ttft = BuildHistogram()
                        .Name("hadal_time_to_first_token_seconds")
                        .Help("Time from the request to its first token.")
                        .Register(registry)
                        .Add({}, kTtftBuckets);
  Histogram& itl = BuildHistogram()
                       .Name("hadal_inter_token_latency_seconds")
                       .Help("Time between two tokens of one choice.")
                       .Register(registry)
                       .Add({}, kItlBuckets);
  Family<Counter>& tokens =
      BuildCounter()
          .Name("hadal_request_tokens_total")
          .Help(
              "Tokens of ended requests, also of those cut short: prompt, completion, and prompt "
              "tokens from the cache.")
          .Register(registry);
  Counter& prompt_tokens = tokens.Add({{"kind", "prompt"}});
  Counter& completion_tokens = tokens.Add({{"kind", "completion"}});
  Counter& cached_tokens = tokens.Add({{"kind", "cached"}});
  Family<Counter>& clients =
      BuildCounter()
          .Name("hadal_clients_lost_total")
          .Help("Requests cancelled because the client left or did not read.")
          .Register(registry);
  Counter& dropped = clients.Add({{"reason", "dropped"}});
  Counter& stalled = clients.Add({{"reason", "stalled"}});
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {}
Metrics::~Metrics() = default;

void Metrics::CountRequest(std::string_view route, int status) {
  families_->requests.Add({{"route", std::string(route)}, {"status", std::to_string(status)}})
      .Increment();
}

void Metrics::ObserveDuration(std::string_view route, double seconds) {
  families_->duration.Add({{"route", std::string(route)}}, kDurationBuckets).Observe(seconds);
}

void Metrics::ObserveTimeToFirstToken(double seconds) { families_->ttft.Observe(seconds); }
void Metrics::ObserveInterTokenLatency(double seconds) { families_->itl.Observe(seconds); }

void Metrics::CountTokens(int64_t prompt_tokens, int64_t completion_tokens, int64_t cached_tokens) {
  families_->prompt_tokens.Increment(static_cast<double>(prompt_tokens));
  families_->completion_tokens.Increment(static_cast<double>(completion_tokens));
  families_->cached_tokens.Increment(static_cast<double>(cached_tokens));
}

void Metrics::CountDroppedClient() { families_->dropped.Increment(); }
void Metrics::CountStalledClient() { families_->stalled.Increment(); }

std::string Metrics::Text(std::span<const Reading> readings) const {
  std::vector<MetricFamily> families = families_->registry.Collect();
  for (const Reading& r : readings) {
    MetricFamily family = Single(r.name, r.help, r.is_counter, r.value);
    if (!r.kind.empty()) family.metric[0].label = {{std::string(r.label), r.kind}};
    if (!families.empty() && families.back().name == r.name) {  // of one name, told once
      families.back().metric.push_back(std::move(family.metric[0]));
    } else {
      families.push_back(std::move(family));
    }
  }
  families.push_back(Single("process_resident_memory_bytes", "Resident memory size in bytes.",
                            false, static_cast<double>(ResidentBytes())));
  families.push_back(BuildInfo());
  std::ostringstream out;
  out.imbue(std::locale::classic());
  prometheus::TextSerializer().Serialize(out, families);
  return std::move(out).str();
}

int64_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  long long total_pages = 0, resident_pages = 0;
  const int n_read = std::fscanf(file, "%lld %lld", &total_pages, &resident_pages);
  std::fclose(file);
  return n_read == 2 ? resident_pages * sysconf(_SC_PAGESIZE) : 0;
}

}  // namespace hadal
