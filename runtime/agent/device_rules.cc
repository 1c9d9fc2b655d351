#include "runtime/agent/device_rules.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <string_view>

namespace agent {
namespace {

constexpr uint32_t kAllAccess = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

struct Rule {
  bool allow;
  char type;  // 'a', 'b', 'c'
  std::optional<uint32_t> major;
  std::optional<uint32_t> minor;
  uint32_t access;
};

constexpr std::optional<uint32_t> kAny;

// What runc allows every container: to make any node, and to use these.
constexpr Rule kAlwaysAllowed[] = {
    {true, 'c', kAny, kAny, BPF_DEVCG_ACC_MKNOD},
    {true, 'b', kAny, kAny, BPF_DEVCG_ACC_MKNOD},
    {true, 'c', 1, 3, kAllAccess},       // null
    {true, 'c', 1, 5, kAllAccess},       // zero
    {true, 'c', 1, 7, kAllAccess},       // full
    {true, 'c', 1, 8, kAllAccess},       // random
    {true, 'c', 1, 9, kAllAccess},       // urandom
    {true, 'c', 5, 0, kAllAccess},       // tty
    {true, 'c', 5, 2, kAllAccess},       // ptmx
    {true, 'c', 136, kAny, kAllAccess},  // pts
};

uint32_t AccessOf(const oci::DeviceRule& rule) {
  if (rule.access.empty()) return kAllAccess;
  uint32_t access = 0;
  if (rule.access.find('m') != std::string::npos) access |= BPF_DEVCG_ACC_MKNOD;
  if (rule.access.find('r') != std::string::npos) access |= BPF_DEVCG_ACC_READ;
  if (rule.access.find('w') != std::string::npos) access |= BPF_DEVCG_ACC_WRITE;
  return access;
}

std::optional<uint32_t> NumberOf(const std::optional<int64_t>& number) {
  if (!number || *number < 0) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

Rule FromSpec(const oci::DeviceRule& rule) {
  const char type = rule.type.empty() ? 'a' : rule.type[0];
  // "a" means all of them, whatever numbers stand beside it.
  if (type == 'a') return {rule.allow, type, kAny, kAny, AccessOf(rule)};
  return {rule.allow, type, NumberOf(rule.major), NumberOf(rule.minor), AccessOf(rule)};
}

constexpr uint8_t kAccess = BPF_REG_3;  // the bits that no rule has allowed yet
constexpr uint8_t kType = BPF_REG_2;
constexpr uint8_t kMajor = BPF_REG_4;
constexpr uint8_t kMinor = BPF_REG_5;

bpf_insn Instruction(int code, uint8_t destination, int32_t immediate, int16_t offset = 0) {
  bpf_insn instruction{};
  instruction.code = static_cast<uint8_t>(code);
  instruction.dst_reg = destination & 0xf;
  instruction.off = offset;
  instruction.imm = immediate;
  return instruction;
}

bpf_insn Load(uint8_t destination, size_t field) {
  bpf_insn instruction =
      Instruction(BPF_LDX | BPF_MEM | BPF_W, destination, 0, static_cast<int16_t>(field));
  instruction.src_reg = BPF_REG_1;
  return instruction;
}

void Answer(std::vector<bpf_insn>& out, int answer) {
  out.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, answer));
  out.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0));
}

// Each check of a rule jumps behind the rule if it does not match.
void AddRule(const Rule& rule, std::vector<bpf_insn>& out) {
  std::vector<bpf_insn> action;
  if (rule.allow) {
    // Takes the bits that this rule allows; with none left, the access is allowed.
    action.push_back(Instruction(BPF_ALU | BPF_AND | BPF_K, kAccess,
                                 static_cast<int32_t>(~rule.access & kAllAccess)));
    action.push_back(Instruction(BPF_JMP32 | BPF_JNE | BPF_K, kAccess, 0, 2));
    Answer(action, 1);
  } else {
    action.push_back(
        Instruction(BPF_JMP32 | BPF_JSET | BPF_K, kAccess, static_cast<int32_t>(rule.access), 1));
    action.push_back(Instruction(BPF_JMP | BPF_JA, 0, 0, 2));
    Answer(action, 0);
  }
  std::vector<bpf_insn> checks;
  const auto check = [&](uint8_t destination, uint32_t value) {
    checks.push_back(
        Instruction(BPF_JMP32 | BPF_JNE | BPF_K, destination, static_cast<int32_t>(value)));
  };
  if (rule.type != 'a') check(kType, rule.type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
  if (rule.major) check(kMajor, *rule.major);
  if (rule.minor) check(kMinor, *rule.minor);
  for (size_t i = 0; i < checks.size(); ++i) {
    checks[i].off = static_cast<int16_t>(checks.size() - 1 - i + action.size());
  }
  out.insert(out.end(), checks.begin(), checks.end());
  out.insert(out.end(), action.begin(), action.end());
}

bool DecidesAll(const Rule& rule) { return rule.type == 'a' && rule.access == kAllAccess; }

base::Result<base::UniqueFd> LoadProgram(const std::vector<bpf_insn>& program) {
  static constexpr char kLicense[] = "Apache-2.0";
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<uint64_t>(program.data());
  attributes.insn_cnt = static_cast<uint32_t>(program.size());
  attributes.license = reinterpret_cast<uint64_t>(kLicense);
  const long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
  if (fd >= 0) return base::UniqueFd(static_cast<int>(fd));
  const bool missing = errno == ENOSYS || errno == EINVAL;
  base::Error error = base::ErrnoError("load the program of the device rules");
  if (!missing) return error;
  return std::move(error).WithCode(base::Code::kFailedPrecondition);
}

}  // namespace

std::vector<bpf_insn> CompileDeviceRules(const std::vector<oci::DeviceRule>& rules) {
  std::vector<bpf_insn> program = {
      // access_type: access in the upper half, type in the lower; linux/bpf.h.
      Load(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),
      Load(kAccess, offsetof(bpf_cgroup_dev_ctx, access_type)),
      Instruction(BPF_ALU | BPF_RSH | BPF_K, kAccess, 16),
      Instruction(BPF_ALU | BPF_AND | BPF_K, kType, 0xffff),
      Load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
      Load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
  };
  // The last rule first: what it decides, no earlier one changes.
  for (const Rule& rule : kAlwaysAllowed) AddRule(rule, program);
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    const Rule compiled = FromSpec(*rule);
    AddRule(compiled, program);
    if (DecidesAll(compiled)) break;
  }
  Answer(program, 0);
  return program;
}

bool AllowsAllDevices(const std::vector<oci::DeviceRule>& rules) {
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    if (!rule->allow) return false;
    if (DecidesAll(FromSpec(*rule))) return true;
  }
  return false;
}

base::Result<base::UniqueFd> AttachDeviceRules(base::BorrowedFd cgroup,
                                               const std::vector<oci::DeviceRule>& rules,
                                               base::BorrowedFd before) {
  base::UniqueFd program = TRY(LoadProgram(CompileDeviceRules(rules)));
  bpf_attr attributes{};
  attributes.target_fd = static_cast<uint32_t>(cgroup.get());
  attributes.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (before.valid()) {
    attributes.attach_flags |= BPF_F_REPLACE;
    attributes.replace_bpf_fd = static_cast<uint32_t>(before.get());
  }
  if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attributes, sizeof attributes) != 0) {
    return base::ErrnoError("attach the program of the device rules");
  }
  return program;
}

}  // namespace agent
