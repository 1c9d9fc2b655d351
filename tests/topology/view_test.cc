#include "tests/topology/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace topology {
namespace {

using ::testing::HasSubstr;

// Two cores of one package, an L2 each and one L3.
Case TwoCores() {
  Case planned;
  planned.plan.vcpus = {{.core = 0, .l2 = 0}, {.core = 1, .l2 = 1}};
  planned.distances = {{10}};
  return planned;
}

constexpr char kCpu0[] =
    "cpu 0 apic 0 proc 0 pkgid 0 shifts 0,1,1 sharing d1:0,i1:0,u2:0,u3:1 core 0 die 0-1 package "
    "0-1 cache d1:0;i1:0;u2:0;u3:0-1\n";
constexpr char kCpu1[] =
    "cpu 1 apic 1 proc 1 pkgid 0 shifts 0,1,1 sharing d1:0,i1:0,u2:0,u3:1 core 1 die 0-1 package "
    "0-1 cache d1:1;i1:1;u2:1;u3:0-1\n";
constexpr char kNode[] = "node 0 cpus 0-1 distance 10 kib 65536\n";

std::string Good() { return std::string("noise\n") + kCpu0 + kCpu1 + kNode + "end\n"; }

std::string Judge(const std::string& from, const std::string& to) {
  std::string dump = Good();
  const size_t at = dump.rfind(from);
  EXPECT_NE(at, std::string::npos) << from;
  dump.replace(at, from.size(), to);
  const auto same = Compare(TwoCores(), dump);
  return same ? "the same" : same.error().Message();
}

TEST(TopologyView, TakesAGuestThatIsAsPlanned) {
  const auto same = Compare(TwoCores(), Good());
  EXPECT_TRUE(same) << same.error().Message();
}

TEST(TopologyView, FindsEachRelationThatDiffers) {
  EXPECT_THAT(Judge("core 1 die", "core 0-1 die"), HasSubstr("core by sysfs"));
  EXPECT_THAT(Judge("die 0-1", "die 1"), HasSubstr("die by sysfs"));
  EXPECT_THAT(Judge("package 0-1", "package 1"), HasSubstr("package by sysfs"));
  EXPECT_THAT(Judge("pkgid 0", "pkgid 1"), HasSubstr("package by its number"));
  EXPECT_THAT(Judge("shifts 0,1,1", "shifts 1,1,1"), HasSubstr("core by CPUID"));
  EXPECT_THAT(Judge("u2:1;", "u2:0-1;"), HasSubstr("cache u2 by sysfs"));
  EXPECT_THAT(Judge("u3:1 core", "u3:0 core"), HasSubstr("cache u3 by CPUID"));
  EXPECT_THAT(Judge("proc 1", "proc 2"), HasSubstr("apicid 2"));
  EXPECT_THAT(Judge("apic 1 proc 1", "apic 2 proc 2"), HasSubstr("the ids"));
  EXPECT_THAT(Judge("cpus 0-1", "cpus 0"), HasSubstr("node"));
  EXPECT_THAT(Judge("distance 10", "distance 11"), HasSubstr("distances"));
  EXPECT_THAT(Judge(kNode, ""), HasSubstr("node"));
  EXPECT_THAT(Judge(kCpu1, ""), HasSubstr("the ids"));
  EXPECT_THAT(Judge("end", ""), HasSubstr("no end"));
}

TEST(TopologyCases, ANumberAlwaysGivesTheSameCase) {
  for (uint32_t number = 0; number < 200; ++number) {
    const auto once = MakeCase(20261122, number);
    const auto again = MakeCase(20261122, number);
    ASSERT_TRUE(once && again) << number;
    EXPECT_EQ(once->text, again->text);
    EXPECT_EQ(once->plan.vcpus, again->plan.vcpus);
    EXPECT_FALSE(once->plan.vcpus.empty());
  }
}

}  // namespace
}  // namespace topology
