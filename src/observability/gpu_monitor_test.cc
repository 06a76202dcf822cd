#include "observability/gpu_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(GpuMonitor, TellsWhatTheDriverTells) {
  const GpuMonitor monitor(HADAL_FAKE_NVML);
  ASSERT_TRUE(monitor.available()) << monitor.reason();
  const auto gpus = monitor.Read();
  ASSERT_EQ(gpus.size(), 2u);
  const GpuFacts& first = gpus[0];
  EXPECT_EQ(first.name, "NVIDIA H200");
  EXPECT_EQ(first.pci, "00000000:19:00.0");
  EXPECT_EQ(first.utilisation, 0.75);
  EXPECT_EQ(first.memory_utilisation, 0.4);
  EXPECT_EQ(first.memory_used, 50'754'820'096.0);
  EXPECT_EQ(first.power, 412.5);
  EXPECT_EQ(first.power_limit, 700.0);
  EXPECT_EQ(first.temperature, 61.0);
  EXPECT_EQ(first.sm_clock, 1.98e9);
  EXPECT_EQ(first.memory_clock, 3.201e9);
  EXPECT_THAT(first.throttle_reasons, ElementsAre("power", "thermal"));
  const GpuFacts& second = gpus[1];
  EXPECT_EQ(second.index, 1);
  EXPECT_FALSE(second.utilisation || second.power || second.temperature || second.sm_clock);
  EXPECT_THAT(second.throttle_reasons, ElementsAre("idle"));
}

TEST(GpuMonitor, MetricsNameEachGpuOnceAndLeaveOutWhatIsNotTold) {
  const GpuMonitor monitor(HADAL_FAKE_NVML);
  const std::string page = Metrics().Text(ReadingsOf(monitor.Read()));
  EXPECT_THAT(page, HasSubstr("hadal_gpu_memory_used_bytes{gpu=\"0\"} 50754820096"));
  EXPECT_THAT(page, HasSubstr("hadal_gpu_memory_used_bytes{gpu=\"1\"} 50754820096"));
  EXPECT_THAT(page, HasSubstr("hadal_gpu_power_watts{gpu=\"0\"} 412.5"));
  EXPECT_THAT(page, Not(HasSubstr("hadal_gpu_power_watts{gpu=\"1\"}")));
  EXPECT_THAT(page, HasSubstr("hadal_gpu_throttled{gpu=\"0\"} 1"));
  EXPECT_THAT(page, HasSubstr("hadal_gpu_throttled{gpu=\"1\"} 0"));
  const std::string help = "# HELP hadal_gpu_memory_used_bytes ";
  EXPECT_EQ(page.find(help), page.rfind(help));
}

TEST(GpuMonitor, WithoutADriverThereAreNoGpusAndTheReasonIsKept) {
  const GpuMonitor monitor("libno-such-library.so.1");
  EXPECT_FALSE(monitor.available());
  EXPECT_THAT(monitor.reason(), HasSubstr("libno-such-library.so.1"));
  EXPECT_TRUE(monitor.Read().empty());
}

TEST(GpuMonitor, ALibraryThatIsNotTheDriversIsRefused) {
  const GpuMonitor monitor("libm.so.6");
  EXPECT_FALSE(monitor.available());
  EXPECT_THAT(monitor.reason(), HasSubstr("lacks functions"));
}

}  // namespace
}  // namespace hadal
