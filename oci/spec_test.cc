#include "oci/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "oci/state.h"

namespace oci {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The shape of what `ctr run` of containerd 1.6 to 2.1 writes: many fields, some null.
constexpr const char* kCtrSpec = R"({
  "ociVersion": "1.1.0",
  "process": {
    "user": {"uid": 0, "gid": 0, "additionalGids": [0, 10]},
    "args": ["sh", "-c", "exit 7"],
    "env": ["PATH=/usr/bin", "X=\u00e9"],
    "cwd": "/",
    "capabilities": {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "inheritable": null},
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
    "noNewPrivileges": true
  },
  "root": {"path": "rootfs"},
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec"]}
  ],
  "linux": {
    "resources": {
      "devices": [{"allow": false, "access": "rwm"},
                  {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}],
      "cpu": {"shares": 1024, "quota": 250000, "period": 100000, "cpus": "2-3"}
    },
    "cgroupsPath": "/default/c1",
    "namespaces": [{"type": "pid"}, {"type": "network", "path": "/var/run/netns/x"}],
    "maskedPaths": ["/proc/kcore"],
    "readonlyPaths": ["/proc/sys"]
  },
  "annotations": {"io.kubernetes.cri.container-type": "sandbox"},
  "someFutureField": {"deep": [1, 2.5, null]}
})";

TEST(SpecTest, ReadsWhatCtrWrites) {
  const auto spec = Parse(kCtrSpec);
  ASSERT_TRUE(spec) << spec.error().Message();
  EXPECT_THAT(spec->process->args, ElementsAre("sh", "-c", "exit 7"));
  EXPECT_THAT(spec->process->env, ElementsAre("PATH=/usr/bin", "X=\xc3\xa9"));
  EXPECT_THAT(spec->process->user.additional_gids, ElementsAre(0u, 10u));
  EXPECT_TRUE(spec->process->no_new_privileges);
  EXPECT_EQ(spec->process->rlimits[0].hard, 1024u);
  EXPECT_TRUE(spec->process->capabilities->inheritable.empty());
  EXPECT_EQ(spec->root->path, "rootfs");
  EXPECT_EQ(spec->mounts[0].options.size(), 2u);
  const LinuxConfig& config = spec->linux_config;
  EXPECT_EQ(config.resources.cpu->quota_us, 250000);
  EXPECT_EQ(config.resources.cpu->period_us, 100000u);
  EXPECT_EQ(config.resources.cpu->cpus, "2-3");
  EXPECT_FALSE(config.resources.devices[0].major.has_value());
  EXPECT_EQ(config.resources.devices[1].minor, 3);
  EXPECT_EQ(config.namespaces[1].path, "/var/run/netns/x");
  EXPECT_EQ(config.cgroups_path, "/default/c1");
  EXPECT_EQ(spec->annotations.at("io.kubernetes.cri.container-type"), "sandbox");
}

constexpr const char* kEverything = R"({
  "ociVersion": "1.2.0",
  "process": {
    "terminal": true, "consoleSize": {"height": 24, "width": 80},
    "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3], "username": "u"},
    "args": ["a"], "env": ["A=b\n\"c\\"], "cwd": "/w",
    "capabilities": {"bounding": ["CAP_KILL"], "effective": [], "permitted": ["CAP_KILL"],
                     "ambient": ["CAP_KILL"], "inheritable": ["CAP_KILL"]},
    "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}],
    "noNewPrivileges": true, "apparmorProfile": "p", "oomScoreAdj": -5, "selinuxLabel": "s",
    "scheduler": {"policy": "SCHED_FIFO", "priority": 3, "nice": -2, "flags": ["F"],
                  "runtime": 1, "deadline": 2, "period": 3},
    "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
    "execCPUAffinity": {"initial": "0", "final": "0-1"}
  },
  "root": {"path": "/r", "readonly": true},
  "hostname": "h", "domainname": "d",
  "mounts": [{"destination": "/m", "source": "/s", "options": ["rbind"],
              "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 5}],
              "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 5}]}],
  "hooks": {"prestart": [{"path": "/h", "args": ["h", "x"], "env": ["E=1"], "timeout": 3}],
            "createRuntime": [{"path": "/h"}], "createContainer": [{"path": "/h"}],
            "startContainer": [{"path": "/h"}], "poststart": [{"path": "/h"}],
            "poststop": [{"path": "/h"}]},
  "annotations": {"k": ""},
  "linux": {
    "uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}],
    "gidMappings": [{"containerID": 0, "hostID": 1, "size": 2}],
    "sysctl": {"net.ipv4.ip_forward": "1"},
    "cgroupsPath": "s:p:n",
    "namespaces": [{"type": "time"}],
    "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 2, "fileMode": 438,
                 "uid": 0, "gid": 5}],
    "rootfsPropagation": "slave", "maskedPaths": ["/a"], "readonlyPaths": ["/b"],
    "mountLabel": "l",
    "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
                "architectures": ["SCMP_ARCH_X86_64"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "listenerPath": "/l", "listenerMetadata": "m",
                "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1,
                  "args": [{"index": 1, "value": 18446744073709551615, "valueTwo": 7,
                            "op": "SCMP_CMP_MASKED_EQ"}]}]},
    "intelRdt": {"closID": "c", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=1",
                 "enableCMT": true, "enableMBM": true},
    "personality": {"domain": "LINUX32", "flags": ["f"]},
    "timeOffsets": {"monotonic": {"secs": -1, "nanosecs": 5}, "boottime": {"secs": 9}},
    "resources": {
      "devices": [{"allow": true, "type": "b", "major": 8, "minor": -1, "access": "r"}],
      "memory": {"limit": 1048576, "reservation": 1, "swap": -1, "kernel": -1, "kernelTCP": -1,
                 "swappiness": 0, "disableOOMKiller": false, "useHierarchy": true,
                 "checkBeforeUpdate": true},
      "cpu": {"shares": 2, "quota": -1, "period": 50000, "burst": 0, "realtimeRuntime": 1,
              "realtimePeriod": 2, "cpus": "0", "mems": "0", "idle": 1},
      "pids": {"limit": -1},
      "blockIO": {"weight": 10, "leafWeight": 20,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 601}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 602}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 603}]},
      "hugepageLimits": [{"pageSize": "2MB", "limit": 9}],
      "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 5}]},
      "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 100}},
      "unified": {"memory.high": "1"}
    }
  }
})";

