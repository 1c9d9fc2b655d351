// What must hold for every host and every request.
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <tuple>

#include "runtime/cpu/plan.h"
#include "runtime/cpu/testing_host.h"

namespace cpu {
namespace {

constexpr int kRounds = 10000;

struct Drawn {
  HostTopology host;
  CpuRequest request;
  Policy policy;
};

Drawn Draw(std::mt19937& random) {
  const auto pick = [&](uint32_t lowest, uint32_t highest) {
    return std::uniform_int_distribution<uint32_t>(lowest, highest)(random);
  };
  Drawn drawn{.host = RandomHost(random)};
  drawn.request.cri = pick(0, 1) == 1;
  const uint32_t containers = drawn.request.cri ? pick(0, 3) : 1;
  for (uint32_t i = 0; i < containers; ++i) {
    ContainerRequest container;
    CpuSet set;
    for (const HostCpu& cpu : drawn.host.cpus) {
      if (pick(0, 2) == 0) set.Insert(cpu.id);
    }
    if (pick(0, 1) == 1) container.cpus = set.ToString();
    if (pick(0, 1) == 1) container.quota_us = pick(1000, 1'500'000);
    if (pick(0, 1) == 1) container.period_us = pick(1000, 1'000'000);
    if (pick(0, 7) == 0) container.mems = "0";
    container.shares = pick(0, 8) * 512;
    drawn.request.containers.push_back(container);
  }
  if (drawn.request.cri && pick(0, 1) == 1) {
    drawn.request.pod = ContainerRequest{.quota_us = pick(1000, 1'000'000), .period_us = 100000};
  }
  if (pick(0, 3) == 0) {
    drawn.request.pinned_elsewhere = {{"other", CpuSet{drawn.host.cpus.front().id}}};
  }
  drawn.request.memory_mib = pick(64, 4096);
  drawn.policy.smt = pick(0, 3) == 0 ? Smt::kHide : Smt::kMirror;
  drawn.policy.max_vcpus = pick(0, 8);
  return drawn;
}

// Sum of the containers' limits, each rounded up; 0: one has none.
uint64_t CeilLimits(const CpuRequest& request) {
  uint64_t sum = 0;
  for (const ContainerRequest& container : request.containers) {
    if (container.quota_us <= 0) return 0;
    const uint64_t period = container.period_us ? container.period_us : 100000;
    sum += (static_cast<uint64_t>(container.quota_us) + period - 1) / period;
  }
  return sum;
}

TEST(PlanPropertyTest, PlacesAndPinsAreUniqueAndInside) {
  std::mt19937 random(1);
  for (int round = 0; round < kRounds; ++round) {
    const Drawn drawn = Draw(random);
    const auto plan = Plan(drawn.host, drawn.request, drawn.policy);
    ASSERT_TRUE(plan) << round << ": " << plan.error().Message();
    ASSERT_FALSE(plan->vcpus.empty());
    CpuSet asked;
    for (const ContainerRequest& container : drawn.request.containers) {
      asked = asked.Union(*CpuSet::Parse(container.cpus));
    }
    std::set<std::tuple<uint32_t, uint32_t, uint32_t>> places;
    std::set<uint32_t> pins, ids;
    for (const VcpuPlan& vcpu : plan->vcpus) {
      EXPECT_TRUE(places.insert({vcpu.package, vcpu.core, vcpu.thread}).second) << round;
      ASSERT_LT(vcpu.node, plan->nodes.size());
      EXPECT_TRUE(ids.insert(vcpu.id).second) << round;
      if (!vcpu.host_cpu) continue;
      EXPECT_TRUE(pins.insert(*vcpu.host_cpu).second) << round;
      EXPECT_TRUE(asked.Contains(*vcpu.host_cpu)) << round;
      EXPECT_EQ(vcpu.affinity, CpuSet{*vcpu.host_cpu});
    }
    EXPECT_TRUE(drawn.host.Online().ContainsAll(plan->housekeeping));
    EXPECT_FALSE(plan->housekeeping.empty());
    // What may come later is online, nobody's yet, and has ids of its own.
    EXPECT_TRUE(drawn.host.Online().ContainsAll(plan->grow));
    EXPECT_FALSE(plan->grow.Intersects(plan->Pinned()));
    for (const VcpuPlan& vcpu : plan->spare) EXPECT_TRUE(ids.insert(vcpu.id).second) << round;
    uint64_t memory_mib = 0;
    for (const GuestNode& node : plan->nodes) memory_mib += node.memory_mib;
    EXPECT_EQ(memory_mib, drawn.request.memory_mib);
  }
}

TEST(PlanPropertyTest, NeverMoreVcpusThanLimitOrPolicyAllow) {
  std::mt19937 random(2);
  for (int round = 0; round < kRounds; ++round) {
    const Drawn drawn = Draw(random);
    const auto plan = Plan(drawn.host, drawn.request, drawn.policy);
    ASSERT_TRUE(plan) << plan.error().Message();
    const size_t count = plan->vcpus.size();
    if (drawn.policy.max_vcpus != 0) {
      EXPECT_LE(count, drawn.policy.max_vcpus) << round;
    }
    EXPECT_LE(count, drawn.host.cpus.size());
    if (drawn.request.pod) {
      EXPECT_LE(count, (static_cast<uint64_t>(drawn.request.pod->quota_us) + 99999) / 100000);
    }
    // One that is pinned has at most its limit in CPUs, and those that share add theirs up first.
    const uint64_t limit = CeilLimits(drawn.request);
    if (limit != 0) {
      EXPECT_LE(count, limit) << round;
    }
  }
}

TEST(PlanPropertyTest, PinnedPairsAreRelatedAsTheirHostCpusAre) {
  std::mt19937 random(3);
  int pairs = 0;
  for (int round = 0; round < kRounds; ++round) {
    const Drawn drawn = Draw(random);
    const auto plan = Plan(drawn.host, drawn.request, drawn.policy);
    ASSERT_TRUE(plan);
    for (const VcpuPlan& a : plan->vcpus) {
      for (const VcpuPlan& b : plan->vcpus) {
        if (!a.host_cpu || !b.host_cpu || *a.host_cpu >= *b.host_cpu) continue;
        ++pairs;
        const HostCpu& x = *drawn.host.Find(*a.host_cpu);
        const HostCpu& y = *drawn.host.Find(*b.host_cpu);
        const bool package = x.package == y.package;
        EXPECT_EQ(a.package == b.package, package);
        EXPECT_EQ(a.package == b.package && a.die == b.die, package && x.die == y.die);
        const bool same_core = package && x.core == y.core && drawn.policy.smt == Smt::kMirror;
        EXPECT_EQ(a.package == b.package && a.core == b.core, same_core);
        EXPECT_EQ(a.package == b.package && a.die == b.die && a.cluster == b.cluster,
                  package && x.die == y.die && x.cluster == y.cluster);
        EXPECT_EQ(a.l2 == b.l2, x.l2 == y.l2);
        EXPECT_EQ(a.l3 == b.l3, x.l3 == y.l3);
        EXPECT_EQ(plan->nodes[a.node].host_node == plan->nodes[b.node].host_node, x.node == y.node);
      }
    }
  }
  EXPECT_GT(pairs, 1000);
}

}  // namespace
}  // namespace cpu
