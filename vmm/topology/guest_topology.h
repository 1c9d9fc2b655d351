// GuestTopology: from each vCPU's place in the guest's machine to its APIC id. The single source
// for the KVM vCPU id, CPUID, MADT and SRAT, so that they cannot disagree.
//
// An id is made of bit fields, lowest first: thread, core in its L2, L2 in its L3, L3 in its die,
// die, package; each as wide as its largest number in this machine needs. Two things follow that an
// operating system relies on: shifting an id right by a level's shift names the group, and every
// L2 and L3 group is an aligned block of 2^k ids (Linux compares shifted ids to find who shares a
// cache). Ids are therefore sparse when a count is not a power of two, and when dies have one vCPU
// each: a die's ids are two at least, if there are dies. The largest package comes first, the
// others in their order.
//
// Pure arithmetic: no KVM, no I/O. Thread rule: a value, immutable after Create.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/result.h"

namespace vmm {

// Numbers of package and of die in its package count from 0; core is unique within its package; l2
// and l3 are unique in the machine; thread counts from 0 within its core.
struct VcpuPlace {
  uint32_t package = 0;
  uint32_t die = 0;
  uint32_t core = 0;
  uint32_t thread = 0;
  uint32_t l2 = 0;
  uint32_t l3 = 0;
  uint32_t node = 0;
};

class GuestTopology {
 public:
  static constexpr size_t kMaxVcpus = 1024;
  // KVM_MAX_VCPU_IDS of a default kernel is 4096.
  static constexpr uint32_t kMaxApicId = 4095;

  // kInvalidArgument, naming the vCPU, if two share a place, the levels do not nest (a core in two
  // L2s, an L2 in two L3s, …) or an id would pass kMaxApicId. The first vCPU boots, and has id 0
  // only if it is at the origin.
  static base::Result<GuestTopology> Create(std::span<const VcpuPlace> places);
  // One package of `cores` with `threads` each; a private L2 per core and one L3.
  static base::Result<GuestTopology> Uniform(uint32_t cores, uint32_t threads);

  size_t size() const { return places_.size(); }
  const VcpuPlace& place(size_t vcpu) const { return places_[vcpu]; }
  uint32_t apic_id(size_t vcpu) const { return apic_ids_[vcpu]; }
  uint32_t max_apic_id() const { return max_apic_id_; }

  // id >> shift names the core, the L2 group, …, the package.
  uint32_t core_shift() const { return core_shift_; }
  uint32_t l2_shift() const { return l2_shift_; }
  uint32_t l3_shift() const { return l3_shift_; }
  uint32_t die_shift() const { return die_shift_; }
  uint32_t package_shift() const { return package_shift_; }

  // The largest group of each level, in vCPUs.
  uint32_t threads_per_core() const { return threads_per_core_; }
  uint32_t vcpus_per_die() const { return vcpus_per_die_; }
  uint32_t vcpus_per_package() const { return vcpus_per_package_; }
  uint32_t dies_per_package() const { return dies_per_package_; }

 private:
  GuestTopology() = default;
  base::Result<void> CheckNesting() const;
  base::Result<void> Encode();

  std::vector<VcpuPlace> places_;
  std::vector<uint32_t> apic_ids_;
  uint32_t max_apic_id_ = 0;
  uint32_t core_shift_ = 0;
  uint32_t l2_shift_ = 0;
  uint32_t l3_shift_ = 0;
  uint32_t die_shift_ = 0;
  uint32_t package_shift_ = 0;
  uint32_t threads_per_core_ = 1;
  uint32_t vcpus_per_die_ = 1;
  uint32_t vcpus_per_package_ = 1;
  uint32_t dies_per_package_ = 1;
};

}  // namespace vmm
