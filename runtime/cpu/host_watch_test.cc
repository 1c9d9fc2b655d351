#include "runtime/cpu/host_watch.h"

#include <gtest/gtest.h>

namespace cpu {
namespace {

using namespace std::string_view_literals;

TEST(IsCpuEventTest, OnlyCpusCount) {
  EXPECT_TRUE(
      IsCpuEvent("offline@/devices/system/cpu/cpu1\0ACTION=offline\0"
                 "DEVPATH=/devices/system/cpu/cpu1\0SUBSYSTEM=cpu\0SEQNUM=7\0"sv));
  EXPECT_FALSE(IsCpuEvent("add@/devices/x\0ACTION=add\0SUBSYSTEM=cpuid\0"sv));
  EXPECT_FALSE(IsCpuEvent("add@/devices/x\0NAME=SUBSYSTEM=cpu\0"sv));
}

TEST(IsCpuEventTest, MessagesCutShortAreJudgedByWhatIsThere) {
  EXPECT_FALSE(IsCpuEvent(""sv));
  EXPECT_FALSE(IsCpuEvent("\0\0\0"sv));
  EXPECT_FALSE(IsCpuEvent("online@/devices/system/cpu/cpu1\0SUBSYSTEM=cp"sv));
  EXPECT_TRUE(IsCpuEvent("SUBSYSTEM=cpu"sv));
}

TEST(HostWatchTest, ListensToTheKernel) {
  auto loop = base::EventLoop::Create();
  ASSERT_TRUE(loop);
  const auto watch = HostWatch::Create(**loop, [] {});
  EXPECT_TRUE(watch) << watch.error().Message();
}

}  // namespace
}  // namespace cpu
