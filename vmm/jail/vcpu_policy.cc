// A vCPU thread runs the guest, answers register accesses and writes eventfds. Its guest is hostile
// from the first instruction.
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vmm/jail/policy.h"
#include "vmm/kvm/table.h"

namespace vmm::jail {
namespace {

constexpr const char* kCalls[] = {
    // Locks, and waiting for the reactor.
    "futex",
    "sched_yield",
    // eventfds, the console, a log line.
    "write",
    "writev",
    "read",
    // The kick that ends KVM_RUN.
    "tgkill",
    "rt_sigreturn",
    "rt_sigprocmask",
    // Log lines.
    "clock_gettime",
    "gettimeofday",
    "gettid",
    "getpid",
    // malloc, with mmap and mprotect below.
    "munmap",
    "mremap",
    "madvise",
    "brk",
    // The end of the thread or of the process.
    "exit",
    "exit_group",
    "restart_syscall",
};

constexpr uint32_t kKvmRequests[] = {
    KVM_RUN,
    KVM_KVMCLOCK_CTRL,
    // A vCPU that was unplugged forgets what it did.
    KVM_SET_MP_STATE,
    // What a vCPU that died was doing.
    KVM_GET_REGS,
    KVM_GET_SREGS,
    // The guest writes an I/O APIC pin.
    // (linux/kvm.h's own number of it is wrong in C++: vmm/kvm/table.h.)
    static_cast<uint32_t>(kvm::kSetGsiRouting),
    KVM_IRQFD,
    KVM_SIGNAL_MSI,
};

}  // namespace

base::Result<void> AddVcpuRules(base::SeccompFilter& filter) {
  TRY(AllowCalls(filter, kCalls));
  for (const uint32_t request : kKvmRequests) TRY(AllowIfArgument(filter, "ioctl", 1, request));
  TRY(AllowWithoutBits(filter, "mmap", 2, PROT_EXEC));
  TRY(AllowWithoutBits(filter, "mprotect", 2, PROT_EXEC));
  return base::Ok();
}

base::Result<std::vector<sock_filter>> VcpuPolicy() {
  base::SeccompFilter filter =
      TRY(base::SeccompFilter::Create(base::SeccompAction::Trap()), "vCPU policy");
  TRY(AddVcpuRules(filter), "vCPU policy");
  return filter.Export();
}

}  // namespace vmm::jail
