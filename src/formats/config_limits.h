// Owns: the largest sizes that a config may ask for, whichever file says them. Private to formats/.
// Far above every model there is, and small enough that size x size x count stays below 2^63.
// Thread rule: constants.
#pragma once

#include <cstdint>

namespace hadal {

inline constexpr int64_t kMaxSize = int64_t{1} << 20;   // hidden, intermediate, ranks, head dims
inline constexpr int64_t kMaxCount = int64_t{1} << 14;  // layers, heads, experts, groups
inline constexpr int64_t kMaxVocab = int64_t{1} << 24;  // rows of the embedding
inline constexpr int64_t kMaxTokens = (int64_t{1} << 31) - 1;
inline constexpr double kMinEps = 1e-30;  // still a normal float32
inline constexpr double kMaxTheta = 1e15;
inline constexpr double kMaxRopeFactor = 1e6;

}  // namespace hadal
