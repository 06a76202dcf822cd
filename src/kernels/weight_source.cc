#include "kernels/weight_source.h"

#include <algorithm>

#include "base/check.h"

namespace hadal {

Status CheckSources(std::span<const WeightSource> sources) {
  constexpr int64_t kMost = int64_t{1} << 31;
  CHECK(!sources.empty());
  const WeightSource& first = sources[0];
  for (const WeightSource& s : sources) {
    if (s.rows <= 0 || s.cols <= 0 || s.rows >= kMost || s.cols >= kMost) {
      return FailField(ErrorCode::kInvalidArgument, s.name,
                       "tensor {} has shape [{}, {}]; both must be positive and below 2^31", s.name,
                       s.rows, s.cols);
    }
    if (s.rows != first.rows || s.cols != first.cols) {
      return FailField(ErrorCode::kInvalidArgument, s.name,
                       "tensor {} has shape [{}, {}] but {} of the same stack has [{}, {}]", s.name,
                       s.rows, s.cols, first.name, first.rows, first.cols);
    }
  }
  return {};
}

std::vector<BlockRows> BlocksOf(std::span<const WeightSource> sources) {
  const auto parts_of = [](const WeightSource& s) {
    return s.blocks ? std::vector<BlockRows>{{s.rows, *s.blocks}} : s.mixed_blocks;
  };
  const std::vector<BlockRows> parts = parts_of(sources[0]);
  for (const WeightSource& s : sources) {
    if (!s.read_blocks || parts_of(s) != parts) return {};
  }
  int64_t rows = 0;
  for (const BlockRows& part : parts) {
    CHECK(part.rows > 0 && sources[0].cols % TraitsOf(part.type).elements == 0);
    rows += part.rows;
  }
  CHECK(parts.empty() || rows == sources[0].rows);
  return parts;
}

bool HoldF16(std::span<const WeightSource> sources) {
  return std::all_of(sources.begin(), sources.end(),
                     [](const WeightSource& s) { return s.stored == DType::kF16; });
}

bool HoldFp8(std::span<const WeightSource> sources) {
  return std::all_of(sources.begin(), sources.end(),
                     [](const WeightSource& s) { return s.read_fp8 != nullptr; });
}

}  // namespace hadal
