// Clock: time as a parameter, so that schedulers and limits are tested without waiting.
#pragma once

#include <chrono>
#include <cstdint>

namespace hadal {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

inline TimePoint Now() { return std::chrono::steady_clock::now(); }
inline double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
inline int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace hadal
