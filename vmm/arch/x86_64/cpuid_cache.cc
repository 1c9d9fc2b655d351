#include "vmm/arch/x86_64/cpuid_cache.h"

#include <cstdint>

namespace vmm {

namespace {

// Intel SDM Vol. 2A, CPUID leaf 4: EAX type [4:0], level [7:5], self-initialising [8].
// EBX line size - 1 [11:0], partitions - 1 [21:12], ways - 1 [31:22]; ECX sets - 1.
constexpr kvm_cpuid_entry2 Cache(uint32_t type, uint32_t level, uint32_t ways, uint32_t sets) {
  kvm_cpuid_entry2 entry = {};
  entry.eax = type | level << 5 | 1 << 8;
  entry.ebx = (64 - 1) | (ways - 1) << 22;
  entry.ecx = sets - 1;
  return entry;
}

constexpr uint32_t kData = 1;
constexpr uint32_t kInstruction = 2;
constexpr uint32_t kUnified = 3;
constexpr kvm_cpuid_entry2 kPlainCaches[] = {
    Cache(kData, 1, 8, 64),         // 32 KiB
    Cache(kInstruction, 1, 8, 64),  // 32 KiB
    Cache(kUnified, 2, 8, 1024),    // 512 KiB
    Cache(kUnified, 3, 16, 16384),  // 16 MiB
};

}  // namespace

std::vector<kvm_cpuid_entry2> CachesOf(std::span<const kvm_cpuid_entry2> supported) {
  for (const uint32_t leaf : {0x4u, 0x8000001du}) {
    std::vector<kvm_cpuid_entry2> caches;
    for (const kvm_cpuid_entry2& entry : supported) {
      if (entry.function == leaf && (entry.eax & 0x1f) != 0) caches.push_back(entry);
    }
    if (!caches.empty()) return caches;
  }
  return {std::begin(kPlainCaches), std::end(kPlainCaches)};
}

}  // namespace vmm
