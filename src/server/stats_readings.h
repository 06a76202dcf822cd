// Owns: the names under which a service's own counts appear on /metrics.
// Thread rule: pure function.
#pragma once

#include <vector>

#include "observability/metrics.h"
#include "service/chat_service.h"

namespace hadal::server {

std::vector<Reading> ReadingsOf(const ServiceStats& stats);

}  // namespace hadal::server
