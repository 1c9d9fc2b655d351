#include "vmm/topology/guest_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace vmm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<uint32_t> Ids(const GuestTopology& topology) {
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < topology.size(); ++i) ids.push_back(topology.apic_id(i));
  return ids;
}

TEST(GuestTopology, OneVcpuHasNoWidthAtAll) {
  auto topology = GuestTopology::Uniform(1, 1);
  ASSERT_TRUE(topology) << topology.error().Message();
  EXPECT_THAT(Ids(*topology), ElementsAre(0));
  EXPECT_EQ(topology->core_shift(), 0u);
  EXPECT_EQ(topology->package_shift(), 0u);
  EXPECT_EQ(topology->vcpus_per_package(), 1u);
}

TEST(GuestTopology, TwoCoresOfTwoThreads) {
  auto topology = GuestTopology::Uniform(2, 2);
  ASSERT_TRUE(topology);
  EXPECT_THAT(Ids(*topology), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(topology->core_shift(), 1u);
  EXPECT_EQ(topology->l2_shift(), 1u);
  EXPECT_EQ(topology->package_shift(), 2u);
  EXPECT_EQ(topology->threads_per_core(), 2u);
  EXPECT_EQ(topology->vcpus_per_package(), 4u);
}

TEST(GuestTopology, ThreeCoresLeaveAHole) {
  std::vector<VcpuPlace> places;
  for (uint32_t package = 0; package < 2; ++package) {
    for (uint32_t core = 0; core < 3; ++core) {
      places.push_back({.package = package, .core = core, .l2 = package * 3 + core, .l3 = package});
    }
  }
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology) << topology.error().Message();
  EXPECT_THAT(Ids(*topology), ElementsAre(0, 1, 2, 4, 5, 6));
  EXPECT_EQ(topology->package_shift(), 2u);
  EXPECT_EQ(topology->vcpus_per_package(), 3u);
}

TEST(GuestTopology, TwoThreadsFourCoresTwoDies) {
  std::vector<VcpuPlace> places;
  for (uint32_t die = 0; die < 2; ++die) {
    for (uint32_t core = 0; core < 4; ++core) {
      for (uint32_t thread = 0; thread < 2; ++thread) {
        places.push_back({.die = die,
                          .core = die * 4 + core,
                          .thread = thread,
                          .l2 = die * 4 + core,
                          .l3 = die});
      }
    }
  }
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  EXPECT_EQ(topology->core_shift(), 1u);
  EXPECT_EQ(topology->die_shift(), 3u);
  EXPECT_EQ(topology->package_shift(), 4u);
  EXPECT_EQ(topology->vcpus_per_die(), 8u);
  EXPECT_EQ(topology->dies_per_package(), 2u);
  EXPECT_EQ(topology->apic_id(15), 15u);
}

// Two core complexes of three cores in one die: each L3 must be an aligned block.
TEST(GuestTopology, L3SmallerThanTheDieIsAnAlignedBlock) {
  std::vector<VcpuPlace> places;
  for (uint32_t core = 0; core < 6; ++core) {
    places.push_back({.core = core, .l2 = core, .l3 = core / 3});
  }
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  EXPECT_THAT(Ids(*topology), ElementsAre(0, 1, 2, 4, 5, 6));
  EXPECT_EQ(topology->l3_shift(), 2u);
  EXPECT_EQ(topology->die_shift(), 3u);
  EXPECT_EQ(topology->vcpus_per_die(), 6u);
}

// A hybrid part: two cores of two threads with an L2 each, four small cores behind one L2.
TEST(GuestTopology, L2GroupsOfUnequalSizeStayApart) {
  const std::vector<VcpuPlace> places = {
      {.core = 0, .thread = 0, .l2 = 0}, {.core = 0, .thread = 1, .l2 = 0},
      {.core = 1, .thread = 0, .l2 = 1}, {.core = 1, .thread = 1, .l2 = 1},
      {.core = 2, .thread = 0, .l2 = 2}, {.core = 3, .thread = 0, .l2 = 2},
      {.core = 4, .thread = 0, .l2 = 2}, {.core = 5, .thread = 0, .l2 = 2}};
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  for (size_t a = 0; a < places.size(); ++a) {
    for (size_t b = 0; b < places.size(); ++b) {
      EXPECT_EQ(topology->apic_id(a) >> topology->l2_shift() ==
                    topology->apic_id(b) >> topology->l2_shift(),
                places[a].l2 == places[b].l2)
          << a << " and " << b;
    }
  }
}

// Shifted ids are equal exactly where the places are, for many uneven machines.
TEST(GuestTopology, ShiftsSeparateExactlyTheLevels) {
  for (uint32_t packages = 1; packages <= 3; ++packages) {
    for (uint32_t cores = 1; cores <= 5; ++cores) {
      for (uint32_t threads = 1; threads <= 2; ++threads) {
        std::vector<VcpuPlace> places;
        for (uint32_t p = 0; p < packages; ++p) {
          for (uint32_t c = 0; c < cores; ++c) {
            for (uint32_t t = 0; t < threads; ++t) {
              places.push_back(
                  {.package = p, .core = c, .thread = t, .l2 = p * cores + c, .l3 = p});
            }
          }
        }
        auto topology = GuestTopology::Create(places);
        ASSERT_TRUE(topology);
        const std::vector<uint32_t> ids = Ids(*topology);
        EXPECT_EQ(std::set<uint32_t>(ids.begin(), ids.end()).size(), places.size());
        for (size_t i = 0; i < places.size(); ++i) {
          EXPECT_EQ(ids[i] >> topology->package_shift(), places[i].package);
          EXPECT_EQ(ids[i] & ((1u << topology->core_shift()) - 1), places[i].thread);
        }
      }
    }
  }
}

