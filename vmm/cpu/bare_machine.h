// For tests: a KVM machine without kernel, devices or interrupt controllers, whose one page of
// real-mode code is given as bytes.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmm/kvm/system.h"
#include "vmm/kvm/vcpu_fd.h"
#include "vmm/kvm/vm_fd.h"
#include "vmm/memory/guest_memory.h"

namespace vmm {

// Skips the test, with the reason, where there is no KVM.
#define OPEN_KVM_OR_SKIP(system)                                                      \
  base::UniqueFd kvm_fd_(open("/dev/kvm", O_RDWR | O_CLOEXEC));                       \
  if (!kvm_fd_) GTEST_SKIP() << "/dev/kvm cannot be opened: " << strerror(errno);     \
  auto system_or_ = kvm::System::Create(std::move(kvm_fd_));                          \
  if (!system_or_) GTEST_SKIP() << "no usable KVM: " << system_or_.error().Message(); \
  kvm::System& system = *system_or_

struct BareMachine {
  static constexpr uint64_t kCode = 0x1000;

  static base::Result<BareMachine> Create(const kvm::System& system,
                                          std::span<const uint8_t> code) {
    kvm::VmFd vm = TRY(kvm::VmFd::Create(system));
    std::unique_ptr<GuestMemory> memory = TRY(GuestMemory::Create(1 << 20));
    TRY(memory->Write({kCode}, std::as_bytes(code)));
    TRY(vm.MapMemory(*memory));
    return BareMachine{std::move(vm), std::move(memory)};
  }

  // A vCPU at the start of the code, in real mode.
  base::Result<kvm::VcpuFd> MakeVcpu(const kvm::System& system, uint32_t id) {
    kvm::VcpuFd vcpu = TRY(kvm::VcpuFd::Create(system, vm, id));
    kvm_sregs sregs = TRY(vcpu.GetSregs());
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    TRY(vcpu.SetSregs(sregs));
    kvm_regs regs = {};
    regs.rip = kCode;
    regs.rflags = 2;
    TRY(vcpu.SetRegs(regs));
    return vcpu;
  }

  kvm::VmFd vm;
  std::unique_ptr<GuestMemory> memory;
};

}  // namespace vmm
