#include "vmm/loader/kernel.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>

#include "runtime/base/mapped_region.h"

namespace vmm {

namespace {
// Debian's uncompressed vmlinux has about 60 MiB, with debug information under a GiB.
constexpr off_t kMaxKernelBytes = 1 << 30;
}  // namespace

base::Result<LoadedKernel> LoadKernel(std::span<const std::byte> image, const GuestMemory& memory) {
  if (IsElf(image)) return LoadElf(image, memory);
  if (IsBzImage(image)) return LoadBzImage(image, memory);
  return base::MakeError(base::Code::kInvalidArgument,
                         "the file of {} bytes is no kernel: neither an ELF file nor a bzImage "
                         "(\"HdrS\" at 0x202)",
                         image.size());
}

base::Result<LoadedKernel> LoadKernelFile(base::BorrowedFd file, const GuestMemory& memory) {
  struct stat status;
  if (fstat(file.get(), &status) != 0) return base::ErrnoError("fstat the kernel");
  if (!S_ISREG(status.st_mode) || status.st_size == 0 || status.st_size > kMaxKernelBytes) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "kernel: must be a regular file of 1 byte to 1 GiB, has {} bytes",
                           status.st_size);
  }
  // Not populated: the kernel reads it once, for GuestMemory::Fill. Unmapped on return.
  const base::MappedRegion image = TRY(
      base::MappedRegion::Map(file, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE),
      "map the kernel");
  return LoadKernel(image.bytes(), memory);
}

}  // namespace vmm