// Linux counts the cores of the package of the lowest id.
TEST(GuestTopology, TheLowestIdsAreThoseOfTheLargestPackage) {
  const VcpuPlace places[] = {{.package = 0, .core = 0, .l2 = 0, .l3 = 0},
                              {.package = 1, .core = 0, .l2 = 1, .l3 = 1},
                              {.package = 1, .core = 1, .l2 = 2, .l3 = 1},
                              {.package = 2, .core = 0, .l2 = 3, .l3 = 2}};
  auto topology = GuestTopology::Create(places);
  ASSERT_TRUE(topology);
  EXPECT_THAT(Ids(*topology), ElementsAre(2, 0, 1, 4));
}

// A random machine: up to 3 packages of dies of L3s of L2s of cores of threads, none of them even.
std::vector<VcpuPlace> RandomPlaces(std::mt19937& random) {
  const auto up_to = [&](uint32_t most) { return 1 + static_cast<uint32_t>(random() % most); };
  std::vector<VcpuPlace> places;
  uint32_t l2 = 0, l3 = 0;
  for (uint32_t package = 0, packages = up_to(3); package < packages; ++package) {
    uint32_t core = 0;
    for (uint32_t die = 0, dies = up_to(2); die < dies; ++die) {
      for (uint32_t l3s = up_to(3); l3s > 0; --l3s, ++l3) {
        for (uint32_t l2s = up_to(3); l2s > 0; --l2s, ++l2) {
          for (uint32_t cores = up_to(3); cores > 0; --cores, ++core) {
            for (uint32_t thread = 0, threads = up_to(3); thread < threads; ++thread) {
              places.push_back({.package = package,
                                .die = die,
                                .core = core,
                                .thread = thread,
                                .l2 = l2,
                                .l3 = l3});
            }
          }
        }
      }
    }
  }
  std::shuffle(places.begin(), places.end(), random);
  return places;
}

TEST(GuestTopology, AnyTwoVcpusAreRelatedAsTheirPlacesAre) {
  std::mt19937 random(20261122);
  for (int round = 0; round < 300; ++round) {
    const std::vector<VcpuPlace> places = RandomPlaces(random);
    auto made = GuestTopology::Create(places);
    ASSERT_TRUE(made) << made.error().Message();
    const GuestTopology& topology = *made;
    for (size_t a = 0; a < places.size(); ++a) {
      for (size_t b = 0; b < a; ++b) {
        const VcpuPlace &p = places[a], &q = places[b];
        const auto same = [&](uint32_t shift) {
          return topology.apic_id(a) >> shift == topology.apic_id(b) >> shift;
        };
        const bool package = p.package == q.package;
        ASSERT_FALSE(same(0));
        ASSERT_EQ(same(topology.core_shift()), package && p.core == q.core);
        ASSERT_EQ(same(topology.l2_shift()), p.l2 == q.l2);
        ASSERT_EQ(same(topology.l3_shift()), p.l3 == q.l3);
        ASSERT_EQ(same(topology.die_shift()), package && p.die == q.die);
        ASSERT_EQ(same(topology.package_shift()), package);
      }
    }
  }
}

TEST(GuestTopology, RefusesWhatDoesNotNest) {
  const VcpuPlace same[] = {{.core = 1}, {.core = 1}};
  auto duplicate = GuestTopology::Create(same);
  ASSERT_FALSE(duplicate);
  EXPECT_THAT(duplicate.error().Message(), HasSubstr("vCPU 1"));
  const VcpuPlace split_core[] = {{.thread = 0, .l2 = 0}, {.thread = 1, .l2 = 1}};
  EXPECT_FALSE(GuestTopology::Create(split_core));
  const VcpuPlace split_l2[] = {{.core = 0, .l2 = 0, .l3 = 0}, {.core = 1, .l2 = 0, .l3 = 1}};
  EXPECT_FALSE(GuestTopology::Create(split_l2));
  const VcpuPlace split_l3[] = {{.die = 0, .core = 0, .l2 = 0, .l3 = 0},
                                {.die = 1, .core = 1, .l2 = 1, .l3 = 0}};
  EXPECT_FALSE(GuestTopology::Create(split_l3));
  EXPECT_FALSE(GuestTopology::Create({}));
  EXPECT_FALSE(GuestTopology::Uniform(0, 1));
  EXPECT_FALSE(GuestTopology::Uniform(1025, 1));
}

TEST(GuestTopology, RefusesIdsThatKvmCannotHave) {
  std::vector<VcpuPlace> places;
  for (uint32_t package = 0; package < 33; ++package) {
    places.push_back({.package = package, .core = 0, .l2 = package * 100, .l3 = package});
  }
  for (uint32_t core = 1; core < 129; ++core) {
    places.push_back({.core = core, .l2 = 10000 + core, .l3 = 0});
  }
  EXPECT_FALSE(GuestTopology::Create(places));
}

}  // namespace
}  // namespace vmm
