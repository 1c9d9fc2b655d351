#include "vmm/jail/policy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "tests/support/bpf_evaluator.h"

namespace vmm::jail {
namespace {

using testing_support::SystemCall;

class PolicyTest : public testing::Test {
 protected:
  static std::vector<sock_filter> Program(base::Result<std::vector<sock_filter>> made) {
    CHECK(made.has_value());
    return std::move(*made);
  }
  static uint32_t Run(const std::vector<sock_filter>& program, const seccomp_data& data) {
    return testing_support::EvaluateSeccomp(program, data).value_or(0xdead);
  }
  uint32_t Vcpu(long number, std::array<uint64_t, 6> arguments = {}) {
    return Run(vcpu_, SystemCall(number, arguments));
  }
  uint32_t Device(long number, std::array<uint64_t, 6> arguments = {}) {
    return Run(device_, SystemCall(number, arguments));
  }

  static constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
  static constexpr uint32_t kTrap = SECCOMP_RET_TRAP;
  const std::vector<sock_filter> vcpu_ = Program(VcpuPolicy());
  const std::vector<sock_filter> device_ = Program(DevicePolicy());
};

TEST_F(PolicyTest, NobodyOpensConnectsOrExecutes) {
  for (const long call : {SYS_openat,
                          SYS_openat2,
                          SYS_open_by_handle_at,
                          SYS_socket,
                          SYS_connect,
                          SYS_bind,
                          SYS_execve,
                          SYS_execveat,
                          SYS_mount,
                          SYS_setns,
                          SYS_unshare,
                          SYS_ptrace,
                          SYS_bpf,
                          SYS_io_uring_setup,
                          SYS_process_vm_readv,
                          SYS_sched_setaffinity,
                          SYS_kill,
                          SYS_setuid,
                          SYS_rt_sigaction,
                          SYS_memfd_create,
                          SYS_userfaultfd,
                          SYS_keyctl,
                          SYS_prlimit64,
                          SYS_pidfd_getfd,
                          SYS_finit_module}) {
    EXPECT_EQ(Vcpu(call), kTrap) << call;
    EXPECT_EQ(Device(call), kTrap) << call;
  }
}

TEST_F(PolicyTest, NothingBecomesExecutable) {
  for (const long call : {SYS_mmap, SYS_mprotect}) {
    EXPECT_EQ(Vcpu(call, {0, 4096, PROT_READ | PROT_WRITE}), kAllow);
    EXPECT_EQ(Vcpu(call, {0, 4096, PROT_READ | PROT_EXEC}), kTrap);
    EXPECT_EQ(Device(call, {0, 4096, PROT_EXEC}), kTrap);
  }
  EXPECT_EQ(Device(SYS_pkey_mprotect, {0, 4096, PROT_EXEC}), kTrap);
}

TEST_F(PolicyTest, VcpuRunsTheGuestAndLittleElse) {
  EXPECT_EQ(Vcpu(SYS_ioctl, {5, KVM_RUN}), kAllow);
  // The kernel reads 32 bits of the request.
  EXPECT_EQ(Vcpu(SYS_ioctl, {5, 0xffffffff00000000 | KVM_RUN}), kAllow);
  // An unplugged vCPU goes back to waiting for INIT; none is made after the jail is closed.
  EXPECT_EQ(Vcpu(SYS_ioctl, {5, KVM_SET_MP_STATE}), kAllow);
  EXPECT_EQ(Vcpu(SYS_ioctl, {5, KVM_CREATE_VCPU}), kTrap);
  EXPECT_EQ(Device(SYS_ioctl, {5, KVM_CREATE_VCPU}), kTrap);
  EXPECT_EQ(Vcpu(SYS_ioctl, {5, KVM_CREATE_VM}), kTrap);
  EXPECT_EQ(Vcpu(SYS_ioctl, {5, KVM_SET_USER_MEMORY_REGION}), kTrap);
  EXPECT_EQ(Vcpu(SYS_write, {7, 0, 8}), kAllow);
  for (const long call : {SYS_sendmsg, SYS_recvmsg, SYS_pwritev, SYS_epoll_ctl, SYS_clone,
                          SYS_socketpair, SYS_close, SYS_prctl, SYS_seccomp}) {
    EXPECT_EQ(Vcpu(call), kTrap) << call;
  }
}

TEST_F(PolicyTest, DeviceThreadMakesThreadsButNoProcesses) {
  EXPECT_EQ(Device(SYS_clone, {CLONE_VM | CLONE_THREAD | CLONE_SIGHAND}), kAllow);
  EXPECT_EQ(Device(SYS_clone, {CLONE_VM | CLONE_VFORK}), kTrap);
  EXPECT_EQ(Device(SYS_clone3), SECCOMP_RET_ERRNO | ENOSYS);
#ifdef SYS_fork
  EXPECT_EQ(Device(SYS_fork), kTrap);
  EXPECT_EQ(Device(SYS_vfork), kTrap);
#endif
}

TEST_F(PolicyTest, DeviceThreadPairsUnixSocketsOnly) {
  EXPECT_EQ(Device(SYS_socketpair, {AF_UNIX, SOCK_STREAM}), kAllow);
  EXPECT_EQ(Device(SYS_socketpair, {AF_TIPC, SOCK_STREAM}), kTrap);
}

TEST_F(PolicyTest, DeviceThreadLooksAtATapAndSetsItsOffloadsAndNothingElseOfIt) {
  for (const uint64_t request : {TUNSETOFFLOAD, TUNGETIFF, TUNGETVNETHDRSZ}) {
    EXPECT_EQ(Device(SYS_ioctl, {5, request}), kAllow) << request;
    EXPECT_EQ(Vcpu(SYS_ioctl, {5, request}), kTrap) << request;
  }
  for (const uint64_t request : {TUNSETIFF, TUNSETPERSIST, TUNATTACHFILTER, TUNSETSTEERINGEBPF}) {
    EXPECT_EQ(Device(SYS_ioctl, {5, request}), kTrap) << request;
  }
}

TEST_F(PolicyTest, DeviceThreadSetsSocketTimeLimitsOnly) {
  EXPECT_EQ(Device(SYS_setsockopt, {3, SOL_SOCKET, SO_RCVTIMEO}), kAllow);
  EXPECT_EQ(Device(SYS_setsockopt, {3, SOL_SOCKET, SO_ATTACH_FILTER}), kTrap);
}

TEST_F(PolicyTest, DeviceThreadMayTightenButNotLoosen) {
  EXPECT_EQ(Device(SYS_seccomp, {SECCOMP_SET_MODE_FILTER}), kAllow);
  EXPECT_EQ(Device(SYS_seccomp, {SECCOMP_SET_MODE_STRICT}), kTrap);
  EXPECT_EQ(Device(SYS_prctl, {PR_SET_NAME}), kAllow);
  EXPECT_EQ(Device(SYS_prctl, {PR_SET_DUMPABLE, 1}), kTrap);
  EXPECT_EQ(Device(SYS_rt_sigaction, {31 /* SIGSYS */}), kTrap);
  EXPECT_EQ(Device(SYS_fcntl, {3, F_GETFL}), kAllow);
  EXPECT_EQ(Device(SYS_fcntl, {3, F_SETOWN}), kTrap);
}

TEST_F(PolicyTest, DevicePolicyContainsTheVcpuPolicy) {
  for (long call = 0; call < 460; ++call) {
    if (Vcpu(call) == kAllow) {
      EXPECT_EQ(Device(call), kAllow) << call;
    }
  }
  EXPECT_EQ(Device(SYS_ioctl, {5, KVM_RUN}), kAllow);
}

TEST_F(PolicyTest, ForeignArchitectureKills) {
  constexpr long kI386Open = 5;
  EXPECT_EQ(Run(device_, SystemCall(kI386Open, {}, AUDIT_ARCH_I386)), SECCOMP_RET_KILL_PROCESS);
#if defined(__x86_64__)
  constexpr long kX32Bit = 0x40000000;
  EXPECT_NE(Run(device_, SystemCall(kX32Bit | SYS_read)), kAllow);
#endif
}

}  // namespace
}  // namespace vmm::jail
