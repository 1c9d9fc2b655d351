// The reactor thread: devices, the control socket, and whatever threads it makes. No call here
// opens, names or connects to anything.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cerrno>

#include "vmm/jail/policy.h"

namespace vmm::jail {
namespace {

constexpr const char* kCalls[] = {
    // The event loop.
    "epoll_wait",
    "epoll_pwait",
    "epoll_ctl",
    "eventfd2",
    "poll",
    "ppoll",
    "close",
    // Disks; frames from a tap. (writev is every thread's.)
    "readv",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "fdatasync",
    "lseek",
    // Sockets that came to us or that we paired: control, vsock streams, vhost-user.
    "sendmsg",
    "recvmsg",
    "sendto",
    "recvfrom",
    "shutdown",
    // virtio-rng.
    "getrandom",
    // Thread creation, with clone below; sleeping.
    "set_robust_list",
    "rseq",
    "sched_getaffinity",
    "clock_nanosleep",
};

constexpr uint32_t kKvmRequests[] = {
    // A card that comes late into a spare slot.
    KVM_IOEVENTFD,
};

constexpr uint32_t kTapRequests[] = {
    // What the guest's driver takes over of a frame is known when it has negotiated.
    TUNSETOFFLOAD,
    // Whether a late card's descriptor is what it should be.
    TUNGETIFF,
    TUNGETVNETHDRSZ,
};

base::Result<void> AddConditionalRules(base::SeccompFilter& filter) {
  for (const uint32_t request : kKvmRequests) TRY(AllowIfArgument(filter, "ioctl", 1, request));
  for (const uint32_t request : kTapRequests) TRY(AllowIfArgument(filter, "ioctl", 1, request));
  TRY(AllowIfArgument(filter, "socketpair", 0, AF_UNIX));
  // Time limits on a late vhost-user socket.
  for (const uint64_t option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    const base::SeccompCondition conditions[] = {
        {.argument = 1, .op = base::SeccompCondition::Op::kEqual, .value = SOL_SOCKET},
        {.argument = 2, .op = base::SeccompCondition::Op::kEqual, .value = option}};
    TRY(filter.Add(base::SeccompAction::Allow(), "setsockopt", conditions));
  }
  // Mode and sharing of descriptors that came to us.
  for (const uint32_t command : {F_GETFL, F_SETFL, F_DUPFD_CLOEXEC}) {
    TRY(AllowIfArgument(filter, "fcntl", 1, command));
  }
  // Threads, never processes. clone3 hides its flags in memory; with ENOSYS, glibc falls back.
  const base::SeccompCondition thread[] = {{.argument = 0,
                                            .op = base::SeccompCondition::Op::kMaskedEqual,
                                            .value = CLONE_THREAD,
                                            .mask = CLONE_THREAD}};
  TRY(filter.Add(base::SeccompAction::Allow(), "clone", thread));
  TRY(filter.Add(base::SeccompAction::Errno(ENOSYS), "clone3"));
  // glibc's own signals (SIGCANCEL, SIGSETXID), which it takes when the first thread is made.
  for (const uint32_t signal : {32, 33}) TRY(AllowIfArgument(filter, "rt_sigaction", 0, signal));
  // A new vCPU thread tightens its own filter and names itself.
  TRY(AllowIfArgument(filter, "seccomp", 0, SECCOMP_SET_MODE_FILTER));
  for (const uint32_t option : {PR_SET_NO_NEW_PRIVS, PR_SET_NAME}) {
    TRY(AllowIfArgument(filter, "prctl", 0, option));
  }
  return base::Ok();
}

}  // namespace

base::Result<std::vector<sock_filter>> DevicePolicy() {
  base::SeccompFilter filter =
      TRY(base::SeccompFilter::Create(base::SeccompAction::Trap()), "device policy");
  TRY(AddVcpuRules(filter), "device policy");
  TRY(AllowCalls(filter, kCalls), "device policy");
  TRY(AddConditionalRules(filter), "device policy");
  return filter.Export();
}

}  // namespace vmm::jail
