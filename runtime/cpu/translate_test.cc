#include "runtime/cpu/translate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/cpu/testing_host.h"

namespace cpu {
namespace {

CpuPlan Planned(std::vector<ContainerRequest> containers, bool cri = true) {
  return *Plan(TwoPackages(), {.cri = cri, .containers = std::move(containers)}, Policy{});
}

TEST(TranslateTest, DisjointOwnSetsStayDisjointInTheGuest) {
  const ContainerRequest a{.shares = 2048, .cpus = "6-7"}, b{.shares = 2048, .cpus = "2,10"};
  const CpuPlan plan = Planned({a, b});
  const auto in_a = TranslateCpuset(plan, a), in_b = TranslateCpuset(plan, b);
  ASSERT_TRUE(in_a && in_b);
  // By place: 2 and 10 are one core of package 0.
  EXPECT_EQ(in_b->vcpus, (CpuSet{0, 1}));
  EXPECT_EQ(in_a->vcpus, (CpuSet{2, 3}));
  for (const uint32_t index : in_a->vcpus) EXPECT_GE(*plan.vcpus[index].host_cpu, 6u);
}

TEST(TranslateTest, OthersGetTheSharedVcpus) {
  const ContainerRequest own{.shares = 2048, .cpus = "2-3"};
  const ContainerRequest pool{.shares = 512, .cpus = "0-1,4-15"}, free{.shares = 2};
  EXPECT_EQ(TranslateCpuset(Planned({own, pool}), own)->vcpus, (CpuSet{0, 1}));
  EXPECT_EQ(TranslateCpuset(Planned({own, pool}), pool)->vcpus, CpuSet{2});
  EXPECT_EQ(TranslateCpuset(Planned({own, free}), free)->vcpus, CpuSet{2});
}

TEST(TranslateTest, AMachineOfOneKindNeedsNoRestriction) {
  const ContainerRequest quota{.quota_us = 200000, .cpus = "0-3"};
  EXPECT_EQ(*TranslateCpuset(Planned({quota}, false), quota), GuestCpuset());
}

TEST(TranslateTest, MemoryNodesBecomeTheGuests) {
  const ContainerRequest near{.shares = 1024, .cpus = "2", .mems = "0"};
  const ContainerRequest far{.shares = 1024, .cpus = "6", .mems = "1"};
  const CpuPlan plan = Planned({far, near});
  EXPECT_EQ(TranslateCpuset(plan, near)->nodes, CpuSet{0});
  EXPECT_EQ(TranslateCpuset(plan, far)->nodes, CpuSet{1});
  EXPECT_EQ(TranslateCpuset(plan, {.shares = 1024, .cpus = "6"})->nodes, CpuSet());
}

TEST(TranslateTest, CpusThatThePlanDoesNotCoverAreAnError) {
  const CpuPlan plan = Planned({{.shares = 2048, .cpus = "2-3"}});
  const auto outside = TranslateCpuset(plan, {.cpus = "3-4"});
  ASSERT_FALSE(outside);
  EXPECT_EQ(outside.error().code(), base::Code::kFailedPrecondition);
  EXPECT_THAT(outside.error().Message(), ::testing::HasSubstr("3-4"));
  EXPECT_FALSE(TranslateCpuset(plan, {.cpus = "x"}));
}

}  // namespace
}  // namespace cpu
