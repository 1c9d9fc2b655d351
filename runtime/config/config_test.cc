#include "runtime/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/file.h"

namespace config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ConfigTest, EmptyTextGivesTheDefaults) {
  const auto config = ParseToml("", "c");
  ASSERT_TRUE(config);
  EXPECT_EQ(*config, Config());
}

TEST(ConfigTest, EveryKeyIsRead) {
  const auto config = ParseToml(R"(
[paths]
vmm = "/v"
kernel = "/k"
initrd = "/i"
virtiofsd = "/f"
run_dir = "/r"
shim_grpc = "/g"
[guest]
extra_cmdline = "console=ttyS0 loglevel=7"
default_memory_mib = 512
memory_overhead_mib = 64
console_log = true
[agent]
connect_timeout_seconds = 600
[cpu]
pinning = "required"
smt = "hide"
default_vcpus = 2
max_vcpus = 4
spare_vcpus = 3
housekeeping = "0-1"
[jail]
uid_base = 100000
uid_count = 10
[shim]
transport = "grpc"
[log]
level = "debug"
)",
                                "c");
  ASSERT_TRUE(config) << config.error().Message();
  Config wanted;
  wanted.paths = {"/v", "/k", "/i", "/f", "/r", "/g"};
  wanted.guest = {"console=ttyS0 loglevel=7", 512, 64, true};
  wanted.agent = {600};
  wanted.cpu = {cpu::Pinning::kRequired, cpu::Smt::kHide, 2, 4, 3, cpu::CpuSet{0, 1}};
  wanted.jail = {100000, 10};
  wanted.shim = {Transport::kGrpc};
  wanted.log_level = base::LogLevel::kDebug;
  EXPECT_EQ(*config, wanted);
}

std::string Refusal(std::string_view text) {
  const auto config = ParseToml(text, "c.toml");
  if (config) return "accepted";
  EXPECT_EQ(config.error().code(), base::Code::kInvalidArgument);
  return config.error().Message();
}

TEST(ConfigTest, UnknownNamesAreErrorsWithTheirLine) {
  EXPECT_EQ(Refusal("[cpu]\n\npining = \"auto\"\n"), "c.toml:3: [cpu] pining: unknown key");
  EXPECT_EQ(Refusal("\n[gest]\n"), "c.toml:2: unknown section \"gest\"");
  EXPECT_EQ(Refusal("kernel = \"/k\"\n"), "c.toml:1: unknown key \"kernel\"");
  EXPECT_EQ(Refusal("cpu = 3\n"), "c.toml:1: cpu must be a section: [cpu]");
}

TEST(ConfigTest, BrokenTomlIsAnErrorWithItsLine) {
  EXPECT_THAT(Refusal("[cpu]\npinning = \n"), StartsWith("c.toml:"));
  EXPECT_THAT(Refusal("[cpu\n"), HasSubstr("not TOML"));
  EXPECT_THAT(Refusal("[cpu]\nsmt = \"hide\"\nsmt = \"hide\"\n"), HasSubstr("c.toml:3: not TOML"));
  EXPECT_THAT(Refusal(std::string(100000, '[')), HasSubstr("not TOML"));
}

TEST(ConfigTest, ValuesThatDoNotFitNameTheRule) {
  EXPECT_EQ(Refusal("[cpu]\npinning = \"maybe\"\n"),
            "c.toml:2: [cpu] pinning = \"maybe\": must be one of \"auto\", \"required\", \"off\"");
  EXPECT_THAT(Refusal("[cpu]\nhousekeeping = \"3-1\"\n"), HasSubstr("runs backwards"));
  EXPECT_THAT(Refusal("[cpu]\ndefault_vcpus = 0\n"), HasSubstr("from 1 to 8192"));
  EXPECT_THAT(Refusal("[cpu]\ndefault_vcpus = \"2\"\n"), HasSubstr("an integer"));
  EXPECT_THAT(Refusal("[cpu]\ndefault_vcpus = 1.5\n"), HasSubstr("must be a string, an integer"));
  EXPECT_THAT(Refusal("[paths]\nvmm = \"vmm\"\n"), HasSubstr("absolute path"));
  EXPECT_THAT(Refusal("[guest]\nextra_cmdline = \"a\\nb\"\n"), HasSubstr("printable"));
  EXPECT_THAT(Refusal("[guest]\nconsole_log = 1\n"), HasSubstr("true or false"));
  EXPECT_THAT(Refusal("[cpu]\ncore_scheduling = 1\n"), HasSubstr("true or false"));
  EXPECT_THAT(Refusal("[agent]\nconnect_timeout_seconds = -1\n"), HasSubstr("from 1 to 86400"));
  EXPECT_THAT(Refusal("[agent]\ncall_timeout_seconds = 0\n"), HasSubstr("from 1 to 86400"));
  EXPECT_THAT(Refusal("[jail]\nuid_base = 4294967290\nuid_count = 100\n"),
              HasSubstr("largest uid"));
  EXPECT_THAT(Refusal("[log]\nlevel = \"trace\"\n"), HasSubstr("\"debug\""));
}

