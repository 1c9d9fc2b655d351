#include "runtime/cpu/update.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "runtime/cpu/testing_host.h"

namespace cpu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

CpuRequest Own(const std::string& cpus, uint64_t pod_cpus = 0) {
  CpuRequest request{.cri = pod_cpus != 0, .containers = {{.cpus = cpus}}};
  if (pod_cpus != 0) {
    request.containers[0].shares = CpuSet::Parse(cpus)->size() * 1024;
    request.pod = ContainerRequest{.shares = pod_cpus * 1024};
  }
  return request;
}

CpuPlan Booted(const CpuRequest& request) { return *Plan(TwoPackages(), request, Policy{}); }

PlanUpdate Again(const CpuRequest& request, const CpuPlan& in_force) {
  auto update = PlanAgain(TwoPackages(), request, Policy{}, in_force);
  EXPECT_TRUE(update) << update.error().Message();
  return update ? std::move(*update) : PlanUpdate();
}

std::vector<std::string> Codes(const CpuPlan& plan) {
  std::vector<std::string> codes;
  for (const Note& note : plan.notes) codes.push_back(note.code);
  return codes;
}

TEST(PlanAgainTest, TheSameRequestChangesNothing) {
  const CpuPlan plan = Booted(Own("2,3,10"));
  const PlanUpdate update = Again(Own("2,3,10"), plan);
  EXPECT_EQ(update.plan.vcpus, plan.vcpus);
  EXPECT_EQ(update.plan.nodes, plan.nodes);
  EXPECT_THAT(update.added, IsEmpty());
  EXPECT_THAT(update.moved, IsEmpty());
  EXPECT_THAT(update.removed, IsEmpty());
}

TEST(PlanAgainTest, GrowsIntoThePlacesKeptForIt) {
  const CpuPlan plan = Booted(Own("2-3", 4));
  ASSERT_EQ(plan.grow.size(), 2u);
  ASSERT_EQ(plan.spare.size(), 2u);
  const CpuSet all = CpuSet{2, 3}.Union(plan.grow);
  const PlanUpdate update = Again(Own(all.ToString(), 4), plan);
  EXPECT_THAT(update.added, ElementsAre(2, 3));
  EXPECT_THAT(update.moved, IsEmpty());
  EXPECT_EQ(update.plan.Pinned(), all);
  EXPECT_EQ(update.plan.vcpus[2], plan.spare[0]);
  EXPECT_THAT(Codes(update.plan), IsEmpty());
  // And back: the same places go, and are kept.
  const PlanUpdate back = Again(Own("2-3", 4), update.plan);
  EXPECT_THAT(back.removed, ElementsAre(2, 3));
  EXPECT_EQ(back.plan.grow, plan.grow);
  EXPECT_EQ(back.plan.vcpus, plan.vcpus);
}

TEST(PlanAgainTest, ACpuWithoutAPlaceOfItsRelationIsNoted) {
  const CpuPlan plan = Booted(Own("2-3", 4));
  ASSERT_FALSE(plan.grow.Contains(6));
  const PlanUpdate update = Again(Own("2-3,6", 4), plan);  // another package
  EXPECT_EQ(update.added.size(), 1u);
  EXPECT_THAT(Codes(update.plan), ElementsAre("coords_inexact"));
}

TEST(PlanAgainTest, TheBootCpuIsMovedNotUnplugged) {
  const CpuPlan plan = Booted(Own("2-3"));
  const PlanUpdate update = Again(Own("3"), plan);
  EXPECT_THAT(update.moved, ElementsAre(0));
  EXPECT_THAT(update.removed, ElementsAre(1));
  EXPECT_EQ(update.plan.vcpus[0].host_cpu, 3u);
  EXPECT_EQ(update.plan.vcpus[0].affinity, CpuSet{3});
  EXPECT_THAT(Codes(update.plan), ElementsAre("boot_cpu_moved"));
}

TEST(PlanAgainTest, ASwapKeepsPlacesAndSaysWhenTheyAreWrong) {
  const CpuPlan plan = Booted(Own("2-3"));
  const PlanUpdate same = Again(Own("6-7"), plan);
  EXPECT_THAT(same.moved, ElementsAre(0, 1));
  EXPECT_THAT(Codes(same.plan), ElementsAre("boot_cpu_moved"));
  EXPECT_EQ(same.plan.nodes[0].host_node, 1u);
  EXPECT_EQ(same.plan.mems, CpuSet{1});
  const PlanUpdate siblings = Again(Own("2,10"), plan);
  EXPECT_THAT(siblings.moved, ElementsAre(1));
  EXPECT_THAT(Codes(siblings.plan), ElementsAre("topology_stale"));
}

TEST(PlanAgainTest, AMachineWithoutRoomConfines) {
  const CpuPlan plan = Booted(Own("2-3"));
  const PlanUpdate update = Again(Own("2-5"), plan);
  EXPECT_EQ(update.plan.mode, Mode::kConfined);
  EXPECT_EQ(update.plan.vcpus.size(), 2u);
  EXPECT_EQ(update.plan.vcpus[1].affinity.ToString(), "2-5");
  EXPECT_THAT(update.plan.notes.back().code, "places_exhausted");
  const auto required = PlanAgain(TwoPackages(), Own("2-5"), {.pinning = Pinning::kRequired}, plan);
  ASSERT_FALSE(required);
  EXPECT_THAT(required.error().Message(), HasSubstr("made for 2 vCPUs"));
}

