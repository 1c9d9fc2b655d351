#include "runtime/base/seccomp_filter.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tests/support/bpf_evaluator.h"

namespace base {
namespace {

using testing_support::EvaluateSeccomp;
using testing_support::SystemCall;
using Op = SeccompCondition::Op;

SeccompFilter Filter(SeccompAction action) {
  auto filter = SeccompFilter::Create(action);
  CHECK(filter.has_value());
  return std::move(*filter);
}

uint32_t Evaluate(const SeccompFilter& filter, const seccomp_data& data) {
  auto program = filter.Export();
  CHECK(program.has_value());
  return EvaluateSeccomp(*program, data).value_or(0xdead);
}

TEST(SeccompFilter, DefaultActionMeetsEveryCallNotNamed) {
  SeccompFilter filter = Filter(SeccompAction::Errno(EPERM));
  ASSERT_TRUE(filter.Add(SeccompAction::Allow(), "read"));
  EXPECT_EQ(Evaluate(filter, SystemCall(SYS_read)), uint32_t{SECCOMP_RET_ALLOW});
  EXPECT_EQ(Evaluate(filter, SystemCall(SYS_openat)), SECCOMP_RET_ERRNO | EPERM);
}

TEST(SeccompFilter, ConditionsOfOneRuleAreAnded) {
  SeccompFilter filter = Filter(SeccompAction::KillProcess());
  const std::array<SeccompCondition, 2> conditions = {
      {{.argument = 0, .op = Op::kEqual, .value = 1},
       {.argument = 2, .op = Op::kMaskedEqual, .value = 0, .mask = 4}}};
  ASSERT_TRUE(filter.Add(SeccompAction::Allow(), "mmap", conditions));
  EXPECT_EQ(Evaluate(filter, SystemCall(SYS_mmap, {1, 0, 3})), uint32_t{SECCOMP_RET_ALLOW});
  EXPECT_EQ(Evaluate(filter, SystemCall(SYS_mmap, {1, 0, 7})), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(Evaluate(filter, SystemCall(SYS_mmap, {2, 0, 3})), SECCOMP_RET_KILL_PROCESS);
}

TEST(SeccompFilter, UpperHalfOfAnArgumentIsCompared) {
  SeccompFilter filter = Filter(SeccompAction::KillProcess());
  const std::array<SeccompCondition, 1> conditions = {
      {{.argument = 1, .op = Op::kEqual, .value = 0xae80}}};
  ASSERT_TRUE(filter.Add(SeccompAction::Allow(), SYS_ioctl, conditions));
  EXPECT_EQ(Evaluate(filter, SystemCall(SYS_ioctl, {3, 0xae80})), uint32_t{SECCOMP_RET_ALLOW});
  EXPECT_EQ(Evaluate(filter, SystemCall(SYS_ioctl, {3, 0x10000ae80})), SECCOMP_RET_KILL_PROCESS);
}

TEST(SeccompFilter, ForeignArchitectureKillsUnlessAdded) {
  SeccompFilter filter = Filter(SeccompAction::Allow());
  EXPECT_EQ(Evaluate(filter, SystemCall(3, {}, AUDIT_ARCH_I386)), SECCOMP_RET_KILL_PROCESS);
  ASSERT_TRUE(filter.AddArchitecture("SCMP_ARCH_X86"));
  ASSERT_TRUE(filter.AddArchitecture("SCMP_ARCH_X86"));
  EXPECT_EQ(Evaluate(filter, SystemCall(3, {}, AUDIT_ARCH_I386)), uint32_t{SECCOMP_RET_ALLOW});
}

TEST(SeccompFilter, RuleIsTranslatedForEachArchitecture) {
  SeccompFilter filter = Filter(SeccompAction::Allow());
  ASSERT_TRUE(filter.AddArchitecture("x86"));
  ASSERT_TRUE(filter.Add(SeccompAction::Errno(ENOSYS), "chroot"));
  constexpr long kI386Chroot = 61;
  EXPECT_EQ(Evaluate(filter, SystemCall(kI386Chroot, {}, AUDIT_ARCH_I386)),
            SECCOMP_RET_ERRNO | ENOSYS);
  EXPECT_EQ(Evaluate(filter, SystemCall(SYS_chroot)), SECCOMP_RET_ERRNO | ENOSYS);
}

TEST(SeccompFilter, UnknownNamesAreErrors) {
  SeccompFilter filter = Filter(SeccompAction::KillProcess());
  auto added = filter.Add(SeccompAction::Allow(), "no_such_call");
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code(), Code::kNotFound);
  EXPECT_FALSE(filter.AddArchitecture("SCMP_ARCH_PDP11"));
  EXPECT_FALSE(SeccompActionByOciName("SCMP_ACT_FORGIVE", 0));
  EXPECT_FALSE(SeccompOpByOciName("SCMP_CMP_SIMILAR"));
}

TEST(SeccompFilter, OneArgumentComparedTwiceIsRefused) {
  SeccompFilter filter = Filter(SeccompAction::KillProcess());
  const std::array<SeccompCondition, 2> twice = {
      {{.argument = 0, .value = 1}, {.argument = 0, .value = 2}}};
  EXPECT_FALSE(filter.Add(SeccompAction::Allow(), "read", twice));
  const std::array<SeccompCondition, 1> seventh = {{{.argument = 6, .value = 1}}};
  EXPECT_FALSE(filter.Add(SeccompAction::Allow(), "read", seventh));
}

TEST(SeccompFilter, OciActionKeepsItsErrno) {
  auto action = SeccompActionByOciName("SCMP_ACT_ERRNO", 38);
  ASSERT_TRUE(action);
  EXPECT_EQ(*action, SeccompAction::Errno(38));
  EXPECT_EQ(SeccompActionByOciName("SCMP_ACT_ALLOW", 38)->data, 0);
}

TEST(SeccompFilter, CallsNewerThanTheProfileAreNotImplemented) {
  SeccompFilter filter = Filter(SeccompAction::Errno(EPERM));
  ASSERT_TRUE(filter.AddArchitecture("SCMP_ARCH_X86"));
  for (const char* name : {"read", "rseq"}) {
    ASSERT_TRUE(filter.Add(SeccompAction::Allow(), name));
  }
  const auto program = filter.ExportWithEnosys();
  ASSERT_TRUE(program);
  const auto answer = [&](long number, uint32_t arch) {
    return EvaluateSeccomp(*program, SystemCall(number, {}, arch)).value_or(0xdead);
  };
  const uint32_t allow = SECCOMP_RET_ALLOW;
  const uint32_t denied = SECCOMP_RET_ERRNO | EPERM;
  const uint32_t unknown = SECCOMP_RET_ERRNO | ENOSYS;
  EXPECT_EQ(answer(0, AUDIT_ARCH_X86_64), allow);
  EXPECT_EQ(answer(257, AUDIT_ARCH_X86_64), denied);  // openat: older than the profile
  EXPECT_EQ(answer(334, AUDIT_ARCH_X86_64), allow);   // rseq
  EXPECT_EQ(answer(335, AUDIT_ARCH_X86_64), unknown);
  EXPECT_EQ(answer(452, AUDIT_ARCH_X86_64), unknown);  // fchmodat2
  EXPECT_EQ(answer(3, AUDIT_ARCH_I386), allow);
  EXPECT_EQ(answer(387, AUDIT_ARCH_I386), unknown);  // above its rseq, 386
  // x32 is not of this profile: a foreign architecture still kills.
  EXPECT_EQ(answer(0x40000000 | 600, AUDIT_ARCH_X86_64), uint32_t{SECCOMP_RET_KILL_PROCESS});
  EXPECT_EQ(answer(500, AUDIT_ARCH_AARCH64), uint32_t{SECCOMP_RET_KILL_PROCESS});
}

TEST(SeccompFilter, LoadedFilterBindsTheProcess) {
  SeccompFilter filter = Filter(SeccompAction::Allow());
  ASSERT_TRUE(filter.Add(SeccompAction::Errno(EXDEV), "getppid"));
  auto program = filter.Export();
  ASSERT_TRUE(program);
  const pid_t child = fork();
  if (child == 0) {
    if (!LoadSeccomp(*program, {})) _exit(1);
    _exit(syscall(SYS_getppid) == -1 && errno == EXDEV ? 42 : 2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

}  // namespace
}  // namespace base
