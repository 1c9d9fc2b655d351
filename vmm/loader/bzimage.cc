// A bzImage, entered in 64-bit mode (Linux Documentation/arch/x86/boot.rst).
#include <asm/bootparam.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "vmm/loader/kernel.h"

namespace vmm {

namespace {

constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kHeaderOffset = 0x1f1;
constexpr uint32_t kMagic = 0x53726448;  // "HdrS"
constexpr uint64_t kMagicOffset = 0x202;
// Protocol 2.12 brought xloadflags, and with it the promise of a 64-bit entry.
constexpr uint16_t kLowestProtocol = 0x20c;
// "64-bit Boot Protocol": the entry is 0x200 after the start of the protected-mode code.
constexpr uint64_t kEntry64Offset = 0x200;
// "The Real-Mode Kernel Header": 0 means 4, for ancient kernels.
constexpr uint8_t kDefaultSetupSectors = 4;

}  // namespace

bool IsBzImage(std::span<const std::byte> image) {
  if (image.size() < kHeaderOffset + sizeof(setup_header)) return false;
  uint32_t magic;
  std::memcpy(&magic, image.data() + kMagicOffset, sizeof(magic));
  return magic == kMagic;
}

base::Result<LoadedKernel> LoadBzImage(std::span<const std::byte> image,
                                       const GuestMemory& memory) {
  setup_header header;
  std::memcpy(&header, image.data() + kHeaderOffset, sizeof(header));
  if (header.version < kLowestProtocol) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "bzImage: boot protocol {:#x}: must be at least {:#x}",
                           uint16_t{header.version}, kLowestProtocol);
  }
  if ((header.xloadflags & XLF_KERNEL_64) == 0) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "bzImage: has no 64-bit entry (XLF_KERNEL_64): a 32-bit kernel?");
  }
  const uint8_t sectors = header.setup_sects == 0 ? kDefaultSetupSectors : header.setup_sects;
  const uint64_t offset = (uint64_t{sectors} + 1) * kSectorBytes;
  const uint64_t length = uint64_t{header.syssize} * 16;
  // The last paragraph may be cut short.
  if (offset >= image.size() || length < kEntry64Offset || length > image.size() - offset + 15) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "bzImage: says it has {} bytes after offset {}, the file has {} in all",
                           length, offset, image.size());
  }
  LoadedKernel kernel;
  kernel.start = header.pref_address;
  if (kernel.start < kLowestKernelAddress || kernel.start % 4096 != 0) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "bzImage: preferred address {:#x}: must be a page from 1 MiB up",
                           kernel.start);
  }
  // It unpacks itself within init_size; nothing of that window may be anyone else's.
  const uint64_t window = std::max<uint64_t>(length, header.init_size);
  TRY(memory.Slice(GuestAddress{kernel.start}, window),
      "bzImage: needs {} bytes of RAM from {:#x} on to unpack itself", window, kernel.start);
  const std::span<const std::byte> code =
      image.subspan(offset, std::min<uint64_t>(length, image.size() - offset));
  TRY(memory.Fill(GuestAddress{kernel.start}, code));
  kernel.end = kernel.start + window;
  kernel.entry_kind = KernelEntry::kLinux64;
  kernel.entry = kernel.start + kEntry64Offset;
  // boot.rst, "64-bit Boot Protocol": the header's length is the byte at 0x201 plus 0x202.
  const size_t end = kMagicOffset + std::to_integer<size_t>(image[0x201]);
  if (end <= kMagicOffset + 4 || end > kHeaderOffset + sizeof(header)) {
    // A newer kernel's header is longer than ours: what we do not know we do not need.
    kernel.setup_header.resize(sizeof(header));
  } else {
    kernel.setup_header.resize(end - kHeaderOffset);
  }
  std::memcpy(kernel.setup_header.data(), &header, kernel.setup_header.size());
  return kernel;
}

}  // namespace vmm
