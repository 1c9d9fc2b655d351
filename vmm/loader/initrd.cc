#include "vmm/loader/initrd.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace vmm {

namespace {
constexpr uint64_t kPageBytes = 4096;
// Linux Documentation/arch/x86/boot.rst, "initrd_addr_max": what every kernel since 2.03 accepts.
constexpr uint64_t kAddressLimit = 0x80000000;
}  // namespace

base::Result<LoadedInitrd> PlaceInitrd(uint64_t size, const LoadedKernel& kernel,
                                       const GuestMemory& memory) {
  if (size == 0) return LoadedInitrd{};
  const uint64_t top = std::min(memory.regions()[0].size, kAddressLimit);
  const uint64_t start = size > top ? 0 : (top - size) & ~(kPageBytes - 1);
  if (start < kLowestKernelAddress || (start < kernel.end && start + size > kernel.start)) {
    return base::MakeError(
        base::Code::kOutOfRange,
        "initrd of {} bytes does not fit into {} MiB of RAM beside the kernel at {:#x} to {:#x}",
        size, memory.size() >> 20, kernel.start, kernel.end);
  }
  return LoadedInitrd{.start = start, .size = size};
}

base::Result<LoadedInitrd> LoadInitrdFile(base::BorrowedFd file, const LoadedKernel& kernel,
                                          const GuestMemory& memory) {
  struct stat status;
  if (fstat(file.get(), &status) != 0) return base::ErrnoError("fstat the initrd");
  if (!S_ISREG(status.st_mode)) {
    return base::MakeError(base::Code::kInvalidArgument, "initrd: not a regular file");
  }
  const LoadedInitrd initrd =
      TRY(PlaceInitrd(static_cast<uint64_t>(status.st_size), kernel, memory));
  if (initrd.size == 0) return initrd;
  const std::span<std::byte> target = TRY(memory.Slice(GuestAddress{initrd.start}, initrd.size));
  size_t done = 0;
  while (done < target.size()) {
    const ssize_t count =
        pread(file.get(), target.data() + done, target.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoError("read the initrd");
    if (count == 0) {
      return base::MakeError(base::Code::kInvalidArgument, "initrd: shrank from {} to {} bytes",
                             target.size(), done);
    }
    done += static_cast<size_t>(count);
  }
  return initrd;
}

}  // namespace vmm
