#include "runtime/cpu/topology_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "runtime/cpu/arrange.h"
#include "runtime/cpu/testing_host.h"

namespace cpu {
namespace {

using ::testing::HasSubstr;

std::string Refusal(const std::string& json) {
  const auto host = ReadTopologyJson(json);
  if (host) return "read";
  EXPECT_EQ(host.error().code(), base::Code::kInvalidArgument);
  return host.error().Message();
}

HostTopology Read(const std::string& json) {
  auto host = ReadTopologyJson(json);
  EXPECT_TRUE(host) << host.error().Message();
  return host ? std::move(*host) : HostTopology();
}

TEST(TopologyJsonTest, WhatIsWrittenReadsBack) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    HostTopology host = RandomHost(random);
    Arrange(host);
    ASSERT_TRUE(host.notes.empty());
    const HostTopology again = Read(WriteTopologyJson(host));
    EXPECT_EQ(again.cpus, host.cpus);
    EXPECT_EQ(again.nodes, host.nodes);
    EXPECT_TRUE(again.notes.empty());
  }
}

TEST(TopologyJsonTest, NamesMayBeAnyNumbers) {
  // Ids in any order, names with holes, core numbers that start again in each package.
  const HostTopology host = Read(R"({"cpus":[
    {"id":9,"package":70,"die":3,"cluster":0,"core":40,"thread":1,"l2":8,"l3":8,"node":4},
    {"id":2,"package":10,"die":0,"cluster":0,"core":40,"thread":0,"l2":5,"l3":5,"node":0},
    {"id":5,"package":70,"die":3,"cluster":0,"core":40,"thread":0,"l2":8,"l3":8,"node":4}],
    "nodes":[{"id":4,"memory_mib":10,"distances":[10,30]},{"id":0,"memory_mib":20,"distances":[30,10]}]})");
  ASSERT_EQ(host.cpus.size(), 3u);
  EXPECT_EQ(host.cpus[0], (HostCpu{.id = 2}));
  EXPECT_EQ(host.cpus[1], (HostCpu{.id = 5, .package = 1, .l1 = 1, .l2 = 1, .l3 = 1, .node = 4}));
  EXPECT_EQ(host.Find(9)->thread, 1u);
  EXPECT_EQ(host.Find(9)->core, 0u);
  EXPECT_EQ(host.nodes[0].id, 0u);
  EXPECT_EQ(host.MemoryMib(CpuSet{0, 4}), 30u);
}

TEST(TopologyJsonTest, LevelsThatNobodyNamesDegradeWithNotes) {
  const HostTopology host = Read(R"({"cpus":[{"id":0},{"id":1},{"id":2,"online":false}]})");
  EXPECT_EQ(host.Online().ToString(), "0-1");
  EXPECT_EQ(host.Find(1)->core, 1u);
  EXPECT_EQ(host.Find(1)->l2, 1u);
  EXPECT_EQ(host.Find(1)->l3, 0u);
  EXPECT_EQ(host.nodes.size(), 1u);
  EXPECT_EQ(host.notes.size(), 5u);
}

TEST(TopologyJsonTest, CoresWithoutAnL3StandAlone) {
  const HostTopology host = Read(R"({"cpus":[{"id":0,"core":0,"l3":0},{"id":1,"core":1,"l3":0},
    {"id":2,"core":2},{"id":3,"core":3}],"nodes":[{"id":0}]})");
  EXPECT_EQ(host.Find(0)->l3, host.Find(1)->l3);
  EXPECT_NE(host.Find(2)->l3, host.Find(1)->l3);
  EXPECT_NE(host.Find(2)->l3, host.Find(3)->l3);
}

TEST(TopologyJsonTest, CachesThatCutThroughLevelsAreReplaced) {
  const HostTopology host = Read(R"({"cpus":[
    {"id":0,"package":0,"core":0,"thread":0,"l2":0,"l3":0},
    {"id":1,"package":0,"core":0,"thread":1,"l2":1,"l3":0},
    {"id":2,"package":1,"core":0,"thread":0,"l2":2,"l3":0}],"nodes":[{"id":0}]})");
  EXPECT_EQ(host.Find(0)->l2, host.Find(1)->l2);
  EXPECT_NE(host.Find(0)->l3, host.Find(2)->l3);
  EXPECT_EQ(host.notes.size(), 2u);
}

TEST(TopologyJsonTest, SaysWhatIsWrong) {
  EXPECT_THAT(Refusal("{"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("[]"), HasSubstr("an object must be"));
  EXPECT_THAT(Refusal("{}"), HasSubstr("without an online CPU"));
  EXPECT_THAT(Refusal(R"({"cpus":{}})"), HasSubstr("cpus: an object where an array"));
  EXPECT_THAT(Refusal(R"({"cpus":[7]})"), HasSubstr("cpus[0]"));
  EXPECT_THAT(Refusal(R"({"cpus":[{"package":0}]})"), HasSubstr("without an \"id\""));
  EXPECT_THAT(Refusal(R"({"cpus":[{"id":-1}]})"), HasSubstr("cpus[0].id: -1"));
  EXPECT_THAT(Refusal(R"({"cpus":[{"id":1000000000}]})"), HasSubstr("1000000000"));
  EXPECT_THAT(Refusal(R"({"cpus":[{"id":"0"}]})"), HasSubstr("cpus[0].id"));
  EXPECT_THAT(Refusal(R"({"cpus":[{"id":0,"core":1.5}]})"), HasSubstr("cpus[0].core"));
  EXPECT_THAT(Refusal(R"({"cpus":[{"id":0},{"id":0}]})"), HasSubstr("CPU 0 is there twice"));
  EXPECT_THAT(Refusal(R"({"cpus":[{"id":0,"package":0},{"id":1}]})"), HasSubstr("1 of 2"));
  EXPECT_THAT(Refusal(R"({"cpus":[{"id":0,"node":3}],"nodes":[{"id":0}]})"),
              HasSubstr("CPU 0 is on node 3 (nodes: 0)"));
  EXPECT_THAT(Refusal(R"({"cpus":[{"id":0}],"nodes":[{"id":0,"distances":[10,20]}]})"),
              HasSubstr("2 distances to 1 nodes"));
  EXPECT_THAT(Refusal(R"({"cpus":[{"id":0}],"nodes":[{"id":0},{"id":0}]})"),
              HasSubstr("node 0 is there twice"));
}

TEST(TopologyJsonTest, AHostIsADirectoryOrAFile) {
  EXPECT_TRUE(ReadHost("/sys/devices/system"));
  EXPECT_THAT(ReadHost("/nowhere").error().Message(), HasSubstr("/nowhere"));
  EXPECT_THAT(ReadHost("/dev/zero").error().Message(), HasSubstr("16777216"));
  EXPECT_THAT(ReadHost("/dev/null").error().Message(), HasSubstr("/dev/null: not JSON"));
}

}  // namespace
}  // namespace cpu
