#include "vmm/memory/bind_nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "vmm/memory/guest_memory.h"

namespace vmm {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

// The policy that numa_maps(5) shows for a mapping; empty where the kernel has no NUMA.
std::string PolicyOf(const std::byte* address) {
  std::ifstream maps("/proc/self/numa_maps");
  const std::string start = fmt::format("{:x} ", reinterpret_cast<uintptr_t>(address));
  for (std::string line; std::getline(maps, line);) {
    if (line.compare(0, start.size(), start) == 0) {
      return line.substr(start.size(), line.find(' ', start.size()) - start.size());
    }
  }
  return {};
}

bool HostHasNuma() { return std::ifstream("/proc/self/numa_maps").good(); }

TEST(BindNodes, EachGuestNodeIsBoundToItsHostNodes) {
  const MemoryNode nodes[] = {{2 * kMiB, {}}, {4 * kMiB, {0}}};
  auto memory = GuestMemory::Create(6 * kMiB, nodes);
  ASSERT_TRUE(memory) << memory.error().Message();
  if (!HostHasNuma()) return;  // nothing to look at, and nothing to bind
  const std::byte* start = (*memory)->regions()[0].host;
  EXPECT_EQ(PolicyOf(start), "default");
  EXPECT_EQ(PolicyOf(start + 2 * kMiB), "bind:0");
}

TEST(BindNodes, RefusesNodesThatAreNotThere) {
  const MemoryNode too_high[] = {{kMiB, {kMaxHostNodes}}};
  auto refused = GuestMemory::Create(kMiB, too_high);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().Message(), HasSubstr("host node 1024"));
  const MemoryNode absent[] = {{kMiB, {kMaxHostNodes - 1}}};
  refused = GuestMemory::Create(kMiB, absent);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().Message(), HasSubstr("host nodes 1023"));
}

TEST(GuestMemoryNodes, AreFoundOnBothSidesOfTheHole) {
  const MemoryNode nodes[] = {{GuestMemory::kHoleStart - 16 * kMiB, {}}, {48 * kMiB, {}}};
  auto memory = GuestMemory::Create(GuestMemory::kHoleStart + 32 * kMiB, nodes);
  ASSERT_TRUE(memory) << memory.error().Message();
  const auto ranges = (*memory)->node_ranges();
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[0].node, 0u);
  EXPECT_EQ(ranges[0].size, GuestMemory::kHoleStart - 16 * kMiB);
  EXPECT_EQ(ranges[1].node, 1u);
  EXPECT_EQ(ranges[1].start.value, GuestMemory::kHoleStart - 16 * kMiB);
  EXPECT_EQ(ranges[1].size, 16 * kMiB);
  EXPECT_EQ(ranges[2].node, 1u);
  EXPECT_EQ(ranges[2].start.value, GuestMemory::kHoleEnd);
  EXPECT_EQ(ranges[2].size, 32 * kMiB);
}

TEST(GuestMemoryNodes, MustAddUp) {
  const MemoryNode little[] = {{kMiB, {}}};
  EXPECT_FALSE(GuestMemory::Create(2 * kMiB, little));
  const MemoryNode much[] = {{kMiB, {}}, {2 * kMiB, {}}};
  EXPECT_FALSE(GuestMemory::Create(2 * kMiB, much));
  const MemoryNode odd[] = {{kMiB + 1, {}}, {kMiB - 1, {}}};
  EXPECT_FALSE(GuestMemory::Create(2 * kMiB, odd));
}

}  // namespace
}  // namespace vmm
