// VmFd: one KVM virtual machine. Thread rule: thread-safe (each call is one ioctl; SetMsiRoutes
// replaces the whole table, so its caller serialises). Errors name the ioctl.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/bus/doorbell.h"
#include "vmm/kvm/system.h"
#include "vmm/memory/guest_memory.h"

namespace vmm::kvm {

// A message-signalled interrupt as KVM takes it (address_hi carries bits 31:8 of the destination
// when 32-bit APIC ids are on).
struct MsiMessage {
  uint64_t address = 0;
  uint32_t data = 0;
  bool operator==(const MsiMessage&) const = default;
};

struct MsiRoute {
  uint32_t gsi = 0;
  MsiMessage message;
};

class VmFd : public DoorbellRegistrar {
 public:
  static base::Result<VmFd> Create(const System& system);
  VmFd(VmFd&&) = default;
  VmFd& operator=(VmFd&&) = default;

  // Local APICs in the kernel, the I/O APIC with `pins` pins here; before any vCPU
  // (KVM API 7.5, KVM_CAP_SPLIT_IRQCHIP).
  base::Result<void> EnableSplitIrqchip(uint32_t pins);
  // APIC ids above 255 in the x2APIC API and in MSI messages (KVM API 7.7, KVM_CAP_X2APIC_API).
  base::Result<void> EnableX2apicIds();
  // No virtual PMU (KVM API 8.36, KVM_CAP_PMU_CAPABILITY): counters leak what other tenants do.
  // Fine where the host's KVM is too old to have it.
  base::Result<void> DisablePmu();
  // Where Intel hosts without unrestricted guests keep helper pages: 3 pages and 1.
  base::Result<void> SetHelperPages(GuestAddress tss, GuestAddress identity_map);

  // The APIC id of the vCPU that runs first; the others wait for it to start them. Before any vCPU.
  base::Result<void> SetBootCpu(uint32_t id);

  // One slot per region; `memory` must outlive the machine.
  base::Result<void> MapMemory(const GuestMemory& memory);

  base::Result<void> AssignIrqfd(base::BorrowedFd eventfd, uint32_t gsi);
  // Edges written from now on wait in the eventfd for the next AssignIrqfd.
  base::Result<void> DeassignIrqfd(base::BorrowedFd eventfd, uint32_t gsi);
  base::Result<void> SetMsiRoutes(std::span<const MsiRoute> routes);

  // DoorbellRegistrar.
  base::Result<void> Register(GuestAddress mmio, uint32_t datamatch,
                              base::BorrowedFd eventfd) override;

  // KVM API 4.7, KVM_CREATE_VCPU; `id` becomes the local APIC's id.
  base::Result<base::UniqueFd> CreateVcpu(uint32_t id) const;

 private:
  explicit VmFd(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::Result<void> EnableCapability(uint32_t capability, uint64_t argument, const char* name);
  base::UniqueFd fd_;
};

}  // namespace vmm::kvm
