// PodCgroup against directories that look like cgroupfs: what is written where, and what follows
// from a file that is not there.
#include "runtime/cgroup/pod_cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "runtime/base/file.h"

namespace cgroup {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class FakeRoot : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/pinion-cgroup.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  // A directory with empty files, as the kernel would have made it.
  void Group(const std::string& path, const std::vector<std::string>& files) {
    ASSERT_TRUE(base::MakeDirectories(root_ + path));
    for (const std::string& file : files) Put(path + "/" + file, "");
  }
  void Put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(base::WriteFileAtomic(root_ + path, text));
  }
  std::string Text(const std::string& path) {
    const auto text = base::ReadFile(root_ + path);
    return text ? *text : "(absent)";
  }
  Hierarchies Mounted(const std::string& where, const std::string& type,
                      const std::string& options) {
    mounts_ += "1 1 0:1 / " + root_ + where + " rw - " + type + " x " + options + "\n";
    return Hierarchies::FromMountInfo(mounts_);
  }

  std::string root_;
  std::string mounts_;
};

class V2Test : public FakeRoot {
 protected:
  void SetUp() override {
    FakeRoot::SetUp();
    hierarchies_ = Mounted("", "cgroup2", "rw");
    Group("", {"cgroup.subtree_control"});
    Group("/a", {"cgroup.subtree_control"});
    Group("/a/pod", {"cgroup.subtree_control", "cgroup.procs", "cgroup.kill", "cpu.weight"});
    for (const char* leaf : {"/a/pod/vcpu", "/a/pod/vmm"}) {
      Group(leaf, {"cgroup.type", "cgroup.procs", "cgroup.threads", "cpu.max", "cpu.max.burst",
                   "cpuset.cpus", "cpuset.mems", "pids.max"});
    }
  }
  base::Result<PodCgroup> Make(bool limits_wanted = true) {
    return PodCgroup::Create("/a/pod", "p", limits_wanted, hierarchies_);
  }
  Hierarchies hierarchies_;
};

TEST_F(V2Test, MakesAThreadedDomainWithTwoLeaves) {
  auto cgroup = Make();
  ASSERT_TRUE(cgroup) << cgroup.error().Message();
  EXPECT_EQ(Text("/a/pod/vcpu/cgroup.type"), "threaded");
  EXPECT_EQ(Text("/a/pod/vmm/cgroup.type"), "threaded");
  // The last of several writes; memory is for the domain, not for the threaded leaves.
  EXPECT_THAT(Text("/cgroup.subtree_control"), HasSubstr("+memory"));
  EXPECT_THAT(Text("/a/cgroup.subtree_control"), HasSubstr("+memory"));
  EXPECT_THAT(Text("/a/pod/cgroup.subtree_control"), HasSubstr("+pids"));
  EXPECT_TRUE(cgroup->notes().empty());
  EXPECT_THAT(
      cgroup->Directories(),
      ::testing::ElementsAre(root_ + "/a/pod/vcpu", root_ + "/a/pod/vmm", root_ + "/a/pod"));
}

TEST_F(V2Test, PlacesProcessThreadsAndAnchors) {
  auto cgroup = Make();
  ASSERT_TRUE(cgroup);
  ASSERT_TRUE(cgroup->AddVmmProcess(41));
  ASSERT_TRUE(cgroup->AddVcpuThread(42));
  ASSERT_TRUE(cgroup->AddAnchor(43, "/a/pod"));
  ASSERT_TRUE(cgroup->AddVmmThread(44));
  EXPECT_EQ(Text("/a/pod/vmm/cgroup.procs"), "41");
  EXPECT_EQ(Text("/a/pod/vmm/cgroup.threads"), "44");
  EXPECT_EQ(Text("/a/pod/vcpu/cgroup.threads"), "42");
  EXPECT_EQ(Text("/a/pod/cgroup.procs"), "43");
}

TEST_F(V2Test, LimitsGoToTheVcpuLeafAndTheWeightToThePod) {
  auto cgroup = Make();
  ASSERT_TRUE(cgroup);
  ASSERT_TRUE(cgroup->SetVcpuCpuset("2-3", "0"));
  ASSERT_TRUE(cgroup->SetVmmCpuset("0-1", ""));
  ASSERT_TRUE(cgroup->SetCpuLimit({.quota_us = 250000, .period_us = 100000, .shares = 1024}));
  EXPECT_EQ(Text("/a/pod/vcpu/cpuset.cpus"), "2-3");
  EXPECT_EQ(Text("/a/pod/vcpu/cpuset.mems"), "0");
  EXPECT_EQ(Text("/a/pod/vmm/cpuset.cpus"), "0-1");
  EXPECT_EQ(Text("/a/pod/vmm/cpuset.mems"), "");
  EXPECT_EQ(Text("/a/pod/vcpu/cpu.max"), "250000 100000");
  EXPECT_EQ(Text("/a/pod/vmm/cpu.max"), "");
  EXPECT_EQ(Text("/a/pod/cpu.weight"), "39");
}

