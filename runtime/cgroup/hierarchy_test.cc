#include "runtime/cgroup/hierarchy.h"

#include <gtest/gtest.h>

namespace cgroup {
namespace {

constexpr const char* kV2 =
    "24 1 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* kV1 =
    "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
    "31 25 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "32 25 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
constexpr const char* kHybridExtra =
    "33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

TEST(HierarchyTest, PureV2) {
  const auto hierarchies = Hierarchies::FromMountInfo(kV2);
  ASSERT_NE(hierarchies.V2(), nullptr);
  EXPECT_EQ(hierarchies.V2()->mount_point, "/sys/fs/cgroup");
  EXPECT_EQ(hierarchies.V1("cpu"), nullptr);
}

TEST(HierarchyTest, V1ControllersMayShareAMount) {
  const auto hierarchies = Hierarchies::FromMountInfo(kV1);
  ASSERT_NE(hierarchies.V1("cpuacct"), nullptr);
  EXPECT_EQ(hierarchies.V1("cpu"), hierarchies.V1("cpuacct"));
  EXPECT_EQ(hierarchies.V1("cpuset")->mount_point, "/sys/fs/cgroup/cpuset");
  EXPECT_EQ(hierarchies.V1("memory"), nullptr);
}

TEST(HierarchyTest, HybridIsV1) {
  const auto hierarchies = Hierarchies::FromMountInfo(std::string(kV1) + kHybridExtra);
  EXPECT_EQ(hierarchies.V2(), nullptr);
  EXPECT_NE(hierarchies.V1("cpu"), nullptr);
}

TEST(HierarchyTest, ReadOnlyMountsDoNotCount) {
  const auto by_mount =
      Hierarchies::FromMountInfo("24 1 0:22 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(by_mount.V2(), nullptr);
  EXPECT_EQ(by_mount.Describe(), "v2 at /sys/fs/cgroup (read-only)");
  const auto by_super =
      Hierarchies::FromMountInfo("24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 ro\n");
  EXPECT_EQ(by_super.V2(), nullptr);
}

TEST(HierarchyTest, SenselessLinesArePassedOver) {
  const auto hierarchies =
      Hierarchies::FromMountInfo(std::string("x\n - cgroup2 \n1 2 3 - cgroup2 a rw\n\n") + kV2);
  EXPECT_EQ(hierarchies.all().size(), 1u);
  EXPECT_EQ(Hierarchies::FromMountInfo("").Describe(), "none");
}

}  // namespace
}  // namespace cgroup
