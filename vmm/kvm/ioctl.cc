#include "vmm/kvm/ioctl.h"

#include <sys/ioctl.h>

namespace vmm::kvm {

base::Result<int> Ioctl(base::BorrowedFd fd, unsigned long request, const char* name,
                        unsigned long argument) {
  int result;
  do {
    result = ioctl(fd.get(), request, argument);
  } while (result < 0 && errno == EINTR);
  if (result < 0) return base::ErrnoError("{}", name);
  return result;
}

}  // namespace vmm::kvm
