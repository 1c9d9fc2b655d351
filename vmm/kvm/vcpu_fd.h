// VcpuFd: one KVM vCPU and the area it shares with the kernel.
//
// Thread rule: bound to the thread that runs it, but for RequestExit, which is thread-safe. The
// register setters may be called by another thread before that thread first runs it.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <span>

#include "runtime/base/mapped_region.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/kvm/vm_fd.h"

namespace vmm::kvm {

enum class RunOutcome {
  kExit,         // run().exit_reason says why
  kInterrupted,  // RequestExit or a signal
};

class VcpuFd {
 public:
  static base::Result<VcpuFd> Create(const System& system, const VmFd& vm, uint32_t id);

  base::Result<void> SetCpuid2(std::span<const kvm_cpuid_entry2> entries);
  base::Result<void> SetMsrs(std::span<const kvm_msr_entry> msrs);
  base::Result<kvm_regs> GetRegs() const;
  base::Result<void> SetRegs(const kvm_regs& regs);
  base::Result<kvm_sregs> GetSregs() const;
  base::Result<void> SetSregs(const kvm_sregs& sregs);
  base::Result<void> SetFpu(const kvm_fpu& fpu);
  base::Result<kvm_lapic_state> GetLapic() const;
  base::Result<void> SetLapic(const kvm_lapic_state& lapic);
  // As after power-up of a vCPU that did not boot: it waits for INIT and start-up messages, which
  // reset it (KVM API 4.39, KVM_SET_MP_STATE). Needs local APICs in the kernel.
  base::Result<void> WaitForInit();
  // Tells the guest's watchdogs that the clock was stopped, not the guest (KVM API 4.70).
  base::Result<void> KvmclockCtrl();

  // KVM API 4.10, KVM_RUN.
  base::Result<RunOutcome> Run();
  // The next Run, or the present one once a signal reaches its thread, returns kInterrupted. A
  // pending port or memory access is completed first.
  void RequestExit();
  void ClearExitRequest();

  kvm_run& run() { return *reinterpret_cast<kvm_run*>(region_.data()); }
  // Bytes of the shared area; data offsets of an exit must stay within.
  size_t run_size() const { return region_.size(); }

 private:
  VcpuFd(base::UniqueFd fd, base::MappedRegion region)
      : fd_(std::move(fd)), region_(std::move(region)) {}
  base::UniqueFd fd_;
  base::MappedRegion region_;
};

}  // namespace vmm::kvm
