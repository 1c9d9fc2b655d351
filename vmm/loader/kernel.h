// Puts a Linux kernel for x86-64 into guest RAM: an ELF vmlinux, or a bzImage.
//
// The parsers take a span and touch nothing else, so that they can be fuzzed. Every number of the
// file is checked against the file and against RAM. Thread rule: reentrant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/memory/guest_memory.h"

namespace vmm {

enum class KernelEntry {
  kPvh32,    // Xen "x86/HVM direct boot ABI": 32-bit, no paging, hvm_start_info in EBX
  kLinux64,  // Linux Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"
};

struct LoadedKernel {
  KernelEntry entry_kind = KernelEntry::kLinux64;
  uint64_t entry = 0;
  // RAM that the kernel needs before it can look at a memory map: nothing else may be put here.
  uint64_t start = 0;
  uint64_t end = 0;
  // A bzImage's setup header from offset 0x1f1 on, to be copied into the zero page; else empty.
  std::vector<std::byte> setup_header;
};

// What boot data and tables lie below this address; a kernel may not.
inline constexpr uint64_t kLowestKernelAddress = 1 << 20;

// kInvalidArgument, saying what is wrong with the file; kOutOfRange if RAM is too small for it.
base::Result<LoadedKernel> LoadKernel(std::span<const std::byte> image, const GuestMemory& memory);
base::Result<LoadedKernel> LoadKernelFile(base::BorrowedFd file, const GuestMemory& memory);

// The two formats. Each assumes that IsElf or IsBzImage said yes.
bool IsElf(std::span<const std::byte> image);
bool IsBzImage(std::span<const std::byte> image);
base::Result<LoadedKernel> LoadElf(std::span<const std::byte> image, const GuestMemory& memory);
base::Result<LoadedKernel> LoadBzImage(std::span<const std::byte> image, const GuestMemory& memory);

}  // namespace vmm
