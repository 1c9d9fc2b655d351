// Puts an initial RAM disk into guest RAM. Thread rule: reentrant.
#pragma once

#include <cstdint>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/loader/kernel.h"
#include "vmm/memory/guest_memory.h"

namespace vmm {

struct LoadedInitrd {
  uint64_t start = 0;
  uint64_t size = 0;  // 0: none
};

// Page-aligned, as high as RAM and the kernel's limit allow, clear of the kernel.
// kOutOfRange if that does not fit.
base::Result<LoadedInitrd> PlaceInitrd(uint64_t size, const LoadedKernel& kernel,
                                       const GuestMemory& memory);
base::Result<LoadedInitrd> LoadInitrdFile(base::BorrowedFd file, const LoadedKernel& kernel,
                                          const GuestMemory& memory);

}  // namespace vmm