TEST_F(V2Test, AnEmptyListTakesARestrictionBackAndSoDoesALimitWithoutBurst) {
  auto cgroup = Make();
  ASSERT_TRUE(cgroup);
  Put("/a/pod/vcpu/cpu.max.burst", "7");
  ASSERT_TRUE(cgroup->SetVcpuCpuset("2", "1"));
  Put("/a/pod/cpuset.cpus.effective", "0-7");
  Put("/a/pod/cpuset.mems.effective", "0-1");
  ASSERT_TRUE(cgroup->SetVcpuCpuset("", ""));
  EXPECT_EQ(Text("/a/pod/vcpu/cpuset.cpus"), "0-7");
  EXPECT_EQ(Text("/a/pod/vcpu/cpuset.mems"), "0-1");
  ASSERT_TRUE(cgroup->SetCpuLimit({.quota_us = 50000}));
  EXPECT_EQ(Text("/a/pod/vcpu/cpu.max.burst"), "0");
}

TEST_F(V2Test, NoQuotaIsMax) {
  auto cgroup = Make();
  ASSERT_TRUE(cgroup);
  ASSERT_TRUE(cgroup->SetCpuLimit({.quota_us = -1, .period_us = 50000}));
  EXPECT_EQ(Text("/a/pod/vcpu/cpu.max"), "max 50000");
  EXPECT_EQ(Text("/a/pod/cpu.weight"), "");
}

TEST_F(V2Test, MissingControllersAreNotesUnlessALimitNeedsThem) {
  for (const char* file : {"/a/pod/vcpu/cpu.max", "/a/pod/vcpu/cpuset.cpus", "/a/pod/cpu.weight"}) {
    fs::remove(root_ + file);
  }
  auto cgroup = Make();
  ASSERT_TRUE(cgroup);
  EXPECT_EQ(cgroup->notes().size(), 2u);
  EXPECT_TRUE(cgroup->SetCpuLimit({.shares = 512}));
  EXPECT_TRUE(cgroup->SetVcpuCpuset("1", "0"));
  EXPECT_EQ(cgroup->notes().size(), 4u);
  const auto limited = cgroup->SetCpuLimit({.quota_us = 10000});
  ASSERT_FALSE(limited);
  EXPECT_EQ(limited.error().code(), base::Code::kFailedPrecondition);
  EXPECT_THAT(limited.error().Message(), HasSubstr("10000/100000"));
}

TEST_F(V2Test, RefusesACgroupThatIsInUseAndLeavesItAlone) {
  Put("/a/pod/cgroup.procs", "123\n");
  const auto cgroup = Make();
  ASSERT_FALSE(cgroup);
  EXPECT_EQ(cgroup.error().code(), base::Code::kFailedPrecondition);
  EXPECT_EQ(Text("/a/pod/cgroup.kill"), "");
  EXPECT_EQ(Text("/a/pod/vcpu/cgroup.type"), "");
}

TEST_F(V2Test, RemoveKillsOnlyWhatHasOurLeaves) {
  // rmdir fails on a fake directory (it has files); what matters is what was written before.
  (void)PodCgroup::RemoveAt("/a/pod", "p", hierarchies_);
  EXPECT_EQ(Text("/a/pod/cgroup.kill"), "1");
  Put("/a/pod/cgroup.kill", "");
  fs::remove_all(root_ + "/a/pod/vmm");
  (void)PodCgroup::RemoveAt("/a/pod", "p", hierarchies_);
  EXPECT_EQ(Text("/a/pod/cgroup.kill"), "");
}

TEST_F(V2Test, RemovingNothingIsSuccess) {
  EXPECT_TRUE(PodCgroup::RemoveAt("/b/none", "p", hierarchies_));
}

class V1Test : public FakeRoot {
 protected:
  void SetUp() override {
    FakeRoot::SetUp();
    Mounted("/cpu", "cgroup", "rw,cpu,cpuacct");
    Mounted("/cpuset", "cgroup", "rw,cpuset");
    hierarchies_ = Mounted("/memory", "cgroup", "rw,memory");
    Group("/cpuset", {});
    Put("/cpuset/cpuset.cpus", "0-7\n");
    Put("/cpuset/cpuset.mems", "0-1\n");
    for (const char* path : {"/pod", "/pod/vcpu", "/pod/vmm"}) {
      Group(std::string("/cpuset") + path, {"cpuset.cpus", "cpuset.mems", "cgroup.procs", "tasks"});
      Group(std::string("/cpu") + path,
            {"cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cgroup.procs", "tasks"});
    }
    Group("/memory/pod", {"cgroup.procs"});
  }
  Hierarchies hierarchies_;
};

