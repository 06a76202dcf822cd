#include "base/cpu_info.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(CpuInfo, LevelsAreOrderedAndNamed) {
  const auto found = SupportedIsas();
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.front(), Isa::kRef);
  for (size_t i = 1; i < found.size(); ++i) EXPECT_LT(found[i - 1], found[i]);
  for (Isa isa : found) EXPECT_EQ(ParseIsa(NameOf(isa)).value(), isa);
  EXPECT_EQ(ParseIsa("sse9").error().field, "isa");
  EXPECT_GE(UsableCpus(), 1);
}

}  // namespace
}  // namespace hadal
