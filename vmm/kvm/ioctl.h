// The one place where ioctl(2) is called on a KVM descriptor. Thread rule: reentrant.
#pragma once

#include <cstdint>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace vmm::kvm {

// The ioctl's return value, or an error that says `name`. EINTR is retried: only KVM_RUN has a use
// for it, and has its own call.
base::Result<int> Ioctl(base::BorrowedFd fd, unsigned long request, const char* name,
                        unsigned long argument = 0);

template <class T>
base::Result<int> Ioctl(base::BorrowedFd fd, unsigned long request, const char* name, T* argument) {
  return Ioctl(fd, request, name, reinterpret_cast<unsigned long>(argument));
}

}  // namespace vmm::kvm
