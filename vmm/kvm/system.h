// System: an open /dev/kvm that can do what we need. Thread rule: immutable, thread-safe.
#pragma once

#include <linux/kvm.h>

#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace vmm::kvm {

class System {
 public:
  // Takes /dev/kvm. kFailedPrecondition if it is not KVM, speaks another API version or lacks an
  // extension, which the message names.
  static base::Result<System> Create(base::UniqueFd kvm);

  // KVM API 4.2, KVM_CREATE_VM.
  base::Result<base::UniqueFd> CreateVm() const;
  // 0 if absent.
  base::Result<int> CheckExtension(unsigned long capability) const;
  // KVM API 4.46, KVM_GET_SUPPORTED_CPUID.
  base::Result<std::vector<kvm_cpuid_entry2>> SupportedCpuid() const;
  // Bytes of a vCPU's shared kvm_run area.
  base::Result<size_t> VcpuMmapSize() const;

 private:
  explicit System(base::UniqueFd kvm) : kvm_(std::move(kvm)) {}
  base::UniqueFd kvm_;
};

}  // namespace vmm::kvm