TEST(SpecTest, SerialiseLosesNothing) {
  const auto spec = Parse(kEverything);
  ASSERT_TRUE(spec) << spec.error().Message();
  EXPECT_EQ(spec->process->rlimits[0].hard, UINT64_MAX);
  EXPECT_EQ(spec->linux_config.resources.memory->disable_oom_killer, false);
  const std::string text = Serialise(*spec);
  const auto again = Parse(text);
  ASSERT_TRUE(again) << again.error().Message();
  EXPECT_EQ(*again, *spec);
  // Every value of the document is a distinctive one, so that a field that is read into nothing
  // shows: what was written back has the same number of values.
  for (const char* value : {"\"u\"", "18446744073709551615", "\"final\"", "\"poststop\"", "603",
                            "\"closID\"", "\"mlx5_1\"", "\"memory.high\"", "\"boottime\"",
                            "\"leafWeight\":300", "\"valueTwo\":7", "\"checkBeforeUpdate\":true"}) {
    EXPECT_THAT(text, HasSubstr(value));
  }
}

TEST(SpecTest, WrongTypeNamesPathValueAndClause) {
  std::string text = kCtrSpec;
  text.replace(text.find("250000"), 6, "\"25\"");
  const auto spec = Parse(text);
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(spec.error().Message(),
            "linux.resources.cpu.quota: \"25\" where an integer must be (OCI runtime-spec 1.2, "
            "config-linux.md \"CPU\")");
}

TEST(SpecTest, WrongElementNamesItsIndex) {
  std::string text = kCtrSpec;
  text.replace(text.find("\"exit 7\""), 8, "7");
  const auto spec = Parse(text);
  ASSERT_FALSE(spec);
  EXPECT_THAT(spec.error().Message(), HasSubstr("process.args[2]: 7 where a string must be"));
}

TEST(SpecTest, RejectsNumberOutsideItsField) {
  std::string text = kCtrSpec;
  text.replace(text.find("\"uid\": 0"), 8, "\"uid\": 4294967296");
  const auto spec = Parse(text);
  ASSERT_FALSE(spec);
  EXPECT_THAT(spec.error().Message(), HasSubstr("process.user.uid: 4294967296 is not within 0"));
}

TEST(SpecTest, RejectsWhatIsNoObject) {
  EXPECT_FALSE(Parse(""));
  EXPECT_FALSE(Parse("[]"));
  EXPECT_FALSE(Parse("null"));
  EXPECT_FALSE(Parse("{"));
  EXPECT_FALSE(Parse("{}"));
}

TEST(SpecTest, ProcessAloneRoundTrips) {
  const auto process = ParseProcess(R"({"args":["id"],"cwd":"/","user":{"uid":5,"gid":6}})");
  ASSERT_TRUE(process) << process.error().Message();
  EXPECT_EQ(process->user.gid, 6u);
  const auto again = ParseProcess(Serialise(*process));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *process);
  const auto bad = ParseProcess(R"({"args":["id"],"cwd":"x"})");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().Message(), HasSubstr("cwd: \"x\": must be an absolute path (OCI "));
  EXPECT_THAT(bad.error().Message(), HasSubstr("\"Process\""));
}

TEST(SpecTest, ResourcesAloneNeedNoProcess) {
  const char* const json = R"({"linux":{"resources":{"cpu":{"cpus":"2-3"}}}})";
  EXPECT_FALSE(Parse(json));
  const auto spec = ParseResources(json);
  ASSERT_TRUE(spec) << spec.error().Message();
  EXPECT_EQ(spec->linux_config.resources.cpu->cpus, "2-3");
  EXPECT_FALSE(ParseResources(R"({"linux":{"resources":{"cpu":{"period":1}}}})"));
  EXPECT_FALSE(ParseResources(R"({"linux":[]})"));
}

TEST(LinuxResourcesTest, APartialDocumentComesBackAndRulesHold) {
  const auto resources =
      ParseLinuxResources(R"({"memory":{"limit":5},"devices":[{"allow":true}]})");
  ASSERT_TRUE(resources) << resources.error().Message();
  EXPECT_EQ(resources->memory->limit, 5);
  EXPECT_FALSE(resources->cpu);
  EXPECT_EQ(*ParseLinuxResources(Serialise(*resources)), *resources);
  EXPECT_TRUE(ParseLinuxResources("{}"));
  for (const char* bad : {"", "[]", "no json", R"({"cpu":{"quota":"10"}})",
                          R"({"cpu":{"period":1}})", R"({"unified":{"../x":"1"}})"}) {
    const auto refused = ParseLinuxResources(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code(), base::Code::kInvalidArgument) << bad;
  }
}

TEST(StateTest, WhatHooksRead) {
  State state{"1.2.0", "c", "stopped", 0, "/b", {}};
  EXPECT_EQ(Serialise(state),
            R"({"ociVersion":"1.2.0","id":"c","status":"stopped","bundle":"/b","annotations":{}})");
}

}  // namespace
}  // namespace oci
