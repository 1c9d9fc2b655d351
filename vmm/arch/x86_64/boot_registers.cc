#include "vmm/arch/x86_64/boot_registers.h"

#include <array>
#include <cstring>

#include "vmm/arch/x86_64/layout.h"

namespace vmm {

namespace {

// Intel SDM Vol. 3A, "Control Registers"; Vol. 4, "Architectural MSRs".
constexpr uint64_t kCr0ProtectionEnable = 1 << 0;
constexpr uint64_t kCr0ExtensionType = 1 << 4;
constexpr uint64_t kCr0Paging = 1ull << 31;
constexpr uint64_t kCr4PhysicalAddressExtension = 1 << 5;
constexpr uint64_t kEferLongModeEnable = 1 << 8;
constexpr uint64_t kEferLongModeActive = 1 << 10;
constexpr uint64_t kFlagsReserved = 1 << 1;
constexpr uint64_t kApicBaseX2apic = 1 << 10;
constexpr uint32_t kMsrMiscEnable = 0x1a0;
constexpr uint64_t kFastStrings = 1;
constexpr uint32_t kMsrMtrrDefaultType = 0x2ff;
constexpr uint64_t kMtrrEnabledWriteBack = 0x806;
constexpr uint16_t kFpuControl = 0x37f;
constexpr uint32_t kMxcsr = 0x1f80;

// Local vector table entries in the register page (SDM Vol. 3A, "Local Vector Table").
constexpr size_t kLvtLint0 = 0x350;
constexpr size_t kLvtLint1 = 0x360;
constexpr uint32_t kDeliveryMask = 0x700;
constexpr uint32_t kDeliveryNmi = 0x400;
constexpr uint32_t kDeliveryExtInt = 0x700;
constexpr uint32_t kLvtMasked = 1 << 16;

constexpr uint16_t kCodeSelector = 0x8;
constexpr uint16_t kDataSelector = 0x10;
constexpr uint16_t kTaskSelector = 0x18;

// Flat segments of 4 GiB; `code_type_*` differ in the L and D bits only.
constexpr uint64_t kCode64 = 0x00af9b000000ffff;
constexpr uint64_t kCode32 = 0x00cf9b000000ffff;
constexpr uint64_t kData = 0x00cf93000000ffff;
constexpr uint64_t kTask = 0x00008b0000000067;

// SDM Vol. 3A, "Segment Descriptors".
kvm_segment SegmentOf(uint64_t descriptor, uint16_t selector) {
  kvm_segment segment = {};
  segment.selector = selector;
  segment.type = static_cast<uint8_t>(descriptor >> 40 & 0xf);
  segment.s = static_cast<uint8_t>(descriptor >> 44 & 1);
  segment.dpl = static_cast<uint8_t>(descriptor >> 45 & 3);
  segment.present = static_cast<uint8_t>(descriptor >> 47 & 1);
  segment.l = static_cast<uint8_t>(descriptor >> 53 & 1);
  segment.db = static_cast<uint8_t>(descriptor >> 54 & 1);
  segment.g = static_cast<uint8_t>(descriptor >> 55 & 1);
  const auto limit = static_cast<uint32_t>((descriptor & 0xffff) | (descriptor >> 32 & 0xf0000));
  // KVM takes the limit in bytes whatever the granularity.
  segment.limit = segment.g ? limit << 12 | 0xfff : limit;
  return segment;
}

void SetLvt(kvm_lapic_state& lapic, size_t offset, uint32_t delivery) {
  uint32_t value;
  std::memcpy(&value, lapic.regs + offset, sizeof(value));
  value = (value & ~(kDeliveryMask | kLvtMasked)) | delivery;
  std::memcpy(lapic.regs + offset, &value, sizeof(value));
}

}  // namespace

base::Result<void> SetResetState(kvm::VcpuFd& vcpu, bool x2apic_from_reset) {
  const std::array<kvm_msr_entry, 2> msrs = {{
      {.index = kMsrMiscEnable, .data = kFastStrings},
      // Without it, a guest takes all of its RAM for uncached.
      {.index = kMsrMtrrDefaultType, .data = kMtrrEnabledWriteBack},
  }};
  TRY(vcpu.SetMsrs(msrs));
  kvm_fpu fpu = {};
  fpu.fcw = kFpuControl;
  fpu.mxcsr = kMxcsr;
  TRY(vcpu.SetFpu(fpu));
  if (x2apic_from_reset) {
    // A kernel must not see 8-bit ids first (SDM Vol. 3A, "x2APIC Register Address Space").
    kvm_sregs sregs = TRY(vcpu.GetSregs());
    sregs.apic_base |= kApicBaseX2apic;
    TRY(vcpu.SetSregs(sregs));
  }
  // What firmware leaves: the old interrupt controller at LINT0, NMI at LINT1.
  kvm_lapic_state lapic = TRY(vcpu.GetLapic());
  SetLvt(lapic, kLvtLint0, kDeliveryExtInt);
  SetLvt(lapic, kLvtLint1, kDeliveryNmi);
  return vcpu.SetLapic(lapic);
}

base::Result<void> SetBootRegisters(kvm::VcpuFd& vcpu, const GuestMemory& memory,
                                    const LoadedKernel& kernel) {
  const bool pvh = kernel.entry_kind == KernelEntry::kPvh32;
  const std::array<uint64_t, 4> gdt = {0, pvh ? kCode32 : kCode64, kData, kTask};
  TRY(memory.Store({layout::kGdt}, gdt));

  kvm_sregs sregs = TRY(vcpu.GetSregs());
  sregs.gdt.base = layout::kGdt;
  sregs.gdt.limit = sizeof(gdt) - 1;
  sregs.idt.base = 0;
  sregs.idt.limit = 0;
  sregs.cs = SegmentOf(gdt[1], kCodeSelector);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = SegmentOf(kData, kDataSelector);
  sregs.tr = SegmentOf(kTask, kTaskSelector);
  kvm_regs regs = {};
  regs.rflags = kFlagsReserved;
  regs.rip = kernel.entry;
  if (pvh) {
    sregs.cr0 = kCr0ProtectionEnable | kCr0ExtensionType;
    sregs.cr4 = 0;
    regs.rbx = layout::kPvhStartInfo;
  } else {
    sregs.cr0 = kCr0ProtectionEnable | kCr0ExtensionType | kCr0Paging;
    sregs.cr3 = layout::kPml4;
    sregs.cr4 = kCr4PhysicalAddressExtension;
    sregs.efer = kEferLongModeEnable | kEferLongModeActive;
    regs.rsi = layout::kZeroPage;
    regs.rsp = regs.rbp = layout::kStackTop;
  }
  TRY(vcpu.SetSregs(sregs));
  return vcpu.SetRegs(regs);
}

}  // namespace vmm
