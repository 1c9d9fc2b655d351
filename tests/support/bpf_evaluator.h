// EvaluateSeccomp runs a seccomp program on a made-up system call, so that a policy is tested
// without a process. Only what seccomp allows of classic BPF: linux kernel/seccomp.c,
// "seccomp_check_filter".
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace testing_support {

#if defined(__x86_64__)
constexpr uint32_t kNativeAuditArch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kNativeAuditArch = AUDIT_ARCH_AARCH64;
#endif

// A system call as the filter sees it.
inline seccomp_data SystemCall(long number, std::array<uint64_t, 6> arguments = {},
                               uint32_t arch = kNativeAuditArch) {
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = arch;
  for (size_t i = 0; i < arguments.size(); ++i) data.args[i] = arguments[i];
  return data;
}

// The SECCOMP_RET_* word, or nullopt if the program is one that the kernel would not take.
inline std::optional<uint32_t> EvaluateSeccomp(std::span<const sock_filter> program,
                                               const seccomp_data& data) {
  uint32_t a = 0;
  uint32_t x = 0;
  std::array<uint32_t, BPF_MEMWORDS> memory{};
  for (size_t pc = 0; pc < program.size();) {
    const sock_filter& op = program[pc++];
    const uint32_t operand = BPF_SRC(op.code) == BPF_X ? x : op.k;
    switch (BPF_CLASS(op.code)) {
      case BPF_LD:
        if (BPF_MODE(op.code) == BPF_ABS) {
          if (op.k % 4 != 0 || op.k + 4 > sizeof(data)) return std::nullopt;
          std::memcpy(&a, reinterpret_cast<const char*>(&data) + op.k, sizeof(a));
        } else if (BPF_MODE(op.code) == BPF_IMM) {
          a = op.k;
        } else if (BPF_MODE(op.code) == BPF_MEM && op.k < memory.size()) {
          a = memory[op.k];
        } else {
          return std::nullopt;
        }
        break;
      case BPF_ST:
        if (op.k >= memory.size()) return std::nullopt;
        memory[op.k] = a;
        break;
      case BPF_ALU:
        if (BPF_OP(op.code) == BPF_AND) {
          a &= operand;
        } else if (BPF_OP(op.code) == BPF_OR) {
          a |= operand;
        } else {
          return std::nullopt;
        }
        break;
      case BPF_JMP: {
        if (BPF_OP(op.code) == BPF_JA) {
          pc += op.k;
          break;
        }
        bool taken = false;
        if (BPF_OP(op.code) == BPF_JEQ) taken = a == operand;
        if (BPF_OP(op.code) == BPF_JGT) taken = a > operand;
        if (BPF_OP(op.code) == BPF_JGE) taken = a >= operand;
        if (BPF_OP(op.code) == BPF_JSET) taken = (a & operand) != 0;
        pc += taken ? op.jt : op.jf;
        break;
      }
      case BPF_RET:
        return BPF_RVAL(op.code) == BPF_A ? a : op.k;
      case BPF_MISC:
        if (BPF_MISCOP(op.code) == BPF_TAX) x = a;
        if (BPF_MISCOP(op.code) == BPF_TXA) a = x;
        break;
      default:
        return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace testing_support
