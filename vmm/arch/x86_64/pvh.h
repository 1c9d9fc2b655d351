// The structures of the Xen "x86/HVM direct boot ABI" (Xen public/arch-x86/hvm/start_info.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmm {

inline constexpr uint32_t kPvhMagic = 0x336ec578;
// 1 brought the memory map.
inline constexpr uint32_t kPvhVersion = 1;

struct PvhStartInfo {
  uint32_t magic;           // 0
  uint32_t version;         // 4
  uint32_t flags;           // 8
  uint32_t nr_modules;      // 12
  uint64_t modlist_paddr;   // 16
  uint64_t cmdline_paddr;   // 24
  uint64_t rsdp_paddr;      // 32
  uint64_t memmap_paddr;    // 40
  uint32_t memmap_entries;  // 48
  uint32_t reserved;        // 52
};
static_assert(sizeof(PvhStartInfo) == 56 && offsetof(PvhStartInfo, memmap_entries) == 48);

struct PvhModule {
  uint64_t paddr;          // 0
  uint64_t size;           // 8
  uint64_t cmdline_paddr;  // 16
  uint64_t reserved;       // 24
};
static_assert(sizeof(PvhModule) == 32);

struct PvhMemoryMapEntry {
  uint64_t addr;      // 0
  uint64_t size;      // 8
  uint32_t type;      // 16
  uint32_t reserved;  // 20
};
static_assert(sizeof(PvhMemoryMapEntry) == 24);

}  // namespace vmm
