// The caches that a guest is told of: sizes as the host's. Thread rule: reentrant.
#pragma once

#include <linux/kvm.h>

#include <span>
#include <vector>

namespace vmm {

// The host's caches, sub-leaves without the terminator, from leaf 4 (Intel) or 0x8000001D (AMD);
// the formats are the same but for EAX[31:26]. A plain set if KVM gives neither.
std::vector<kvm_cpuid_entry2> CachesOf(std::span<const kvm_cpuid_entry2> supported);

}  // namespace vmm
