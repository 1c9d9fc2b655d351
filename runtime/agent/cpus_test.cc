// On a directory like /sys/devices/system/cpu, whose files do not act: what is written is looked
// at.
#include "runtime/agent/cpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "runtime/base/file.h"

namespace agent {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CpusTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/agent-cpus-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    Put("present", "0-2\n");
    Put("online", "0,2\n");
    // The CPU that came second is vCPU 3.
    const int uids[] = {0, 3, 1};
    for (int cpu = 0; cpu < 3; ++cpu) {
      const std::string path = "cpu" + std::to_string(cpu);
      fs::create_directories(directory_ + "/" + path + "/firmware_node");
      Put(path + "/firmware_node/uid", std::to_string(uids[cpu]) + "\n");
      if (cpu != 0) Put(path + "/online", cpu == 2 ? "1" : "0");
    }
  }
  void TearDown() override { fs::remove_all(directory_); }
  void Put(const std::string& file, const std::string& text) {
    std::ofstream(directory_ + "/" + file) << text;
  }
  std::string Get(const std::string& file) {
    const auto text = base::ReadFile(directory_ + "/" + file);
    return text ? *text : "unreadable";
  }
  std::string directory_;
};

TEST_F(CpusTest, CpusAreNamedByTheUidOfTheirDevice) {
  const auto cpus = ReadCpus(directory_);
  ASSERT_TRUE(cpus) << cpus.error().Message();
  EXPECT_THAT(*cpus,
              ElementsAre(GuestCpu{0, 0, true}, GuestCpu{1, 3, false}, GuestCpu{2, 1, true}));
}

TEST_F(CpusTest, WithoutDevicesTheNumberIsTheIndex) {
  fs::remove_all(directory_ + "/cpu1/firmware_node");
  const auto cpus = ReadCpus(directory_);
  ASSERT_TRUE(cpus);
  EXPECT_EQ((*cpus)[1].vcpu, 1u);
}

TEST_F(CpusTest, AListHasTheKernelsNumbers) {
  const uint32_t vcpus[] = {1, 3};
  EXPECT_EQ(*CpuListOf(vcpus, directory_), "2,1");
  EXPECT_EQ(*CpuListOf({}, directory_), "");
  const uint32_t absent[] = {0, 2};
  const auto missing = CpuListOf(absent, directory_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), base::Code::kNotFound);
}

TEST_F(CpusTest, WritesAndThenLooks) {
  const uint32_t vcpus[] = {3};
  // The list does not follow what is written here, and that is noticed.
  const auto unconfirmed = SetCpusOnline(vcpus, true, directory_);
  ASSERT_FALSE(unconfirmed);
  EXPECT_THAT(unconfirmed.error().Message(), HasSubstr("vCPU 3 is not online"));
  EXPECT_EQ(Get("cpu1/online"), "1");
  Put("online", "0-2\n");
  const auto confirmed = SetCpusOnline(vcpus, true, directory_);
  ASSERT_TRUE(confirmed);
  EXPECT_EQ(confirmed->size(), 3u);
}

TEST_F(CpusTest, RefusesBeforeItChangesAnything) {
  const uint32_t absent[] = {1, 7};
  const auto missing = SetCpusOnline(absent, false, directory_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), base::Code::kNotFound);
  const uint32_t boot[] = {1, 0};
  const auto first = SetCpusOnline(boot, false, directory_);
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(Get("cpu2/online"), "1");
}

TEST_F(CpusTest, ChangesBackWhenTheKernelRefuses) {
  Put("online", "0\n");
  Put("cpu2/online", "0");
  fs::remove(directory_ + "/cpu1/online");
  fs::create_directory(directory_ + "/cpu1/online");  // a write to it fails
  const uint32_t vcpus[] = {1, 3};
  const auto refused = SetCpusOnline(vcpus, true, directory_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().Message(), HasSubstr("vCPU 3, the guest's CPU 1"));
  EXPECT_EQ(Get("cpu2/online"), "0");
}

}  // namespace
}  // namespace agent
