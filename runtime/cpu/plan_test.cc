// Every worked case of the README ("Worked cases") that needs no second pod.
#include "runtime/cpu/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "runtime/cpu/testing_host.h"

namespace cpu {
namespace {

using ::testing::HasSubstr;

CpuRequest Ctr(ContainerRequest container) {
  if (container.shares == 0) container.shares = 1024;  // as every ctr sends
  return {.containers = {std::move(container)}};
}
CpuRequest Cri(std::vector<ContainerRequest> containers) {
  return {.cri = true, .containers = std::move(containers)};
}

std::string Ids(const CpuPlan& plan) {
  CpuSet ids;
  for (const VcpuPlan& vcpu : plan.vcpus) ids.Insert(vcpu.id);
  return ids.ToString();
}

// "package/die/core/thread@host_cpu" of each vCPU.
std::string Places(const CpuPlan& plan) {
  std::string text;
  for (const VcpuPlan& vcpu : plan.vcpus) {
    text += fmt::format("{}{}/{}/{}/{}", text.empty() ? "" : " ", vcpu.package, vcpu.die, vcpu.core,
                        vcpu.thread);
    if (vcpu.host_cpu) text += fmt::format("@{}", *vcpu.host_cpu);
  }
  return text;
}

struct Case {
  const char* name;
  CpuRequest request;
  const char* mode;
  const char* places;
  const char* cpu_max;     // "" none
  const char* restricted;  // CpuPlan::cpus
};

class WorkedCase : public ::testing::TestWithParam<Case> {};

TEST_P(WorkedCase, GivesTheMachineOfTheTable) {
  const auto plan = Plan(TwoPackages(), GetParam().request, Policy{});
  ASSERT_TRUE(plan) << plan.error().Message();
  EXPECT_STREQ(ModeName(plan->mode), GetParam().mode);
  EXPECT_EQ(Places(*plan), GetParam().places);
  EXPECT_EQ(
      plan->cpu_max ? fmt::format("{} {}", plan->cpu_max->quota_us, plan->cpu_max->period_us) : "",
      GetParam().cpu_max);
  EXPECT_EQ(plan->cpus.ToString(), GetParam().restricted);
}

const Case kCases[] = {
    {"Quota", Ctr({.quota_us = 250000, .period_us = 100000}), "floating", "0/0/0/0 0/0/1/0 0/0/2/0",
     "250000 100000", ""},
    {"TwoCores", Ctr({.cpus = "2-3"}), "pinned", "0/0/0/0@2 0/0/1/0@3", "", "2-3"},
    {"Siblings", Ctr({.cpus = "2,10"}), "pinned", "0/0/0/0@2 0/0/0/1@10", "", "2,10"},
    {"UnevenCores", Ctr({.cpus = "2,3,10"}), "pinned", "0/0/0/0@2 0/0/0/1@10 0/0/1/0@3", "",
     "2-3,10"},
    {"TwoPackages", Ctr({.cpus = "2,6"}), "pinned", "0/0/0/0@2 1/0/0/0@6", "", "2,6"},
    {"GuaranteedWithQuota",
     Cri({{.shares = 4096, .quota_us = 400000, .period_us = 100000, .cpus = "0-3"}}), "pinned",
     "0/0/0/0@0 0/0/1/0@1 0/0/2/0@2 0/0/3/0@3", "400000 100000", "0-3"},
    {"GuaranteedWithoutQuota", Cri({{.shares = 4096, .quota_us = -1, .cpus = "0-3"}}), "pinned",
     "0/0/0/0@0 0/0/1/0@1 0/0/2/0@2 0/0/3/0@3", "", "0-3"},
    {"BestEffortInSharedPool", Cri({{.shares = 2, .cpus = "0-15"}}), "confined", "0/0/0/0", "",
     "0-15"},
    {"SharedPoolOfOne", Cri({{.shares = 2, .cpus = "5"}}), "confined", "0/0/0/0", "", "5"},
    {"Mixed",
     Cri({{.shares = 2048, .quota_us = 200000, .period_us = 100000, .cpus = "2-3"},
          {.shares = 512, .quota_us = 50000, .period_us = 100000, .cpus = "0-1,4-15"}}),
     "mixed", "0/0/0/0@2 0/0/1/0@3 0/0/2/0", "250000 100000", "0-15"},
    {"QuotaBelowSet", Ctr({.quota_us = 200000, .cpus = "0-3"}), "confined", "0/0/0/0 0/0/1/0",
     "200000 100000", "0-3"},
    {"SharesAlone", Cri({{.shares = 3072}}), "floating", "0/0/0/0 0/0/1/0 0/0/2/0", "", ""},
    {"TenthOfACpu", Ctr({.quota_us = 10000, .period_us = 100000}), "floating", "0/0/0/0",
     "10000 100000", ""},
    {"Nothing", CpuRequest{.containers = {{}}}, "floating", "0/0/0/0", "", ""},
};
INSTANTIATE_TEST_SUITE_P(Table, WorkedCase, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

CpuPlan Planned(const CpuRequest& request, const Policy& policy = {}) {
  auto plan = Plan(TwoPackages(), request, policy);
  EXPECT_TRUE(plan) << plan.error().Message();
  return plan ? std::move(*plan) : CpuPlan();
}

std::string Refused(const CpuRequest& request, base::Code code, const Policy& policy = {}) {
  const auto plan = Plan(TwoPackages(), request, policy);
  if (plan) return "planned";
  EXPECT_EQ(plan.error().code(), code);
  return plan.error().Message();
}

bool HasNote(const CpuPlan& plan, const std::string& code) {
  for (const Note& note : plan.notes) {
    if (note.code == code) return true;
  }
  return false;
}

TEST(PlanTest, AnAbsentCpuIsNamed) {
  EXPECT_THAT(Refused(Ctr({.cpus = "99"}), base::Code::kInvalidArgument),
              HasSubstr("CPU 99 is not online (online: 0-15)"));
  EXPECT_THAT(Refused(Ctr({.cpus = "3-1"}), base::Code::kInvalidArgument), HasSubstr("3-1"));
  EXPECT_THAT(Refused(Ctr({.cpus = "0", .mems = "2"}), base::Code::kInvalidArgument),
              HasSubstr("memory node 2 is not online (online: 0-1)"));
}

TEST(PlanTest, RequiredPinsThatCannotBeHadSayWhy) {
  const Policy required{.pinning = Pinning::kRequired};
  EXPECT_THAT(
      Refused(Ctr({.quota_us = 200000, .cpus = "0-3"}), base::Code::kFailedPrecondition, required),
      HasSubstr("4 CPUs asked, limit allows 2"));
  EXPECT_THAT(Refused(Ctr({}), base::Code::kFailedPrecondition, required),
              HasSubstr("no CPUs were given"));
  EXPECT_THAT(
      Refused(Cri({{.shares = 2, .cpus = "0-3"}}), base::Code::kFailedPrecondition, required),
      HasSubstr("not the container's own"));
  CpuRequest taken = Ctr({.cpus = "2-3"});
  taken.pinned_elsewhere = {{"other", CpuSet{3}}};
  EXPECT_THAT(Refused(taken, base::Code::kFailedPrecondition, required),
              HasSubstr("CPUs 3 are pinned by pod other"));
  EXPECT_EQ(Planned(Ctr({.cpus = "2-3"}), required).mode, Mode::kPinned);
  // The pause container alone: nobody knows yet.
  EXPECT_EQ(Planned({.cri = true, .pod = ContainerRequest{.shares = 2048}}, required).mode,
            Mode::kFloating);
}

TEST(PlanTest, OverlapIsANoteUnlessRequired) {
  CpuRequest request = Ctr({.cpus = "2-3"});
  request.pinned_elsewhere = {{"far", CpuSet{9}}, {"near", CpuSet{3, 4}}};
  const CpuPlan plan = Planned(request);
  EXPECT_EQ(plan.mode, Mode::kPinned);
  ASSERT_EQ(plan.notes.size(), 1u);
  EXPECT_EQ(plan.notes[0], (Note{"pins_overlap", "CPUs 3 are pinned by pod near too"}));
}

TEST(PlanTest, PinningOffConfines) {
  const CpuPlan plan = Planned(Ctr({.cpus = "2-3"}), {.pinning = Pinning::kOff});
  EXPECT_EQ(plan.mode, Mode::kConfined);
  EXPECT_EQ(plan.vcpus.size(), 2u);
  EXPECT_EQ(plan.vcpus[0].affinity, (CpuSet{2, 3}));
  EXPECT_TRUE(HasNote(plan, "pinning_off"));
}

TEST(PlanTest, MaxVcpusClampsAndSaysSo) {
  const CpuPlan plan = Planned(Ctr({.cpus = "0-7"}), {.max_vcpus = 4});
  EXPECT_EQ(plan.mode, Mode::kConfined);
  EXPECT_EQ(plan.vcpus.size(), 4u);
  EXPECT_TRUE(HasNote(plan, "vcpus_clamped"));
  EXPECT_TRUE(HasNote(plan, "not_pinned"));
  EXPECT_EQ(Planned(Ctr({.quota_us = 100000000})).vcpus.size(), 16u);
}

TEST(PlanTest, LimitsAreExact) {
  // 1.0, one microsecond more, and what doubles get wrong.
  EXPECT_EQ(Planned(Ctr({.quota_us = 300000, .period_us = 300000})).vcpus.size(), 1u);
  EXPECT_EQ(Planned(Ctr({.quota_us = 300001, .period_us = 300000})).vcpus.size(), 2u);
  EXPECT_EQ(Planned(Ctr({.quota_us = 1000001, .period_us = 1000000})).vcpus.size(), 2u);
  const CpuPlan sum = Planned(Cri({{.quota_us = 10000, .period_us = 100000}, {.quota_us = 20000}}));
  EXPECT_EQ(sum.cpu_max, (CpuMax{30000, 100000, 0}));
  // What the kernel would refuse in the usual period.
  const ContainerRequest tiny{.quota_us = 1000, .period_us = 1000000};
  EXPECT_EQ(Planned(Cri({tiny, tiny})).cpu_max, (CpuMax{2000, 1000000, 0}));
  // Three thirds are one CPU, not two.
  const ContainerRequest third{.quota_us = 100000, .period_us = 300000};
  EXPECT_EQ(Planned(Cri({third, third, third})).vcpus.size(), 1u);
  EXPECT_EQ(Planned(Ctr({.quota_us = INT64_MAX, .period_us = 1000})).vcpus.size(), 16u);
  EXPECT_EQ(Planned(Cri({{.shares = UINT64_MAX}, {.shares = UINT64_MAX}})).vcpus.size(), 16u);
  EXPECT_THAT(Refused(Ctr({.quota_us = 1, .period_us = 1000001}), base::Code::kInvalidArgument),
              HasSubstr("period 1000001"));
}

TEST(PlanTest, ThePodsLimitCapsTheTotal) {
  CpuRequest request = Cri({{.quota_us = 400000}});
  request.pod = ContainerRequest{.quota_us = 150000, .period_us = 100000};
  const CpuPlan plan = Planned(request);
  EXPECT_EQ(plan.vcpus.size(), 2u);
  EXPECT_EQ(plan.cpu_max, (CpuMax{150000, 100000, 0}));

  CpuRequest only_pod{.cri = true, .pod = ContainerRequest{.quota_us = 300000}};
  EXPECT_EQ(Planned(only_pod).vcpus.size(), 3u);

  CpuRequest two = Cri({{.shares = 2048, .cpus = "2-3"}, {.shares = 4096, .cpus = "4-7"}});
  two.pod = ContainerRequest{.quota_us = 300000};
  const CpuPlan capped = Planned(two);
  EXPECT_EQ(capped.mode, Mode::kConfined);
  EXPECT_LE(capped.vcpus.size(), 3u);
}

TEST(PlanTest, HiddenSmtShowsCores) {
  const CpuPlan plan = Planned(Ctr({.cpus = "2,10"}), {.smt = Smt::kHide});
  EXPECT_EQ(Places(plan), "0/0/0/0@2 0/0/1/0@10");
  EXPECT_EQ(plan.vcpus[0].l2, plan.vcpus[1].l2);
}

TEST(PlanTest, CachesAndNodesFollowTheHost) {
  const CpuPlan plan = Planned(Ctr({.cpus = "2,6"}));
  ASSERT_EQ(plan.nodes.size(), 2u);
  EXPECT_EQ(plan.nodes[0].distances, (std::vector<uint32_t>{10, 20}));
  EXPECT_EQ(plan.nodes[1].host_node, 1u);
  EXPECT_EQ(plan.mems, (CpuSet{0, 1}));
  EXPECT_EQ(plan.vcpus[1].node, 1u);
  EXPECT_NE(plan.vcpus[0].l3, plan.vcpus[1].l3);
  const CpuPlan second = Planned(Ctr({.cpus = "6"}));
  ASSERT_EQ(second.nodes.size(), 1u);
  EXPECT_EQ(second.nodes[0].host_node, 1u);
  EXPECT_EQ(second.mems, CpuSet{1});
  EXPECT_EQ(second.vcpus[0].package, 0u);
  EXPECT_EQ(Planned(Ctr({.cpus = "6", .mems = "0"})).mems, CpuSet{0});
}

TEST(PlanTest, HousekeepingStaysOffThePins) {
  EXPECT_EQ(Planned(Ctr({.cpus = "2-3"})).housekeeping.ToString(), "0-1,4-15");
  CpuRequest request = Ctr({.cpus = "2-3"});
  request.shim_mask = CpuSet{0, 1, 2};
  request.pinned_elsewhere = {{"other", CpuSet{0}}};
  EXPECT_EQ(Planned(request).housekeeping, CpuSet{1});
  EXPECT_EQ(Planned(request, {.housekeeping = CpuSet{15}}).housekeeping, CpuSet{15});
  const CpuPlan none_left = Planned(Ctr({.cpus = "0-15"}));
  EXPECT_EQ(none_left.housekeeping.ToString(), "0-15");
  EXPECT_TRUE(HasNote(none_left, "housekeeping_shared"));
}

TEST(PlanTest, WithoutCpusTheCgroupBoundsTheCount) {
  CpuRequest request = Ctr({.quota_us = 800000});
  request.allowed = CpuSet{0, 1, 2};
  const CpuPlan plan = Planned(request);
  EXPECT_EQ(plan.mode, Mode::kFloating);
  EXPECT_EQ(plan.vcpus.size(), 3u);
  EXPECT_TRUE(plan.vcpus[0].affinity.empty());
  request.allowed = CpuSet{99};
  EXPECT_THAT(Refused(request, base::Code::kFailedPrecondition), HasSubstr("99"));
}

TEST(PlanTest, IdsAreThoseOfThePossibleMachine) {
  EXPECT_EQ(Ids(Planned(Ctr({.cpus = "2,3,10"}))), "0-2");
  EXPECT_EQ(Ids(Planned(Ctr({.cpus = "2,6"}))), "0-1");
  // Three cores need two bits, so the second package begins at 4.
  EXPECT_EQ(Ids(Planned(Ctr({.cpus = "0-2,4"}))), "0-2,4");
  // A sibling that may come later needs a bit now.
  CpuRequest request = Cri({{.shares = 7168, .cpus = "0-3,8-10"}});
  request.pod = ContainerRequest{.shares = 8192};
  const CpuPlan plan = Planned(request);
  EXPECT_EQ(plan.grow, CpuSet{11});
  ASSERT_EQ(plan.spare.size(), 1u);
  EXPECT_EQ(plan.spare[0].id, 7u);
  EXPECT_EQ(Ids(plan), "0-6");
}

TEST(PlanTest, APodGrowsUpToItsWholeCpusOnTheNearestFirst) {
  CpuRequest request = Cri({{.shares = 2048, .cpus = "4-5"}});
  request.pod = ContainerRequest{.shares = 2560, .quota_us = 450000};
  const CpuPlan plan = Planned(request);
  EXPECT_EQ(plan.grow.ToString(), "12-13");  // siblings of what it has
  EXPECT_EQ(plan.vcpus.size(), 2u);
  request.pinned_elsewhere = {{"other", CpuSet{6, 7, 12, 13, 14, 15}}};
  EXPECT_EQ(Planned(request).grow.ToString(), "0,8");
  EXPECT_TRUE(Planned(Ctr({.cpus = "4-5"})).grow.empty());
  request.pod->quota_us = 200000;
  EXPECT_TRUE(Planned(request).grow.empty());
}

TEST(PlanTest, RamIsDividedByCpusAndBoundToTheirNodes) {
  CpuRequest request = Ctr({.cpus = "1,2,6"});
  request.memory_mib = 1000;
  const CpuPlan plan = Planned(request);
  ASSERT_EQ(plan.nodes.size(), 2u);
  EXPECT_EQ(plan.nodes[0].memory_mib, 667u);
  EXPECT_EQ(plan.nodes[1].memory_mib, 333u);
  EXPECT_EQ(plan.nodes[1].mems, CpuSet{1});
  // mems wins, and what that costs is said.
  request.containers[0].mems = "0";
  const CpuPlan bound = Planned(request);
  EXPECT_EQ(bound.mems, CpuSet{0});
  EXPECT_EQ(bound.nodes[1].mems, CpuSet{0});
  EXPECT_TRUE(HasNote(bound, "mems_far"));
  request.memory_mib = 65537;
  EXPECT_THAT(Refused(request, base::Code::kResourceExhausted), HasSubstr("65537 MiB"));
}

TEST(PlanTest, SharesBecomeAWeight) {
  EXPECT_EQ(Planned(Ctr({})).weight, 39u);
  EXPECT_EQ(Planned({.containers = {{}}}).weight, std::nullopt);
  EXPECT_TRUE(HasNote(Planned(Ctr({.shares = 1})), "shares_clamped"));
  EXPECT_TRUE(HasNote(Planned(Ctr({.shares = 1'000'000'000})), "shares_clamped"));
}

TEST(PlanTest, WhatTheKernelWouldPassOverIsSaid) {
  EXPECT_TRUE(HasNote(Planned(Ctr({.quota_us = -5})), "quota_negative"));
  EXPECT_TRUE(HasNote(Planned(Ctr({.burst_us = 10})), "burst_ignored"));
  EXPECT_TRUE(HasNote(Planned(Ctr({.realtime = true})), "realtime_ignored"));
  EXPECT_TRUE(HasNote(Planned(Ctr({.idle = true})), "idle_ignored"));
  EXPECT_TRUE(Planned(Ctr({.quota_us = -1})).notes.empty());
  // Of an update that lowers the quota alone.
  const CpuPlan lowered = Planned(Ctr({.quota_us = 50000, .burst_us = 80000}));
  EXPECT_TRUE(HasNote(lowered, "burst_clamped"));
  EXPECT_EQ(lowered.cpu_max, (CpuMax{50000, 100000, 50000}));
}

TEST(PlanTest, AbsurdPeriodsAndQuotasAreErrors) {
  EXPECT_THAT(Refused(Ctr({.quota_us = 1000, .period_us = 999}), base::Code::kInvalidArgument),
              HasSubstr("period 999"));
  EXPECT_THAT(Refused(Ctr({.quota_us = 999}), base::Code::kInvalidArgument),
              HasSubstr("quota 999"));
  // 0 is how Go writes "not given".
  EXPECT_EQ(Planned(Ctr({.quota_us = 150000, .period_us = 0})).vcpus.size(), 2u);
  for (const char* list : {"a", "0-", "-1", "1,,2", ",", "0-1000000000", "4294967296"}) {
    EXPECT_THAT(Refused(Ctr({.cpus = list}), base::Code::kInvalidArgument),
                HasSubstr("linux.resources.cpu.cpus"))
        << list;
  }
  EXPECT_THAT(Refused(Ctr({.cpus = " "}), base::Code::kInvalidArgument), HasSubstr("no CPU"));
}

TEST(PlanTest, TheCapIsNeverPassedForASharer) {
  // Two pinned and one shared would be three under a limit of two.
  CpuRequest request = Cri({{.shares = 2048, .cpus = "2-3"}, {.shares = 2}});
  request.pod = ContainerRequest{.quota_us = 200000};
  const CpuPlan plan = Planned(request);
  EXPECT_EQ(plan.vcpus.size(), 2u);
  EXPECT_TRUE(HasNote(plan, "not_pinned"));
}

TEST(PlanTest, FloatingThreadsKeepOffPins) {
  CpuRequest request = Ctr({.quota_us = 200000});
  request.pinned_elsewhere = {{"other", CpuSet{0, 1}}};
  const CpuPlan plan = Planned(request);
  EXPECT_EQ(plan.mode, Mode::kFloating);
  EXPECT_EQ(plan.vcpus[0].affinity.ToString(), "2-15");
  EXPECT_TRUE(plan.cpus.empty());
  const CpuPlan mixed = Planned(Cri({{.shares = 2048, .cpus = "2-3"}, {.shares = 2}}));
  EXPECT_EQ(mixed.mode, Mode::kMixed);
  EXPECT_EQ(mixed.vcpus[2].affinity.ToString(), "0-1,4-15");
}

TEST(PlanTest, IsolatedCpusAreForPins) {
  HostTopology host = TwoPackages();
  host.cpus[2].isolated = host.cpus[3].isolated = true;
  const auto pinned = Plan(host, Ctr({.cpus = "2-3"}), Policy{});
  EXPECT_TRUE(pinned->notes.empty());
  const auto confined = Plan(host, Ctr({.quota_us = 100000, .cpus = "2-3"}), Policy{});
  EXPECT_TRUE(HasNote(*confined, "isolated_confined"));
  EXPECT_EQ(Plan(host, Ctr({}), Policy{})->housekeeping.ToString(), "0-1,4-15");
}

TEST(PlanTest, AThousandCpusArePlannedAndMoreAreClamped) {
  HostTopology host;
  host.nodes.push_back({});
  for (uint32_t id = 0; id < 2048; ++id) {
    host.cpus.push_back({.id = id,
                         .package = id / 512,
                         .core = id % 512 / 2,
                         .thread = id % 2,
                         .l2 = id / 2,
                         .l3 = id / 16});
  }
  const auto plan = Plan(host, Ctr({.cpus = "0-1023"}), Policy{});
  ASSERT_TRUE(plan) << plan.error().Message();
  EXPECT_EQ(plan->mode, Mode::kPinned);
  EXPECT_EQ(plan->vcpus.back().id, 1023u);
  const auto all = Plan(host, Ctr({.cpus = "0-2047"}), Policy{});
  ASSERT_TRUE(all) << all.error().Message();
  EXPECT_EQ(all->vcpus.size(), 1024u);
  EXPECT_EQ(all->mode, Mode::kConfined);
}

}  // namespace
}  // namespace cpu
