// PodCgroup against this machine's cgroups, where they can be written. On a hybrid machine both
// versions are tried: the unified hierarchy without controllers still has threaded cgroups.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "runtime/base/file.h"
#include "runtime/base/subprocess.h"
#include "runtime/cgroup/files.h"
#include "runtime/cgroup/pod_cgroup.h"

namespace cgroup {
namespace {

std::string TestPath(const char* name) {
  return "/pinion-unit-test-" + std::to_string(getpid()) + "/" + name;
}

base::Result<base::Subprocess> Sleeper() {
  return base::Subprocess::Spawn({.program = "/bin/sleep", .argv = {"sleep", "600"}});
}

// A group that can be made is what "can be written" means: some sandboxes mount rw and refuse.
bool CanMakeGroups(const std::string& root) {
  const std::string probe = root + TestPath("probe").substr(0, TestPath("probe").rfind('/'));
  if (geteuid() != 0 || mkdir(probe.c_str(), 0755) != 0) return false;
  rmdir(probe.c_str());
  return true;
}

void PlaceLimitAndRemove(const Hierarchies& hierarchies, const std::string& root) {
  const std::string path = TestPath("pod");
  auto cgroup = PodCgroup::Create(path, "p", false, hierarchies);
  ASSERT_TRUE(cgroup) << cgroup.error().Message();
  auto vmm = Sleeper();
  ASSERT_TRUE(vmm) << vmm.error().Message();
  auto anchor = Sleeper();
  ASSERT_TRUE(anchor);

  auto added = cgroup->AddVmmProcess(vmm->pid());
  ASSERT_TRUE(added) << added.error().Message();
  // sleep has one thread: its first stands for a vCPU's.
  added = cgroup->AddVcpuThread(vmm->pid());
  ASSERT_TRUE(added) << added.error().Message();
  added = cgroup->AddAnchor(anchor->pid(), path);
  ASSERT_TRUE(added) << added.error().Message();
  const auto where = base::ReadFile("/proc/" + std::to_string(vmm->pid()) + "/cgroup");
  ASSERT_TRUE(where);
  EXPECT_NE(where->find(path + "/vcpu"), std::string::npos) << *where;

  const bool has_cpu =
      Exists(root + path + "/vcpu/cpu.max") || Exists(root + path + "/vcpu/cpu.cfs_quota_us");
  const auto limited = cgroup->SetCpuLimit({.quota_us = 50000, .shares = 512});
  EXPECT_EQ(limited.has_value(), has_cpu);

  // A second pod cannot take a path that is in use, and the failed attempt harms nobody.
  EXPECT_FALSE(PodCgroup::Create(path, "p", false, hierarchies));
  const auto ended = vmm->TryWait();
  EXPECT_TRUE(ended && !ended->has_value());

  const auto removed = cgroup->Remove();
  EXPECT_TRUE(removed) << removed.error().Message();
  EXPECT_FALSE(Exists(root + path));
  const auto vmm_status = vmm->Wait();
  ASSERT_TRUE(vmm_status);
  EXPECT_EQ(base::ExitCode(*vmm_status), 128 + 9);
  const auto anchor_status = anchor->Wait();
  ASSERT_TRUE(anchor_status);
  EXPECT_EQ(base::ExitCode(*anchor_status), 128 + 9);
  EXPECT_TRUE(cgroup->Remove());
  const size_t parent_end = path.rfind('/');
  for (const Hierarchy& hierarchy : hierarchies.all()) {
    rmdir((hierarchy.mount_point + path.substr(0, parent_end)).c_str());
  }
}

// One test for whatever is here, so that a machine with one version only has nothing to skip.
TEST(RealCgroupTest, PlacesLimitsAndRemoves) {
  const Hierarchies host = Hierarchies::Host();
  bool tried = false;
  const Hierarchy* v1 = host.V1("cpu");
  if (v1 && CanMakeGroups(v1->mount_point)) {
    SCOPED_TRACE("cgroup v1");
    tried = true;
    PlaceLimitAndRemove(host, v1->mount_point);
  }
  for (const Hierarchy& hierarchy : host.all()) {
    if (!hierarchy.v2 || !hierarchy.writable || !CanMakeGroups(hierarchy.mount_point)) continue;
    SCOPED_TRACE("cgroup v2");
    tried = true;
    const auto alone = Hierarchies::FromMountInfo("1 1 0:1 / " + hierarchy.mount_point +
                                                  " rw - cgroup2 cgroup2 rw\n");
    PlaceLimitAndRemove(alone, hierarchy.mount_point);
    break;
  }
  if (!tried) GTEST_SKIP() << "no cgroup can be made on this machine";
}

}  // namespace
}  // namespace cgroup