TEST(ConfigTest, AMissingNamedFileIsAnError) {
  const auto config = Load("/nonexistent/config.toml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code(), base::Code::kNotFound);
  EXPECT_THAT(config.error().Message(), HasSubstr("/nonexistent/config.toml"));
}

TEST(ConfigTest, LoadReadsAFile) {
  const std::string path = ::testing::TempDir() + "/pinion-config-test.toml";
  ASSERT_TRUE(base::WriteFileAtomic(path, "[paths]\nvirtiofsd = \"/x\"\n"));
  const auto config = Load(path);
  ASSERT_TRUE(config) << config.error().Message();
  EXPECT_EQ(config->paths.virtiofsd, "/x");
  unlink(path.c_str());
}

TEST(ConfigTest, AnnotationsChangeWhatTheyMay) {
  Config config;
  const auto result = ApplyAnnotations({{"io.pinion.cpu.pinning", "off"},
                                        {"io.pinion.cpu.smt", "hide"},
                                        {"io.pinion.cpu.default_vcpus", "3"},
                                        {"unrelated", "x"}},
                                       config);
  ASSERT_TRUE(result) << result.error().Message();
  EXPECT_EQ(config.cpu.pinning, cpu::Pinning::kOff);
  EXPECT_EQ(config.cpu.smt, cpu::Smt::kHide);
  EXPECT_EQ(config.cpu.default_vcpus, 3u);
}

TEST(ConfigTest, AnnotationsNeverRaiseTheMaximum) {
  Config config;
  config.cpu.max_vcpus = 4;
  ASSERT_TRUE(ApplyAnnotations({{"io.pinion.cpu.max_vcpus", "8"}}, config));
  EXPECT_EQ(config.cpu.max_vcpus, 4u);
  ASSERT_TRUE(ApplyAnnotations({{"io.pinion.cpu.max_vcpus", "0"}}, config));
  EXPECT_EQ(config.cpu.max_vcpus, 4u);
  ASSERT_TRUE(ApplyAnnotations({{"io.pinion.cpu.max_vcpus", "2"}}, config));
  EXPECT_EQ(config.cpu.max_vcpus, 2u);
}

TEST(ConfigTest, AnnotationsThatAreNotAllowedAreErrors) {
  Config config;
  for (const char* name : {"io.pinion.cpu.housekeeping", "io.pinion.cpu.x", "io.pinion.cpu."}) {
    const auto result = ApplyAnnotations({{name, "0"}}, config);
    ASSERT_FALSE(result) << name;
    EXPECT_THAT(result.error().Message(), HasSubstr(name));
  }
  EXPECT_FALSE(ApplyAnnotations({{"io.pinion.cpu.pinning", "yes"}}, config));
  EXPECT_FALSE(ApplyAnnotations({{"io.pinion.cpu.default_vcpus", "2x"}}, config));
}

TEST(SetCpuKeyTest, TakesWhatAFileTakes) {
  Config config;
  EXPECT_TRUE(SetCpuKey("housekeeping", "3", config));
  EXPECT_TRUE(SetCpuKey("boot", "first-container", config));
  EXPECT_TRUE(SetCpuKey("cpu_vendor", "amd", config));
  EXPECT_TRUE(SetCpuKey("max_vcpus", "7", config));
  EXPECT_EQ(config.cpu.housekeeping, cpu::CpuSet{3});
  EXPECT_EQ(config.cpu.boot, cpu::Boot::kFirstContainer);
  EXPECT_EQ(config.cpu.cpu_vendor, cpu::CpuVendor::kAmd);
  EXPECT_EQ(config.cpu.max_vcpus, 7u);
  EXPECT_THAT(SetCpuKey("vmm", "/x", config).error().Message(), HasSubstr("unknown key"));
  EXPECT_THAT(SetCpuKey("pinning", "maybe", config).error().Message(), HasSubstr("maybe"));
}

}  // namespace
}  // namespace config
