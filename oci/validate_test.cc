#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "oci/spec.h"

namespace oci {
namespace {

using ::testing::HasSubstr;

Spec Minimal() {
  Spec spec;
  spec.oci_version = "1.2.0";
  spec.root = Root{.path = "rootfs"};
  spec.process = Process{.args = {"true"}, .cwd = "/"};
  return spec;
}

struct BrokenRule {
  const char* name;
  std::function<void(Spec&)> break_it;
  const char* path;    // and value
  const char* clause;  // its title
};

class ValidateTest : public ::testing::TestWithParam<BrokenRule> {};

TEST_P(ValidateTest, NamesPathAndClause) {
  Spec spec = Minimal();
  ASSERT_TRUE(Validate(spec));
  GetParam().break_it(spec);
  const auto result = Validate(spec);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(result.error().Message(), ::testing::StartsWith(GetParam().path));
  EXPECT_THAT(result.error().Message(), HasSubstr(std::string("\"") + GetParam().clause + "\""));
  // Parse applies the same rules to the same text.
  EXPECT_FALSE(Parse(Serialise(spec)));
}

CpuLimits& Cpu(Spec& s) { return s.linux_config.resources.cpu.emplace(); }
MemoryLimits& Memory(Spec& s) { return s.linux_config.resources.memory.emplace(); }

const BrokenRule kBrokenRules[] = {
    {"Version", [](Spec& s) { s.oci_version = "2.0"; }, "ociVersion: \"2.0\"",
     "Specification version"},
    {"NoRoot", [](Spec& s) { s.root.reset(); }, "root: ", "Root"},
    {"EmptyRoot", [](Spec& s) { s.root->path = ""; }, "root.path: ", "Root"},
    {"NoProcess", [](Spec& s) { s.process.reset(); }, "process: ", "Process"},
    {"RelativeCwd", [](Spec& s) { s.process->cwd = "tmp"; }, "process.cwd: \"tmp\"", "Process"},
    {"NoArgs", [](Spec& s) { s.process->args.clear(); }, "process.args: ", "Process"},
    {"OomScore", [](Spec& s) { s.process->oom_score_adj = 1001; }, "process.oomScoreAdj: \"1001\"",
     "Process"},
    {"Umask", [](Spec& s) { s.process->user.umask = 01000; }, "process.user.umask: ", "User"},
    {"RlimitUnknown",
     [](Spec& s) {
       s.process->rlimits = {{"RLIMIT_X", 1, 1}};
     },
     "process.rlimits[0].type: \"RLIMIT_X\"", "Process"},
    {"RlimitTwice",
     [](Spec& s) {
       s.process->rlimits = {{"RLIMIT_CORE", 1, 1}, {"RLIMIT_CORE", 1, 1}};
     },
     "process.rlimits[1].type: \"RLIMIT_CORE\"", "Process"},
    {"RlimitSoft",
     [](Spec& s) {
       s.process->rlimits = {{"RLIMIT_CORE", 2, 1}};
     },
     "process.rlimits[0].soft: \"2\"", "Process"},
    {"HookPath", [](Spec& s) { s.hooks.poststop = {Hook{.path = "x"}}; },
     "hooks.poststop[0].path: \"x\"", "POSIX-platform Hooks"},
    {"HookTimeout", [](Spec& s) { s.hooks.prestart = {Hook{.path = "/x", .timeout_seconds = 0}}; },
     "hooks.prestart[0].timeout: \"0\"", "POSIX-platform Hooks"},
    {"MountDestination", [](Spec& s) { s.mounts = {Mount{.source = "x"}}; },
     "mounts[0].destination: ", "Mounts"},
    {"MountMappings",
     [](Spec& s) {
       s.mounts = {Mount{.destination = "/x", .uid_mappings = {{0, 1, 1}}}};
     },
     "mounts[0]: ", "Mounts"},
    {"Annotation", [](Spec& s) { s.annotations[""] = "x"; }, "annotations: ", "Annotations"},
    {"NamespaceType",
     [](Spec& s) {
       s.linux_config.namespaces = {{"net", ""}};
     },
     "linux.namespaces[0].type: \"net\"", "Namespaces"},
    {"NamespaceTwice",
     [](Spec& s) {
       s.linux_config.namespaces = {{"pid", ""}, {"pid", ""}};
     },
     "linux.namespaces[1].type: \"pid\"", "Namespaces"},
    {"NamespacePath",
     [](Spec& s) {
       s.linux_config.namespaces = {{"pid", "x"}};
     },
     "linux.namespaces[0].path: \"x\"", "Namespaces"},
    {"DeviceType",
     [](Spec& s) {
       s.linux_config.devices = {{"/dev/x", "z"}};
     },
     "linux.devices[0].type: \"z\"", "Devices"},
    {"DeviceNumber",
     [](Spec& s) {
       s.linux_config.devices = {{"/dev/x", "c", -1, 0}};
     },
     "linux.devices[0]: \"-1:0\"", "Devices"},
    {"DeviceRule",
     [](Spec& s) {
       s.linux_config.resources.devices = {{true, "q"}};
     },
     "linux.resources.devices[0].type: \"q\"", "Allowed Device list"},
    {"DeviceAccess", [](Spec& s) { s.linux_config.resources.devices = {{.access = "rx"}}; },
     "linux.resources.devices[0].access: \"rx\"", "Allowed Device list"},
    {"CpuPeriod", [](Spec& s) { Cpu(s).period_us = 999; }, "linux.resources.cpu.period: \"999\"",
     "CPU"},
    {"CpuPeriodLong", [](Spec& s) { Cpu(s).period_us = 1000001; },
     "linux.resources.cpu.period: \"1000001\"", "CPU"},
    {"CpuQuota", [](Spec& s) { Cpu(s).quota_us = 999; }, "linux.resources.cpu.quota: \"999\"",
     "CPU"},
    {"CpuIdle", [](Spec& s) { Cpu(s).idle = 2; }, "linux.resources.cpu.idle: \"2\"", "CPU"},
    {"MemoryLimit", [](Spec& s) { Memory(s).limit = -2; }, "linux.resources.memory.limit: \"-2\"",
     "Memory"},
    {"MemorySwappiness", [](Spec& s) { Memory(s).swappiness = 101; },
     "linux.resources.memory.swappiness: \"101\"", "Memory"},
    {"HugepageSize",
     [](Spec& s) {
       s.linux_config.resources.hugepage_limits = {{"0MB", 1}};
     },
     "linux.resources.hugepageLimits[0].pageSize: \"0MB\"", "Huge page limits"},
    {"UnifiedPath", [](Spec& s) { s.linux_config.resources.unified["../x"] = "1"; },
     "linux.resources.unified: \"../x\"", "Unified"},
    {"BlockIoWeight",
     [](Spec& s) { s.linux_config.resources.block_io.emplace().weight = uint16_t{9}; },
     "linux.resources.blockIO.weight: \"9\"", "Block IO"},
    {"SeccompDefault", [](Spec& s) { s.linux_config.seccomp = Seccomp{.default_action = "ALLOW"}; },
     "linux.seccomp.defaultAction: \"ALLOW\"", "Seccomp"},
    {"SeccompIndex",
     [](Spec& s) {
       s.linux_config.seccomp =
           Seccomp{.default_action = "SCMP_ACT_ALLOW",
                   .syscalls = {{.names = {"read"},
                                 .action = "SCMP_ACT_ERRNO",
                                 .args = {{.index = 6, .op = "SCMP_CMP_EQ"}}}}};
     },
     "linux.seccomp.syscalls[0].args[0].index: \"6\"", "Seccomp"},
    {"MaskedPath",
     [](Spec& s) {
       s.linux_config.masked_paths = {"/a", "b"};
     },
     "linux.maskedPaths[1]: \"b\"", "Masked Paths"},
    {"ReadonlyPath", [](Spec& s) { s.linux_config.readonly_paths = {"b"}; },
     "linux.readonlyPaths[0]: \"b\"", "Readonly Paths"},
    {"Propagation", [](Spec& s) { s.linux_config.rootfs_propagation = "public"; },
     "linux.rootfsPropagation: \"public\"", "Rootfs Mount Propagation"},
    {"Personality", [](Spec& s) { s.linux_config.personality = Personality{.domain = "BSD"}; },
     "linux.personality.domain: \"BSD\"", "Personality"},
    {"TimeOffset", [](Spec& s) { s.linux_config.time_offsets["realtime"] = {}; },
     "linux.timeOffsets: \"realtime\"", "Offset for Time Namespace"},
};

INSTANTIATE_TEST_SUITE_P(Rules, ValidateTest, ::testing::ValuesIn(kBrokenRules),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(ValidateTest, UnsetZerosOfGoStructsAreAccepted) {
  Spec spec = Minimal();
  CpuLimits& cpu = Cpu(spec);
  cpu.period_us = 0;
  cpu.quota_us = 0;
  EXPECT_TRUE(Validate(spec));
  cpu.quota_us = -1;
  EXPECT_TRUE(Validate(spec));
}

TEST(ValidateTest, HostileTextIsEscapedInTheMessage) {
  Spec spec = Minimal();
  spec.process->cwd = "x\n\x1b[2J";
  const auto result = Validate(spec);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().Message().find('\n'), std::string::npos);
  EXPECT_EQ(result.error().Message().find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace oci