TEST_F(V1Test, InheritsCpusetsPlacesAndLimits) {
  auto cgroup = PodCgroup::Create("/pod", "p", true, hierarchies_);
  ASSERT_TRUE(cgroup) << cgroup.error().Message();
  EXPECT_EQ(Text("/cpuset/pod/cpuset.cpus"), "0-7");
  EXPECT_EQ(Text("/cpuset/pod/vmm/cpuset.mems"), "0-1");
  ASSERT_TRUE(cgroup->AddVmmProcess(41));
  ASSERT_TRUE(cgroup->AddVcpuThread(42));
  ASSERT_TRUE(cgroup->AddAnchor(43, ""));
  ASSERT_TRUE(cgroup->AddVmmThread(44));
  EXPECT_EQ(Text("/cpu/pod/vmm/cgroup.procs"), "41");
  EXPECT_EQ(Text("/cpuset/pod/vmm/cgroup.procs"), "41");
  EXPECT_EQ(Text("/cpu/pod/vcpu/tasks"), "42");
  EXPECT_EQ(Text("/cpuset/pod/vcpu/tasks"), "42");
  EXPECT_EQ(Text("/cpu/pod/vmm/tasks"), "44");
  EXPECT_EQ(Text("/cpuset/pod/vmm/tasks"), "44");
  EXPECT_EQ(Text("/memory/pod/cgroup.procs"), "43");
  ASSERT_TRUE(cgroup->SetCpuLimit({.quota_us = 25000, .period_us = 100000, .shares = 512}));
  EXPECT_EQ(Text("/cpu/pod/vcpu/cpu.cfs_quota_us"), "25000");
  EXPECT_EQ(Text("/cpu/pod/vcpu/cpu.cfs_period_us"), "100000");
  EXPECT_EQ(Text("/cpu/pod/cpu.shares"), "512");
}

TEST_F(V1Test, AnEmptyListIsWhatThePodHas) {
  auto cgroup = PodCgroup::Create("/pod", "p", true, hierarchies_);
  ASSERT_TRUE(cgroup);
  ASSERT_TRUE(cgroup->SetVcpuCpuset("2-3", "0-0"));
  EXPECT_EQ(Text("/cpuset/pod/vcpu/cpuset.cpus").substr(0, 3), "2-3");
  ASSERT_TRUE(cgroup->SetVcpuCpuset("", ""));
  EXPECT_EQ(Text("/cpuset/pod/vcpu/cpuset.cpus").substr(0, 3), "0-7");
  EXPECT_EQ(Text("/cpuset/pod/vcpu/cpuset.mems").substr(0, 3), "0-1");
}

TEST_F(V1Test, LimitWithoutBandwidthControlIsAnError) {
  fs::remove(root_ + "/cpu/pod/vcpu/cpu.cfs_quota_us");
  auto cgroup = PodCgroup::Create("/pod", "p", true, hierarchies_);
  ASSERT_TRUE(cgroup);
  EXPECT_TRUE(cgroup->SetCpuLimit({.shares = 2}));
  const auto limited = cgroup->SetCpuLimit({.quota_us = 25000});
  ASSERT_FALSE(limited);
  EXPECT_THAT(limited.error().Message(), HasSubstr("cpu.cfs_quota_us"));
}

TEST(PodCgroupTest, WithoutWritableCgroupsOnlyLimitsAreAnError) {
  const auto read_only =
      Hierarchies::FromMountInfo("24 1 0:22 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
  const auto limited = PodCgroup::Create("/a", "p", true, read_only);
  ASSERT_FALSE(limited);
  EXPECT_EQ(limited.error().code(), base::Code::kFailedPrecondition);
  EXPECT_THAT(limited.error().Message(), HasSubstr("/sys/fs/cgroup (read-only)"));
  auto free = PodCgroup::Create("/a", "p", false, read_only);
  ASSERT_TRUE(free);
  EXPECT_EQ(free->notes().size(), 1u);
  EXPECT_TRUE(free->AddVmmProcess(1));
  EXPECT_TRUE(free->SetVcpuCpuset("0", ""));
  EXPECT_TRUE(free->Remove());
}

}  // namespace
}  // namespace cgroup
