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
  EXPECT_EQ(host.notes.size(), 7u);  // package, die, core, L1, L2, L3, nodes
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

TEST_F(SysfsTest, SmtOffLeavesOneThreadACore) {
  PutTwoPackages();
  Put("cpu/online", "0-7");
  const HostTopology host = Read();
  ASSERT_EQ(host.cpus.size(), 8u);
  for (const HostCpu& cpu : host.cpus) EXPECT_EQ(cpu.thread, 0u);
  EXPECT_EQ(host.Find(7)->core, 3u);
  EXPECT_TRUE(host.notes.empty());
}

TEST_F(SysfsTest, DiesAndCoreComplexesNest) {
  // One package of two dies; the first has two core complexes, numbers alternate between the dies.
  Put("cpu/online", "0-7");
  for (uint32_t id = 0; id < 8; ++id) {
    const std::string cpu = fmt::format("cpu/cpu{}/", id);
    const bool second = id % 2 == 1;
    Put(cpu + "topology/package_cpus_list", "0-7");
    Put(cpu + "topology/die_cpus_list", second ? "1,3,5,7" : "0,2,4,6");
    Put(cpu + "topology/core_cpus_list", std::to_string(id));
    Put(cpu + "cache/index0/level", "3");
    Put(cpu + "cache/index0/shared_cpu_list", second ? "1,3,5,7" : id < 4 ? "0,2" : "4,6");
  }
  const HostTopology host = Read();
  EXPECT_EQ(host.Find(0)->l3, host.Find(2)->l3);
  EXPECT_NE(host.Find(2)->l3, host.Find(4)->l3);
  EXPECT_EQ(host.Find(2)->die, host.Find(4)->die);
  EXPECT_EQ(host.Find(7)->die, 1u);
  EXPECT_EQ(host.Find(1)->core, 4u);  // unique in the package, in the order of dies
}

TEST_F(SysfsTest, OlderNamesAndIdsDo) {
  PutTwoPackages();
  for (uint32_t id = 0; id < 16; ++id) {
    const std::string topology = fmt::format("cpu/cpu{}/topology/", id);
    for (const char* file : {"package_cpus_list", "die_cpus_list", "core_cpus_list"}) {
      fs::remove(root_ + "/" + topology + file);
    }
    // Linux before 5.3 has lists under these names; core_id may have holes.
    Put(topology + "core_siblings_list", id % 8 < 4 ? "0-3,8-11" : "4-7,12-15");
    Put(topology + "die_id", "0");
    Put(topology + "core_id", std::to_string(id % 4 * 8));
  }
  const HostTopology host = Read();
  HostTopology wanted = TwoPackages();
  wanted.cpus[15].isolated = true;
  EXPECT_EQ(host.cpus, wanted.cpus);
  EXPECT_EQ(host.notes.size(), 2u);  // die and core by id
}

TEST_F(SysfsTest, ClustersAreALevelOnArm64Only) {
  PutTwoPackages();
  for (uint32_t id = 0; id < 16; ++id) {
    const char* const list = id % 8 < 2   ? "0-1,8-9"
                             : id % 8 < 4 ? "2-3,10-11"
                             : id % 8 < 6 ? "4-5,12-13"
                                          : "6-7,14-15";
    Put(fmt::format("cpu/cpu{}/topology/cluster_cpus_list", id), list);
  }
  for (const HostCpu& cpu : Read().cpus) EXPECT_EQ(cpu.cluster, 0u);
  Put("cpu/cpu0/regs/identification/midr_el1", "0x00000000413fd0c1");
  const HostTopology host = Read();
  EXPECT_EQ(host.Find(1)->cluster, 0u);
  EXPECT_EQ(host.Find(10)->cluster, 1u);
  EXPECT_EQ(host.Find(7)->cluster, 1u);
}

TEST_F(SysfsTest, CoresWithoutAnL3StandAlone) {
  PutTwoPackages();
  for (const uint32_t id : {3u, 11u})
    fs::remove_all(root_ + fmt::format("/cpu/cpu{}/cache/index2", id));
  for (const uint32_t id : {0u, 1u, 2u, 8u, 9u, 10u}) {
    Put(fmt::format("cpu/cpu{}/cache/index2/shared_cpu_list", id), "0-2,8-10");
  }
  const HostTopology host = Read();
  EXPECT_EQ(host.Find(3)->l3, host.Find(11)->l3);
  EXPECT_NE(host.Find(3)->l3, host.Find(2)->l3);
  EXPECT_EQ(host.Find(8)->l3, host.Find(2)->l3);
}

TEST_F(SysfsTest, WithoutAListTheDirectoriesAreCounted) {
  PutTwoPackages();
  fs::remove(root_ + "/cpu/online");
  Put("cpu/cpu5/online", "0");
  Put("cpu/cpufreq/x", "");
  const HostTopology host = Read();
  EXPECT_EQ(host.Online().ToString(), "0-4,6-15");
  EXPECT_EQ(host.notes.size(), 1u);
}

TEST_F(SysfsTest, AnL3OverTwoDiesIsDivided) {
  PutTwoPackages();
  for (uint32_t id = 0; id < 16; ++id) {
    Put(fmt::format("cpu/cpu{}/topology/die_cpus_list", id),
        id % 4 < 2 ? (id % 8 < 4 ? "0-1,8-9" : "4-5,12-13")
                   : (id % 8 < 4 ? "2-3,10-11" : "6-7,14-15"));
  }
  const HostTopology host = Read();
  EXPECT_EQ(host.notes.size(), 1u);
  EXPECT_NE(host.Find(0)->l3, host.Find(2)->l3);
}

TEST(HostTopologyTest, ThisMachineCanBeRead) {
  const auto host = ReadHostTopology();
  ASSERT_TRUE(host) << host.error().Message();
  EXPECT_FALSE(host->cpus.empty());
  EXPECT_FALSE(host->nodes.empty());
}

}  // namespace
}  // namespace cpu
