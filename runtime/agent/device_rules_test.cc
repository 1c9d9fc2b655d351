#include "runtime/agent/device_rules.h"

#include <gtest/gtest.h>

#include <array>

#include "runtime/agent/container_fixture.h"

namespace agent {
namespace {

// Runs the program on one access, by the few instructions that it is made of.
class Machine {
 public:
  explicit Machine(const std::vector<oci::DeviceRule>& rules)
      : program_(CompileDeviceRules(rules)) {}

  bool Allows(char type, uint32_t major, uint32_t minor, uint32_t access) const {
    const uint32_t kind = type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK;
    const std::array<uint32_t, 3> context = {access << 16 | kind, major, minor};
    std::array<uint64_t, 11> r{};
    for (size_t pc = 0; pc < program_.size(); ++pc) {
      const bpf_insn& i = program_[pc];
      const uint32_t value = static_cast<uint32_t>(r[i.dst_reg]);
      const uint32_t imm = static_cast<uint32_t>(i.imm);
      const auto jump = [&](bool taken) { pc += taken ? static_cast<size_t>(i.off) : 0; };
      switch (i.code) {
        case BPF_LDX | BPF_MEM | BPF_W:
          r[i.dst_reg] = context.at(static_cast<size_t>(i.off) / 4);
          break;
        case BPF_ALU | BPF_RSH | BPF_K:
          r[i.dst_reg] = value >> imm;
          break;
        case BPF_ALU | BPF_AND | BPF_K:
          r[i.dst_reg] = value & imm;
          break;
        case BPF_ALU64 | BPF_MOV | BPF_K:
          r[i.dst_reg] = imm;
          break;
        case BPF_JMP32 | BPF_JNE | BPF_K:
          jump(value != imm);
          break;
        case BPF_JMP32 | BPF_JSET | BPF_K:
          jump((value & imm) != 0);
          break;
        case BPF_JMP | BPF_JA:
          jump(true);
          break;
        case BPF_JMP | BPF_EXIT:
          return r[0] != 0;
        default:
          ADD_FAILURE() << "instruction " << static_cast<int>(i.code);
          return false;
      }
    }
    ADD_FAILURE() << "ran off the end";
    return false;
  }

 private:
  std::vector<bpf_insn> program_;
};

constexpr uint32_t kM = BPF_DEVCG_ACC_MKNOD;
constexpr uint32_t kR = BPF_DEVCG_ACC_READ;
constexpr uint32_t kW = BPF_DEVCG_ACC_WRITE;

oci::DeviceRule Deny(const std::string& access = "rwm") { return {false, "a", {}, {}, access}; }

TEST(DeviceRules, WithoutRulesOnlyTheDefaultsAreAllowed) {
  const Machine machine({});
  EXPECT_TRUE(machine.Allows('c', 1, 3, kR | kW));
  EXPECT_TRUE(machine.Allows('c', 136, 7, kR | kW));
  EXPECT_TRUE(machine.Allows('b', 8, 0, kM)) << "any node may be made, not opened";
  EXPECT_FALSE(machine.Allows('b', 8, 0, kR));
  EXPECT_FALSE(machine.Allows('c', 1, 1, kR)) << "/dev/mem";
  EXPECT_FALSE(machine.Allows('b', 1, 3, kR)) << "the numbers of /dev/null, but a block device";
}

TEST(DeviceRules, TheLastRuleWinsForEachBit) {
  const Machine machine({Deny(),
                         {true, "c", 10, 229, "rwm"},
                         {false, "c", 10, 229, "w"},
                         {true, "b", 8, {}, "r"},
                         {false, "b", 8, 1, ""}});
  EXPECT_TRUE(machine.Allows('c', 10, 229, kR | kM));
  EXPECT_FALSE(machine.Allows('c', 10, 229, kW));
  EXPECT_FALSE(machine.Allows('c', 10, 229, kR | kW)) << "one bit of two";
  EXPECT_TRUE(machine.Allows('b', 8, 0, kR));
  EXPECT_FALSE(machine.Allows('b', 8, 0, kW));
  EXPECT_FALSE(machine.Allows('b', 8, 1, kR));
}

TEST(DeviceRules, BitsMayBeAllowedByDifferentRules) {
  const Machine machine({{true, "c", 10, 1, "r"}, {true, "c", {}, 1, "w"}});
  EXPECT_TRUE(machine.Allows('c', 10, 1, kR | kW));
  EXPECT_FALSE(machine.Allows('c', 11, 1, kR | kW));
}

TEST(DeviceRules, AllOfThemAndWhatComesAfter) {
  const Machine machine({Deny(), {true, "", {}, {}, ""}, {false, "b", 8, -1, "w"}});
  EXPECT_TRUE(machine.Allows('c', 1, 1, kR | kW | kM));
  EXPECT_FALSE(machine.Allows('b', 8, 3, kW)) << "-1 is any minor";
  EXPECT_TRUE(machine.Allows('b', 8, 3, kR));
}

TEST(DeviceRules, NoProgramIsNeededWhereAllIsAllowed) {
  EXPECT_TRUE(AllowsAllDevices({Deny(), {true, "a", {}, {}, "rwm"}}));
  EXPECT_TRUE(AllowsAllDevices({{true, "", {}, {}, ""}, {true, "c", 1, 3, "r"}}));
  EXPECT_FALSE(AllowsAllDevices({}));
  EXPECT_FALSE(AllowsAllDevices({{true, "a", {}, {}, "r"}}));
  EXPECT_FALSE(AllowsAllDevices({{true, "a", {}, {}, "rwm"}, {false, "c", 1, 1, "r"}}));
}

TEST_F(ContainerTest, TheKernelTakesTheRulesAndKeepsToThem) {
  oci::Spec spec = ShellSpec("touch /run/x; head -c 1 /dev/null && echo null; head -c 1 /dev/kmsg");
  spec.linux_config.resources.devices = {Deny()};
  spec.linux_config.devices = {{"/dev/kmsg", "c", 1, 11, {}, {}, {}}};
  const RunResult result = Run(spec);
  if (result.error) GTEST_SKIP() << "no device programs here: " << result.error->Message();
  EXPECT_EQ(result.out, "null\n");
  EXPECT_NE(result.status, 0U);
  EXPECT_NE(result.err.find("/dev/kmsg"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace agent
