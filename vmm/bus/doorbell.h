// DoorbellRegistrar: turns a guest's write of one value to one address into an eventfd, without an
// exit to us (KVM API 4.59, KVM_IOEVENTFD).
#pragma once

#include <cstdint>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/memory/guest_memory.h"

namespace vmm {

class DoorbellRegistrar {
 public:
  virtual ~DoorbellRegistrar() = default;
  // A 4-byte write of `datamatch` to `mmio` signals `eventfd`, which the caller keeps open. For the
  // life of the machine. Thread rule: thread-safe.
  virtual base::Result<void> Register(GuestAddress mmio, uint32_t datamatch,
                                      base::BorrowedFd eventfd) = 0;
};

}  // namespace vmm
