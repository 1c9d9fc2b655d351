#include "vmm/kvm/vcpu_fd.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <atomic>
#include <utility>

#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/table.h"

namespace vmm::kvm {

base::Result<VcpuFd> VcpuFd::Create(const System& system, const VmFd& vm, uint32_t id) {
  const size_t bytes = TRY(system.VcpuMmapSize());
  base::UniqueFd fd = TRY(vm.CreateVcpu(id));
  base::MappedRegion region =
      TRY(base::MappedRegion::Map(fd, bytes, PROT_READ | PROT_WRITE, MAP_SHARED), "map kvm_run");
  return VcpuFd(std::move(fd), std::move(region));
}

base::Result<void> VcpuFd::SetCpuid2(std::span<const kvm_cpuid_entry2> entries) {
  Table<kvm_cpuid_entry2> table(entries);
  TRY(Ioctl(fd_, kSetCpuid2, "KVM_SET_CPUID2", table.data()));
  return base::Ok();
}

base::Result<void> VcpuFd::SetMsrs(std::span<const kvm_msr_entry> msrs) {
  Table<kvm_msr_entry> table(msrs);
  const int set = TRY(Ioctl(fd_, kSetMsrs, "KVM_SET_MSRS", table.data()));
  if (static_cast<size_t>(set) != msrs.size()) {
    return base::MakeError(base::Code::kFailedPrecondition, "KVM refused MSR {:#x} = {:#x}",
                           msrs[static_cast<size_t>(set)].index,
                           msrs[static_cast<size_t>(set)].data);
  }
  return base::Ok();
}

base::Result<kvm_regs> VcpuFd::GetRegs() const {
  kvm_regs regs = {};
  TRY(Ioctl(fd_, KVM_GET_REGS, "KVM_GET_REGS", &regs));
  return regs;
}

base::Result<void> VcpuFd::SetRegs(const kvm_regs& regs) {
  TRY(Ioctl(fd_, KVM_SET_REGS, "KVM_SET_REGS", &regs));
  return base::Ok();
}

base::Result<kvm_sregs> VcpuFd::GetSregs() const {
  kvm_sregs sregs = {};
  TRY(Ioctl(fd_, KVM_GET_SREGS, "KVM_GET_SREGS", &sregs));
  return sregs;
}

base::Result<void> VcpuFd::SetSregs(const kvm_sregs& sregs) {
  TRY(Ioctl(fd_, KVM_SET_SREGS, "KVM_SET_SREGS", &sregs));
  return base::Ok();
}

base::Result<void> VcpuFd::SetFpu(const kvm_fpu& fpu) {
  TRY(Ioctl(fd_, KVM_SET_FPU, "KVM_SET_FPU", &fpu));
  return base::Ok();
}

base::Result<kvm_lapic_state> VcpuFd::GetLapic() const {
  kvm_lapic_state lapic = {};
  TRY(Ioctl(fd_, KVM_GET_LAPIC, "KVM_GET_LAPIC", &lapic));
  return lapic;
}

base::Result<void> VcpuFd::SetLapic(const kvm_lapic_state& lapic) {
  TRY(Ioctl(fd_, KVM_SET_LAPIC, "KVM_SET_LAPIC", &lapic));
  return base::Ok();
}

base::Result<void> VcpuFd::WaitForInit() {
  kvm_mp_state state = {KVM_MP_STATE_UNINITIALIZED};
  TRY(Ioctl(fd_, KVM_SET_MP_STATE, "KVM_SET_MP_STATE", &state));
  return base::Ok();
}

base::Result<void> VcpuFd::KvmclockCtrl() {
  auto result = Ioctl(fd_, KVM_KVMCLOCK_CTRL, "KVM_KVMCLOCK_CTRL");
  // EINVAL: the guest has not set its clock up, so there is nothing to tell.
  if (!result && result.error().error_number() != EINVAL) return std::move(result.error());
  return base::Ok();
}

base::Result<RunOutcome> VcpuFd::Run() {
  if (ioctl(fd_.get(), KVM_RUN, 0) == 0) return RunOutcome::kExit;
  // EAGAIN: a vCPU that waited for its start-up message got something else, or just got it.
  if (errno == EINTR || errno == EAGAIN) return RunOutcome::kInterrupted;
  return base::ErrnoError("KVM_RUN");
}

// The kernel reads this byte at the start of KVM_RUN, before it checks for signals.
void VcpuFd::RequestExit() {
  std::atomic_ref<uint8_t>(run().immediate_exit).store(1, std::memory_order_release);
}

void VcpuFd::ClearExitRequest() {
  std::atomic_ref<uint8_t>(run().immediate_exit).store(0, std::memory_order_release);
}

}  // namespace vmm::kvm
