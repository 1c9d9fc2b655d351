// Registers of the vCPU that boots, and what every vCPU has after reset. Thread rule: reentrant.
#pragma once

#include "runtime/base/result.h"
#include "vmm/kvm/vcpu_fd.h"
#include "vmm/loader/kernel.h"
#include "vmm/memory/guest_memory.h"

namespace vmm {

// For every vCPU: FPU, MSRs, local interrupt pins, and x2APIC mode where ids need it.
// After SetCpuid2: KVM checks MSRs against it.
base::Result<void> SetResetState(kvm::VcpuFd& vcpu, bool x2apic_from_reset);

// For the vCPU that boots; writes the GDT into `memory`. The others wait in KVM for INIT and SIPI.
base::Result<void> SetBootRegisters(kvm::VcpuFd& vcpu, const GuestMemory& memory,
                                    const LoadedKernel& kernel);

}  // namespace vmm
