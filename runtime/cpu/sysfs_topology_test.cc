#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "runtime/base/file.h"
#include "runtime/cpu/testing_host.h"
#include "runtime/cpu/topology.h"

namespace cpu {
namespace {

namespace fs = std::filesystem;

class SysfsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/pinion-sysfs.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }
  void Put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + "/" + path).parent_path());
    ASSERT_TRUE(base::WriteFileAtomic(root_ + "/" + path, text + "\n"));
  }
  // The files of TwoPackages(), as Linux 6.1 writes them.
  void PutTwoPackages() {
    Put("cpu/online", "0-15");
    Put("cpu/isolated", "15");
    Put("node/online", "0-1");
    for (uint32_t id = 0; id < 16; ++id) {
      const uint32_t core = id % 8;
      const std::string package = core < 4 ? "0-3,8-11" : "4-7,12-15";
      const std::string siblings = fmt::format("{},{}", core, core + 8);
      const std::string cpu = fmt::format("cpu/cpu{}/", id);
      Put(cpu + "topology/package_cpus_list", package);
      Put(cpu + "topology/die_cpus_list", package);
      Put(cpu + "topology/core_cpus_list", siblings);
      Put(cpu + "cache/index0/level", "1");
      Put(cpu + "cache/index0/shared_cpu_list", siblings);
      Put(cpu + "cache/index1/level", "2");
      Put(cpu + "cache/index1/shared_cpu_list", siblings);
      Put(cpu + "cache/index2/level", "3");
      Put(cpu + "cache/index2/shared_cpu_list", package);
    }
    for (uint32_t node = 0; node < 2; ++node) {
      const std::string path = fmt::format("node/node{}/", node);
      Put(path + "cpulist", node == 0 ? "0-3,8-11" : "4-7,12-15");
      Put(path + "meminfo",
          fmt::format("Node {} MemTotal:       67108864 kB\nNode {} MemFree: 1 kB", node, node));
      Put(path + "distance", node == 0 ? "10 20" : "20 10");
    }
  }
  HostTopology Read() {
    auto host = ReadHostTopology(root_);
    EXPECT_TRUE(host) << host.error().Message();
    return host ? std::move(*host) : HostTopology();
  }
  std::string root_;
};

TEST_F(SysfsTest, ReadsTwoPackages) {
  PutTwoPackages();
  const HostTopology host = Read();
  HostTopology wanted = TwoPackages();
  wanted.cpus[15].isolated = true;
  EXPECT_EQ(host.cpus, wanted.cpus);
  EXPECT_EQ(host.nodes, wanted.nodes);
  EXPECT_TRUE(host.notes.empty());
}

TEST_F(SysfsTest, OfflineCpusAreNotThere) {
  PutTwoPackages();
  Put("cpu/online", "0-2,8-11");
  const HostTopology host = Read();
  EXPECT_EQ(host.Online().ToString(), "0-2,8-11");
  EXPECT_EQ(host.Find(3), nullptr);
  // CPU 11 has lost its sibling and is its core's first thread.
  EXPECT_EQ(host.Find(11)->thread, 0u);
  EXPECT_EQ(host.Find(10)->core, host.Find(2)->core);
}

TEST_F(SysfsTest, MissingLevelsAreFilledInWithNotes) {
  Put("cpu/online", "0-3");
  const HostTopology host = Read();
  ASSERT_EQ(host.cpus.size(), 4u);
  for (const HostCpu& cpu : host.cpus) {
    EXPECT_EQ(cpu.package, 0u);
    EXPECT_EQ(cpu.core, cpu.id);
    EXPECT_EQ(cpu.thread, 0u);
    EXPECT_EQ(cpu.l3, 0u);
    EXPECT_EQ(cpu.l2, cpu.id);
  }
  ASSERT_EQ(host.nodes.size(), 1u);
  EXPECT_EQ(host.notes.size(), 6u);
}

TEST_F(SysfsTest, ContradictionsFallBack) {
  PutTwoPackages();
  Put("cpu/cpu2/topology/core_cpus_list", "3,11");    // not itself
  Put("cpu/cpu5/cache/index2/shared_cpu_list", "x");  // no list
  const HostTopology host = Read();
  EXPECT_EQ(host.notes.size(), 2u);
  for (const HostCpu& cpu : host.cpus) EXPECT_EQ(cpu.thread, 0u);
  EXPECT_EQ(host.Find(0)->l3, host.Find(8)->l3);
}

TEST_F(SysfsTest, NoListOfCpusIsAnError) {
  EXPECT_FALSE(ReadHostTopology(root_));
  Put("cpu/online", "");
  EXPECT_FALSE(ReadHostTopology(root_));
  Put("cpu/online", "0-");
  EXPECT_FALSE(ReadHostTopology(root_));
}

TEST(HostTopologyTest, ThisMachineCanBeRead) {
  const auto host = ReadHostTopology();
  ASSERT_TRUE(host) << host.error().Message();
  EXPECT_FALSE(host->cpus.empty());
  EXPECT_FALSE(host->nodes.empty());
}

}  // namespace
}  // namespace cpu
