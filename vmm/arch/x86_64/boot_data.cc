#include "vmm/arch/x86_64/boot_data.h"

#include <asm/bootparam.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/pvh.h"

namespace vmm {

namespace {

constexpr uint32_t kRam = 1;
constexpr uint32_t kReserved = 2;
constexpr uint8_t kLoaderUndefined = 0xff;  // boot.rst, "type_of_loader"
constexpr uint16_t kBootFlag = 0xaa55;
constexpr uint32_t kHeaderMagic = 0x53726448;  // "HdrS"
constexpr uint32_t kKernelAlignment = 0x1000000;
static_assert(offsetof(boot_params, acpi_rsdp_addr) == 0x70);
static_assert(offsetof(boot_params, e820_table) == 0x2d0);
static_assert(offsetof(boot_params, hdr) == 0x1f1);
static_assert(sizeof(boot_params) == 4096);

// Intel SDM Vol. 3A, "4-Level Paging": present, writable; a directory entry of 2 MiB.
constexpr uint64_t kPresentWritable = 0x3;
constexpr uint64_t kLargePage = 0x80;
constexpr uint64_t kMappedGiB = 4;

// mov al,0xfe; out 0x64,al; hlt: the keyboard controller's reset, for a guest that restarts by
// jumping to the BIOS, as Linux does when nothing else has worked.
constexpr uint8_t kBiosStub[] = {0xb0, 0xfe, 0xe6, 0x64, 0xf4};

// The first 4 GiB, each address as itself (boot.rst, "64-bit Boot Protocol").
base::Result<void> WritePageTables(const GuestMemory& memory) {
  TRY(memory.Store<uint64_t>({layout::kPml4}, layout::kPdpt | kPresentWritable));
  for (uint64_t gib = 0; gib < kMappedGiB; ++gib) {
    const uint64_t directory = layout::kPageDirectories + gib * 4096;
    TRY(memory.Store<uint64_t>({layout::kPdpt + gib * 8}, directory | kPresentWritable));
    for (uint64_t entry = 0; entry < 512; ++entry) {
      const uint64_t page = (gib << 30) + (entry << 21);
      TRY(memory.Store<uint64_t>({directory + entry * 8}, page | kLargePage | kPresentWritable));
    }
  }
  return base::Ok();
}

base::Result<void> WriteZeroPage(const GuestMemory& memory, const LoadedKernel& kernel,
                                 const LoadedInitrd& initrd, const std::string& command_line) {
  boot_params params = {};
  if (kernel.setup_header.empty()) {
    params.hdr.header = kHeaderMagic;
    params.hdr.boot_flag = kBootFlag;
    params.hdr.kernel_alignment = kKernelAlignment;
  } else {
    std::memcpy(&params.hdr, kernel.setup_header.data(),
                std::min(kernel.setup_header.size(), sizeof(params.hdr)));
  }
  params.hdr.type_of_loader = kLoaderUndefined;
  params.hdr.cmd_line_ptr = static_cast<uint32_t>(layout::kCommandLine);
  params.hdr.cmdline_size = static_cast<uint32_t>(command_line.size());
  params.hdr.ramdisk_image = static_cast<uint32_t>(initrd.start);
  params.hdr.ramdisk_size = static_cast<uint32_t>(initrd.size);
  params.acpi_rsdp_addr = layout::kRsdp;
  for (const MemoryMapEntry& entry : BuildMemoryMap(memory)) {
    params.e820_table[params.e820_entries++] = {entry.start, entry.size, entry.type};
  }
  return memory.Store({layout::kZeroPage}, params);
}

base::Result<void> WritePvhInfo(const GuestMemory& memory, const LoadedInitrd& initrd) {
  const std::vector<MemoryMapEntry> map = BuildMemoryMap(memory);
  PvhStartInfo info = {};
  info.magic = kPvhMagic;
  info.version = kPvhVersion;
  info.cmdline_paddr = layout::kCommandLine;
  info.rsdp_paddr = layout::kRsdp;
  info.memmap_paddr = layout::kPvhMemoryMap;
  info.memmap_entries = static_cast<uint32_t>(map.size());
  if (initrd.size > 0) {
    info.nr_modules = 1;
    info.modlist_paddr = layout::kPvhModules;
    TRY(memory.Store(GuestAddress{layout::kPvhModules},
                     PvhModule{initrd.start, initrd.size, 0, 0}));
  }
  for (size_t i = 0; i < map.size(); ++i) {
    TRY(memory.Store(GuestAddress{layout::kPvhMemoryMap + i * sizeof(PvhMemoryMapEntry)},
                     PvhMemoryMapEntry{map[i].start, map[i].size, map[i].type, 0}));
  }
  return memory.Store({layout::kPvhStartInfo}, info);
}

}  // namespace

std::vector<MemoryMapEntry> BuildMemoryMap(const GuestMemory& memory) {
  std::vector<MemoryMapEntry> map = {
      {0, layout::kLowRamEnd, kRam},
      {layout::kLowRamEnd, layout::kHighRamStart - layout::kLowRamEnd, kReserved},
  };
  for (const GuestMemory::Region& region : memory.regions()) {
    const uint64_t end = region.start.value + region.size;
    const uint64_t start = std::max(region.start.value, layout::kHighRamStart);
    if (end > start) map.push_back({start, end - start, kRam});
  }
  return map;
}

base::Result<void> WriteBootData(const GuestMemory& memory, const LoadedKernel& kernel,
                                 const LoadedInitrd& initrd, const std::string& command_line) {
  if (command_line.size() >= layout::kCommandLineBytes) {
    return base::MakeError(base::Code::kInvalidArgument, "kernel command line of {} bytes",
                           command_line.size());
  }
  TRY(memory.Write({layout::kBiosEntry}, std::as_bytes(std::span(kBiosStub))));
  // With its NUL.
  TRY(memory.Write({layout::kCommandLine},
                   std::as_bytes(std::span(command_line.c_str(), command_line.size() + 1))));
  if (kernel.entry_kind == KernelEntry::kPvh32) return WritePvhInfo(memory, initrd);
  TRY(WritePageTables(memory));
  return WriteZeroPage(memory, kernel, initrd, command_line);
}

}  // namespace vmm