TEST(PlanAgainTest, QuotaAloneChangesTheLimitAndTheCount) {
  const CpuPlan plan = Booted({.containers = {{.quota_us = 250000}}});
  const PlanUpdate less = Again({.containers = {{.quota_us = 50000}}}, plan);
  EXPECT_THAT(less.removed, ElementsAre(1, 2));
  EXPECT_THAT(less.moved, IsEmpty());
  EXPECT_EQ(less.plan.cpu_max, (CpuMax{50000, 100000, 0}));
  const PlanUpdate more = Again({.containers = {{.quota_us = 250000}}}, less.plan);
  EXPECT_THAT(more.added, ElementsAre(1, 2));
  EXPECT_EQ(more.plan.vcpus, plan.vcpus);
}

TEST(PlanAgainTest, SharedVcpusStayUnlessLessIsAskedFor) {
  const ContainerRequest pod{.quota_us = 400000, .period_us = 100000};
  const CpuPlan plan = Booted({.cri = true, .pod = pod});
  ASSERT_EQ(plan.vcpus.size(), 4u);
  const CpuRequest joined{.cri = true, .containers = {{.quota_us = 100000}}, .pod = pod};
  const auto kept = PlanAgain(TwoPackages(), joined, Policy{}, plan, SharedVcpus::kNoFewer);
  ASSERT_TRUE(kept);
  EXPECT_THAT(kept->removed, IsEmpty());
  EXPECT_EQ(kept->plan.cpu_max, (CpuMax{100000, 100000, 0}));
  EXPECT_EQ(Again(joined, plan).plan.vcpus.size(), 1u);
}

TEST(PlanAgainTest, NotesOfPlacesStayWithThem) {
  const CpuPlan plan = Booted(Own("2-3", 4));
  const PlanUpdate grown = Again(Own("2-3,6", 4), plan);
  ASSERT_THAT(Codes(grown.plan), ElementsAre("coords_inexact"));
  EXPECT_THAT(Codes(Again(Own("2-3,6", 4), grown.plan).plan), ElementsAre("coords_inexact"));
  EXPECT_THAT(Codes(Again(Own("2-3", 4), grown.plan).plan), IsEmpty());
}

TEST(PlanAgainTest, PolicyKeepsPlacesForUpdates) {
  const Policy policy{.spare_vcpus = 2};
  const auto plan = Plan(TwoPackages(), {.containers = {{.quota_us = 100000}}}, policy);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->vcpus.size(), 1u);
  ASSERT_EQ(plan->spare.size(), 2u);
  const CpuRequest more{.containers = {{.quota_us = 300000}}};
  const auto update = PlanAgain(TwoPackages(), more, policy, *plan);
  ASSERT_TRUE(update);
  EXPECT_THAT(update->added, ElementsAre(1, 2));
  EXPECT_THAT(Codes(update->plan), IsEmpty());
  EXPECT_EQ(Plan(TwoPackages(), {}, {.max_vcpus = 2, .spare_vcpus = 9})->spare.size(), 1u);
}

TEST(PlanAgainTest, AMalformedRequestLeavesNoPlan) {
  const CpuPlan plan = Booted(Own("2-3"));
  EXPECT_THAT(PlanAgain(TwoPackages(), Own("99"), Policy{}, plan).error().Message(),
              HasSubstr("CPU 99 is not online"));
}

// Whatever follows whatever: places never change, the boot vCPU stays, pins are unique, and each
// index is in exactly one list.
TEST(PlanAgainTest, PlacesNeverChangeWhateverIsAsked) {
  std::mt19937 random(11);
  const auto draw = [&](uint32_t bound) {
    return std::uniform_int_distribution<uint32_t>(0, bound - 1)(random);
  };
  const HostTopology host = TwoPackages();
  for (int round = 0; round < 200; ++round) {
    CpuPlan plan = Booted(Own("2-3", 1 + draw(8)));
    const size_t places = plan.vcpus.size() + plan.spare.size();
    for (int step = 0; step < 10; ++step) {
      CpuSet set;
      while (set.empty()) {
        for (uint32_t cpu = 0; cpu < 16; ++cpu) {
          if (draw(4) == 0) set.Insert(cpu);
        }
      }
      CpuRequest request = draw(2) == 0 ? Own(set.ToString()) : Own("5", 1);
      if (draw(3) == 0) request.containers.push_back({.shares = 2, .quota_us = 150000});
      const auto update = PlanAgain(host, request, Policy{}, plan);
      ASSERT_TRUE(update) << update.error().Message();
      ASSERT_EQ(update->plan.vcpus.size() + update->plan.spare.size(), places);
      ASSERT_FALSE(update->plan.vcpus.empty());
      EXPECT_EQ(update->plan.vcpus[0].index, 0u);
      std::map<uint32_t, VcpuPlan> before;
      for (const auto* list : {&plan.vcpus, &plan.spare}) {
        for (const VcpuPlan& vcpu : *list) before[vcpu.index] = vcpu;
      }
      CpuSet pins;
      for (const VcpuPlan& vcpu : update->plan.vcpus) {
        const VcpuPlan& was = before.at(vcpu.index);
        EXPECT_EQ(std::tie(vcpu.id, vcpu.package, vcpu.core, vcpu.thread, vcpu.l3, vcpu.node),
                  std::tie(was.id, was.package, was.core, was.thread, was.l3, was.node));
        before.erase(vcpu.index);
        if (!vcpu.host_cpu) continue;
        EXPECT_FALSE(pins.Contains(*vcpu.host_cpu));
        pins.Insert(*vcpu.host_cpu);
      }
      EXPECT_EQ(before.size(), update->plan.spare.size());
      plan = update->plan;
    }
  }
}

}  // namespace
}  // namespace cpu
