// CPUID of each vCPU: what KVM supports, less what a pod must not see, with every leaf that tells
// of topology and caches built from GuestTopology.
//
// KVM returns leaves 0xB and 0x1F empty and the others as the host's, so none of them is patched:
// they are dropped and built, every sub-leaf with its terminator. Thread rule: reentrant.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <span>
#include <vector>

#include "vmm/topology/guest_topology.h"

namespace vmm {

enum class CpuVendor { kHost, kIntel, kAmd };

struct CpuidOptions {
  CpuVendor vendor = CpuVendor::kHost;
  // KVM_CAP_TSC_DEADLINE_TIMER.
  bool tsc_deadline_timer = true;
  // MSI messages and our I/O APIC take 15-bit APIC ids (KVM_FEATURE_MSI_EXT_DEST_ID).
  bool extended_destination_ids = false;
};

class CpuidBuilder {
 public:
  // `supported`: KVM_GET_SUPPORTED_CPUID. Both are copied or borrowed for the builder's life:
  // `topology` must outlive it.
  CpuidBuilder(std::span<const kvm_cpuid_entry2> supported, const GuestTopology& topology,
               CpuidOptions options);

  // For KVM_SET_CPUID2 of vCPU number `vcpu`.
  std::vector<kvm_cpuid_entry2> Build(size_t vcpu) const;

 private:
  void BuildCommonPart(std::span<const kvm_cpuid_entry2> supported);
  void FixVendor();
  void FixFeatures();
  void AddTopologyLeaf(uint32_t leaf, uint32_t apic_id, std::vector<kvm_cpuid_entry2>& out) const;
  void AddCacheLeaf(uint32_t leaf, std::vector<kvm_cpuid_entry2>& out) const;
  void AddAmdIdentifiers(uint32_t apic_id, std::vector<kvm_cpuid_entry2>& out) const;
  void AddAmdExtendedTopology(uint32_t apic_id, std::vector<kvm_cpuid_entry2>& out) const;
  kvm_cpuid_entry2* Find(uint32_t leaf, uint32_t index = 0);

  const GuestTopology& topology_;
  CpuidOptions options_;
  bool amd_ = false;      // the vendor that the guest sees; AMD includes Hygon
  bool foreign_ = false;  // and it is not the host's
  std::vector<kvm_cpuid_entry2> common_;
  std::vector<kvm_cpuid_entry2> caches_;  // the host's, in the format of leaf 4
};

}  // namespace vmm
