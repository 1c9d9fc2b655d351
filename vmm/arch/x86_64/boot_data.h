// What a kernel finds in RAM when it starts: memory map, command line, initrd, ACPI root, and for a
// 64-bit entry also page tables. Thread rule: reentrant; before any vCPU runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "vmm/loader/initrd.h"
#include "vmm/loader/kernel.h"
#include "vmm/memory/guest_memory.h"

namespace vmm {

struct MemoryMapEntry {
  uint64_t start = 0;
  uint64_t size = 0;
  uint32_t type = 0;  // E820_TYPE_*: 1 RAM, 2 reserved; the same numbers in PVH
};

std::vector<MemoryMapEntry> BuildMemoryMap(const GuestMemory& memory);

// Writes it all for the kernel's kind of entry. `command_line` without its NUL.
base::Result<void> WriteBootData(const GuestMemory& memory, const LoadedKernel& kernel,
                                 const LoadedInitrd& initrd, const std::string& command_line);

}  // namespace vmm
