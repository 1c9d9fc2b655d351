#include "vmm/kvm/system.h"

#include <utility>

#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/table.h"

namespace vmm::kvm {

namespace {

struct Extension {
  unsigned long capability;
  const char* name;
};
constexpr Extension kNeeded[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP (Linux 4.4)"},
    {KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
    {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT (Linux 4.13)"},
};

}  // namespace

base::Result<System> System::Create(base::UniqueFd kvm) {
  const int version = TRY(Ioctl(kvm, KVM_GET_API_VERSION, "KVM_GET_API_VERSION"),
                          "the descriptor given as /dev/kvm");
  if (version != KVM_API_VERSION) {
    return base::MakeError(base::Code::kFailedPrecondition, "KVM API version {} where {} is needed",
                           version, KVM_API_VERSION);
  }
  System system(std::move(kvm));
  for (const Extension& extension : kNeeded) {
    if (TRY(system.CheckExtension(extension.capability)) == 0) {
      return base::MakeError(base::Code::kFailedPrecondition, "this host's KVM lacks {}",
                             extension.name);
    }
  }
  return system;
}

base::Result<base::UniqueFd> System::CreateVm() const {
  // The machine type 0 is the default on x86. Descriptors of KVM are made close-on-exec.
  return base::UniqueFd(TRY(Ioctl(kvm_, KVM_CREATE_VM, "KVM_CREATE_VM")));
}

base::Result<int> System::CheckExtension(unsigned long capability) const {
  return Ioctl(kvm_, KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION", capability);
}

base::Result<std::vector<kvm_cpuid_entry2>> System::SupportedCpuid() const {
  // E2BIG says that there are more; no host has a thousand.
  for (uint32_t room = 128; room <= 1024; room *= 2) {
    Table<kvm_cpuid_entry2> table(room);
    auto result = Ioctl(kvm_, kGetSupportedCpuid, "KVM_GET_SUPPORTED_CPUID", table.data());
    if (result) return table.entries();
    if (result.error().error_number() != E2BIG) return std::move(result.error());
  }
  return base::MakeError(base::Code::kInternal, "KVM_GET_SUPPORTED_CPUID: over 1024 entries");
}

base::Result<size_t> System::VcpuMmapSize() const {
  const int bytes = TRY(Ioctl(kvm_, KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE"));
  if (static_cast<size_t>(bytes) < sizeof(kvm_run)) {
    return base::MakeError(base::Code::kInternal, "KVM_GET_VCPU_MMAP_SIZE: {} bytes are too few",
                           bytes);
  }
  return static_cast<size_t>(bytes);
}

}  // namespace vmm::kvm
