#include "kernels/backend.h"

namespace hadal {
namespace {

constexpr std::string_view kFormatNames[] = {"f32", "bf16", "int8"};

}  // namespace

std::string_view NameOf(WeightFormat f) { return kFormatNames[static_cast<int>(f)]; }

Result<WeightFormat> ParseWeightFormat(std::string_view name) {
  for (int i = 0; i < 3; ++i) {
    if (kFormatNames[i] == name) return static_cast<WeightFormat>(i);
  }
  return FailField(ErrorCode::kInvalidArgument, "weights",
                   "weight format '{}' is unknown; use f32, bf16 or int8", name.substr(0, 32));
}

}  // namespace hadal
