#include "vmm/kvm/vm_fd.h"

#include <utility>
#include <vector>

#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/table.h"

namespace vmm::kvm {

base::Result<VmFd> VmFd::Create(const System& system) { return VmFd(TRY(system.CreateVm())); }

base::Result<void> VmFd::EnableCapability(uint32_t capability, uint64_t argument,
                                          const char* name) {
  kvm_enable_cap enable = {};
  enable.cap = capability;
  enable.args[0] = argument;
  TRY(Ioctl(fd_, KVM_ENABLE_CAP, name, &enable));
  return base::Ok();
}

base::Result<void> VmFd::EnableSplitIrqchip(uint32_t pins) {
  return EnableCapability(KVM_CAP_SPLIT_IRQCHIP, pins, "enable KVM_CAP_SPLIT_IRQCHIP");
}

base::Result<void> VmFd::EnableX2apicIds() {
  // The broadcast quirk would send what is meant for id 255 to everyone.
  return EnableCapability(KVM_CAP_X2APIC_API,
                          KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
                          "enable KVM_CAP_X2APIC_API, which APIC ids above 254 need");
}

base::Result<void> VmFd::DisablePmu() {
  const int present = TRY(Ioctl(fd_, KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION",
                                static_cast<unsigned long>(KVM_CAP_PMU_CAPABILITY)));
  if ((present & KVM_PMU_CAP_DISABLE) == 0) return base::Ok();
  return EnableCapability(KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE, "disable the virtual PMU");
}

base::Result<void> VmFd::SetHelperPages(GuestAddress tss, GuestAddress identity_map) {
  uint64_t address = identity_map.value;
  TRY(Ioctl(fd_, KVM_SET_IDENTITY_MAP_ADDR, "KVM_SET_IDENTITY_MAP_ADDR", &address));
  TRY(Ioctl(fd_, KVM_SET_TSS_ADDR, "KVM_SET_TSS_ADDR", static_cast<unsigned long>(tss.value)));
  return base::Ok();
}

base::Result<void> VmFd::SetBootCpu(uint32_t id) {
  TRY(Ioctl(fd_, KVM_SET_BOOT_CPU_ID, "KVM_SET_BOOT_CPU_ID", static_cast<unsigned long>(id)));
  return base::Ok();
}

base::Result<void> VmFd::MapMemory(const GuestMemory& memory) {
  uint32_t slot = 0;
  for (const GuestMemory::Region& region : memory.regions()) {
    kvm_userspace_memory_region slot_region = {};
    slot_region.slot = slot++;
    slot_region.guest_phys_addr = region.start.value;
    slot_region.memory_size = region.size;
    slot_region.userspace_addr = reinterpret_cast<uint64_t>(region.host);
    TRY(Ioctl(fd_, KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &slot_region),
        "guest RAM {:#x}+{:#x}", region.start.value, region.size);
  }
  return base::Ok();
}

base::Result<void> VmFd::AssignIrqfd(base::BorrowedFd eventfd, uint32_t gsi) {
  kvm_irqfd irqfd = {};
  irqfd.fd = static_cast<uint32_t>(eventfd.get());
  irqfd.gsi = gsi;
  TRY(Ioctl(fd_, KVM_IRQFD, "KVM_IRQFD", &irqfd), "interrupt pin {}", gsi);
  return base::Ok();
}

base::Result<void> VmFd::DeassignIrqfd(base::BorrowedFd eventfd, uint32_t gsi) {
  kvm_irqfd irqfd = {};
  irqfd.fd = static_cast<uint32_t>(eventfd.get());
  irqfd.gsi = gsi;
  irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
  TRY(Ioctl(fd_, KVM_IRQFD, "KVM_IRQFD (deassign)", &irqfd), "interrupt pin {}", gsi);
  return base::Ok();
}

base::Result<void> VmFd::SetMsiRoutes(std::span<const MsiRoute> routes) {
  std::vector<kvm_irq_routing_entry> entries;
  for (const MsiRoute& route : routes) {
    kvm_irq_routing_entry entry = {};
    entry.gsi = route.gsi;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<uint32_t>(route.message.address);
    entry.u.msi.address_hi = static_cast<uint32_t>(route.message.address >> 32);
    entry.u.msi.data = route.message.data;
    entries.push_back(entry);
  }
  Table<kvm_irq_routing_entry> table(entries);
  TRY(Ioctl(fd_, kSetGsiRouting, "KVM_SET_GSI_ROUTING", table.data()));
  return base::Ok();
}

base::Result<void> VmFd::Register(GuestAddress mmio, uint32_t datamatch, base::BorrowedFd eventfd) {
  kvm_ioeventfd doorbell = {};
  doorbell.addr = mmio.value;
  doorbell.len = sizeof(datamatch);
  doorbell.datamatch = datamatch;
  doorbell.fd = eventfd.get();
  doorbell.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
  TRY(Ioctl(fd_, KVM_IOEVENTFD, "KVM_IOEVENTFD", &doorbell), "doorbell at {:#x}", mmio.value);
  return base::Ok();
}

base::Result<base::UniqueFd> VmFd::CreateVcpu(uint32_t id) const {
  return base::UniqueFd(
      TRY(Ioctl(fd_, KVM_CREATE_VCPU, "KVM_CREATE_VCPU", static_cast<unsigned long>(id)),
          "vCPU id {}", id));
}

}  // namespace vmm::kvm
