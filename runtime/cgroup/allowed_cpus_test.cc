#include "runtime/cgroup/allowed_cpus.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "runtime/base/file.h"

namespace cgroup {
namespace {

class AllowedCpusTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/pinion-allowed.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(base::MakeDirectories(root_ + path.substr(0, path.rfind('/'))));
    ASSERT_TRUE(base::WriteFileAtomic(root_ + path, text + "\n"));
  }
  Hierarchies V1() {
    return Hierarchies::FromMountInfo("30 1 0:1 / " + root_ + " rw - cgroup cgroup rw,cpuset\n");
  }
  Hierarchies V2() {
    return Hierarchies::FromMountInfo("30 1 0:1 / " + root_ + " rw - cgroup2 cgroup2 rw\n");
  }
  std::string root_;
};

TEST_F(AllowedCpusTest, TheNearestAncestorThatSaysSo) {
  Put("/cpuset.cpus.effective", "0-7");
  Put("/kubepods/cpuset.cpus.effective", "2-5");
  Put("/kubepods/pod/cgroup.procs", "");  // no cpuset controller here
  EXPECT_EQ(AllowedCpus("/kubepods/pod/c", V2()), "2-5");
  EXPECT_EQ(AllowedCpus("/kubepods", V2()), "2-5");
  EXPECT_EQ(AllowedCpus("/default/c", V2()), "0-7");
  EXPECT_EQ(AllowedCpus("/", V2()), "0-7");
}

TEST_F(AllowedCpusTest, V1MayHaveEmptySetsAndNoEffectiveOnes) {
  Put("/cpuset.cpus", "0-3");
  Put("/a/cpuset.cpus", "");  // as every new cgroup
  EXPECT_EQ(AllowedCpus("/a/b", V1()), "0-3");
  Put("/a/cpuset.effective_cpus", "1");
  EXPECT_EQ(AllowedCpus("/a/b", V1()), "1");
}

TEST_F(AllowedCpusTest, NothingIsSaidWithoutACpusetController) {
  EXPECT_EQ(AllowedCpus("/a", V2()), "");
  EXPECT_EQ(AllowedCpus("/a", Hierarchies()), "");
}

}  // namespace
}  // namespace cgroup
